//! What stands in the way of a change.

use std::fmt;

use magistrate_engine::Findings;

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
    #[error("{}", lines(.0))]
    Problems(Vec<Problem>),
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
    /// One problem of a command line.
    pub(crate) fn refused(what: impl Into<String>) -> Self {
        Self::Problems(vec![Problem { place: String::new(), what: what.into() }])
    }
}

fn lines(problems: &[Problem]) -> String {
    const SHOWN: usize = 20;
    let mut text: Vec<String> = problems.iter().take(SHOWN).map(ToString::to_string).collect();
    if problems.len() > SHOWN {
        text.push(format!("… and {} more", problems.len() - SHOWN));
    }
    text.join("\n")
}
