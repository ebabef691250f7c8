//! What stands in the way of a change.

use std::fmt;

use magistrate_engine::Findings;
use magistrate_model::Revision;

use crate::ports::{CommitError, StoreError};

/// Something wrong with one item of input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Where it stands, such as `grants.jsonl:12`; empty for a command line.
    pub place: String,
    /// What is wrong with it and what to do.
    pub what: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place.as_str() {
            "" => f.write_str(&self.what),
            place => write!(f, "{place}: {}", self.what),
        }
    }
}

/// Nothing was changed, and why.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// Schema or policies break rules.
    #[error("{0}")]
    Findings(#[from] Findings),
    /// Items of input break rules.
    #[error("{}", lines(.0, .0.len()))]
    Problems(Vec<Problem>),
    /// More items of input break rules than are kept.
    #[error("{}", lines(.first, *.count))]
    ManyProblems {
        /// The first of them.
        first: Vec<Problem>,
        /// How many there are.
        count: usize,
    },
    /// Whoever started an import stopped it before anything was committed.
    #[error("interrupted; nothing was changed")]
    Interrupted,
    /// An import ended before its end. What is committed is whole, and the same import goes on from there.
    #[error(
        "{why}\n{}{done} of {of} items are in the store as given, up to revision {revision}; run the same command again to go on from there",
        if *.at_least { "at least " } else { "" }
    )]
    Stopped {
        /// What ended it.
        why: String,
        /// Items that are in the store as given.
        done: usize,
        /// Items in all.
        of: usize,
        /// The last revision it made, or found.
        revision: Revision,
        /// Whether the part being committed may be in the store as well: the store did not answer.
        at_least: bool,
    },
    /// A file cannot be read.
    #[error("cannot read `{path}`: {why}")]
    Read {
        /// Which file.
        path: String,
        /// Why not.
        why: String,
    },
    /// Entities and grants follow a schema, and there is none.
    #[error(
        "no policy set has been applied yet, so there is no schema to check against; run `magistrate policy apply` first"
    )]
    NoPolicySet,
    /// The change was refused or overtaken.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl AdminError {
    /// Others were always faster.
    pub(crate) fn overtaken() -> Self {
        Self::refused("others kept changing the store meanwhile; nothing was changed, run the command again")
    }

    /// One problem of a command line.
    pub(crate) fn refused(what: impl Into<String>) -> Self {
        Self::Problems(vec![Problem { place: String::new(), what: what.into() }])
    }
}

fn lines(problems: &[Problem], count: usize) -> String {
    const SHOWN: usize = 20;
    let mut text: Vec<String> = problems.iter().take(SHOWN).map(ToString::to_string).collect();
    if count > SHOWN {
        text.push(format!("… and {} more", count - SHOWN));
    }
    text.join("\n")
}
