//! Arguments of `caller`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Authored;

#[derive(Debug, Subcommand)]
pub(crate) enum CallerVerb {
    /// API keys: what gateways and services present
    #[command(subcommand)]
    Key(KeyVerb),
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeyVerb {
    /// Make a key and show it, once: it is kept as a hash only
    New(NewKeyArgs),
    /// List keys
    List {
        /// Only keys in force that end within this, such as `7d`
        #[arg(long, value_name = "SPAN")]
        expiring: Option<String>,
    },
    /// End a key; running servers refuse it within a second
    Revoke {
        /// Its id: the third part of its text
        id: String,
        #[command(flatten)]
        authored: Authored,
    },
}

#[derive(Debug, Args)]
pub(crate) struct NewKeyArgs {
    /// Whose it is, such as `payments-gateway`
    #[arg(long)]
    pub(crate) name: String,
    /// What it is for: check (asking for decisions), admin (operating the server), audit (reading what happened)
    #[arg(long, value_name = "KIND")]
    pub(crate) kind: String,
    /// When it ends: RFC 3339, or from now such as `+90d`; at most 366 days from now
    #[arg(long, value_name = "TIME", default_value = "+90d")]
    pub(crate) expires: String,
    /// Write it to this file, readable by its owner alone, instead of showing it; the file must not be there yet
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) authored: Authored,
}
