//! Arguments of the history verbs.

use std::path::PathBuf;

use clap::{Args, Subcommand};

#[derive(Debug, Subcommand)]
pub(crate) enum AuditVerb {
    /// Show the newest decisions, and new ones as they are made
    Tail {
        /// How many to begin with
        #[arg(short = 'n', long, default_value_t = 10)]
        lines: u32,
        /// Go on until interrupted
        #[arg(short, long)]
        follow: bool,
    },
    /// Find decisions: values of one option are alternatives, options narrow each other
    Search(Box<SearchArgs>),
    /// Show who changed what and why: policies, entities, roles, scopes, grants
    Changes {
        /// The newest so many revisions
        #[arg(short = 'n', long, default_value_t = 20)]
        revisions: u32,
        /// Those after this revision instead
        #[arg(long, value_name = "REVISION")]
        after: Option<u64>,
    },
    /// Find out whether history is what was recorded: every record, every header, every checkpoint
    #[command(after_help = VERIFY_HELP)]
    Verify(VerifyArgs),
    /// Show the key that verifies this node's checkpoints, to be pinned
    Key {
        /// Make a signing key in this file first, for a node that will be given it
        #[arg(long, value_name = "FILE")]
        make: Option<PathBuf>,
    },
    /// Show one decision in full
    Show {
        /// The decision's id
        id: String,
    },
}

const VERIFY_HELP: &str = "\
Nothing that is stored is believed. What is believed are keys that were pinned elsewhere (--key) and checkpoints that were
kept elsewhere (--seen): whoever can write to the store can still take away, unseen, what was recorded after the newest of
them. Exit code 7: something is missing, altered, reordered, forked, rolled_back or untrusted. What is only to be known,
lost_in_crash, not_covered and silent, is told, and is no failure.";

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// A verifier key that is trusted, as `magistrate audit key` shows it, or a file of them; may be repeated
    #[arg(long, value_name = "KEY|FILE")]
    pub(crate) key: Vec<String>,
    /// Checkpoints that were seen before, such as a node's `checkpoints` file; replaced by the newest when all is well
    #[arg(long, value_name = "FILE")]
    pub(crate) seen: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct SearchArgs {
    /// Principal; may be repeated
    #[arg(long, value_name = "UID")]
    pub(crate) principal: Vec<String>,
    /// Action; may be repeated
    #[arg(long, value_name = "ACTION")]
    pub(crate) action: Vec<String>,
    /// Resource; may be repeated
    #[arg(long, value_name = "UID")]
    pub(crate) resource: Vec<String>,
    /// allow or deny
    #[arg(long, value_parser = ["allow", "deny"])]
    pub(crate) decision: Option<String>,
    /// Cause, such as `no_permit`; may be repeated
    #[arg(long)]
    pub(crate) cause: Vec<String>,
    /// Determining policy; may be repeated
    #[arg(long, value_name = "POLICY")]
    pub(crate) policy: Vec<String>,
    /// The caller's own id for the request
    #[arg(long, value_name = "ID")]
    pub(crate) request_id: Option<String>,
    /// Since then: RFC 3339, or ago such as `7d`
    #[arg(long, value_name = "TIME")]
    pub(crate) since: Option<String>,
    /// Before then: RFC 3339, or ago such as `1h`
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    /// At most so many, newest first
    #[arg(long, default_value_t = 50)]
    pub(crate) limit: u32,
    /// Older than this decision: continues a search
    #[arg(long, value_name = "ID")]
    pub(crate) before: Option<String>,
}
