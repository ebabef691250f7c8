//! Which database, and how `migrate` prepares it.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Deserialize;

/// A pooler between this program and the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Pooler {
    /// Every connection is a session of its own; what a pooler in session mode gives as well
    None,
    /// Every transaction may run on another connection, as with `PgBouncer` in transaction mode
    Transaction,
}

/// How the shared database is reached. Prefer the files: a command line is visible to everybody here.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "PostgreSQL instead of the embedded store")]
pub(crate) struct DatabaseArgs {
    /// Such as `postgres://magistrate_app@db.internal/magistrate`
    #[arg(
        id = "database_url",
        long = "database-url",
        global = true,
        env = "MAGISTRATE_DATABASE_URL",
        value_name = "URL",
        hide_env_values = true
    )]
    pub(crate) url: Option<String>,
    /// File that holds the URL
    #[arg(
        id = "database_url_file",
        long = "database-url-file",
        global = true,
        env = "MAGISTRATE_DATABASE_URL_FILE",
        value_name = "FILE"
    )]
    pub(crate) url_file: Option<PathBuf>,
    /// File that holds the password
    #[arg(
        id = "database_password_file",
        long = "database-password-file",
        global = true,
        env = "MAGISTRATE_DATABASE_PASSWORD_FILE",
        value_name = "FILE"
    )]
    pub(crate) password_file: Option<PathBuf>,
    /// URL past the pooler, to hear of changes at once
    #[arg(
        id = "database_direct_url",
        long = "database-direct-url",
        global = true,
        env = "MAGISTRATE_DATABASE_DIRECT_URL",
        value_name = "URL",
        hide_env_values = true
    )]
    pub(crate) direct_url: Option<String>,
    /// File that holds the URL past the pooler
    #[arg(
        id = "database_direct_url_file",
        long = "database-direct-url-file",
        global = true,
        env = "MAGISTRATE_DATABASE_DIRECT_URL_FILE",
        value_name = "FILE"
    )]
    pub(crate) direct_url_file: Option<PathBuf>,
    /// The pooler in between
    #[arg(
        id = "database_pooler",
        long = "database-pooler",
        global = true,
        env = "MAGISTRATE_DATABASE_POOLER",
        value_enum,
        value_name = "MODE"
    )]
    pub(crate) pooler: Option<Pooler>,
}

/// What protects the decision history against whoever owns the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum HardeningArg {
    /// Rights and triggers
    #[default]
    Standard,
    /// Event triggers too; needs a superuser
    Strict,
}

#[derive(Debug, Args)]
pub(crate) struct MigrateArgs {
    /// Print the SQL that creates the database roles, for a DBA to run, and do nothing
    #[arg(long)]
    pub(crate) print_roles: bool,
    /// What the names of the database roles begin with
    #[arg(long, value_name = "PREFIX", default_value = "magistrate")]
    pub(crate) role_prefix: String,
    /// What protects the decision history
    #[arg(long, value_enum, default_value_t)]
    pub(crate) hardening: HardeningArg,
    /// Let a role log in with the password that a file holds; role is app, admin, auditor or retention
    #[arg(long = "password", value_name = "ROLE=FILE", value_parser = role_and_file)]
    pub(crate) passwords: Vec<(String, PathBuf)>,
}

fn role_and_file(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((role @ ("app" | "admin" | "auditor" | "retention"), file)) if !file.is_empty() => {
            Ok((role.to_owned(), file.into()))
        }
        _ => Err("write `app=FILE`, `admin=FILE`, `auditor=FILE` or `retention=FILE`".to_owned()),
    }
}
