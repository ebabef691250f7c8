//! Arguments of the administration verbs.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Who changes something and why: kept in the change log.
#[derive(Debug, Args)]
pub(crate) struct Authored {
    /// Why; kept in the change log
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    /// Who [default: the operating system's user]
    #[arg(long, env = "MAGISTRATE_ACTOR", value_name = "NAME")]
    pub(crate) actor: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct Import {
    /// File of JSON lines (`.csv` too, for grants); `-` is standard input
    pub(crate) file: PathBuf,
    /// Check everything and tell what would change, without changing it; exits 6 if anything would
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) authored: Authored,
}

/// An import that may be large.
#[derive(Debug, Args)]
pub(crate) struct BulkImport {
    #[command(flatten)]
    pub(crate) import: Import,
    /// Items committed as one revision; a larger file is committed in parts, and goes on where it was stopped
    /// when it is imported again
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) part_size: u32,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PolicyVerb {
    /// Check schema and policies without a server
    Lint {
        /// Policy directory
        #[arg(default_value = "policies")]
        dir: PathBuf,
    },
    /// Run the cases in `tests/*.yaml` against the directory's policies and data
    Test {
        /// Policy directory
        #[arg(default_value = "policies")]
        dir: PathBuf,
    },
    /// Make the directory's policies the live set, as one recorded policy migration
    Apply {
        /// Policy directory
        #[arg(default_value = "policies")]
        dir: PathBuf,
        /// Name of the policy migration
        #[arg(long, default_value = "apply")]
        name: String,
        /// Accept a set that is empty or has lost more than half of its policies
        #[arg(long)]
        allow_shrink: bool,
        /// Put the directory's `data/` as well
        #[arg(long)]
        with_data: bool,
        #[command(flatten)]
        authored: Authored,
    },
    /// Show the live set and the policy migrations that led to it
    Status,
}

#[derive(Debug, Subcommand)]
pub(crate) enum EntityVerb {
    /// Create or replace an entity
    Put {
        /// Such as `Company::User::ana`
        uid: String,
        /// Attributes as a JSON object, or `@FILE`
        #[arg(long, value_name = "JSON", default_value = "{}")]
        attributes: String,
        /// A parent; may be repeated
        #[arg(long = "parent", value_name = "UID")]
        parents: Vec<String>,
        #[command(flatten)]
        authored: Authored,
    },
    /// Delete an entity that nothing hangs on
    Delete {
        /// Such as `Company::User::ana`
        uid: String,
        #[command(flatten)]
        authored: Authored,
    },
    /// List entities
    List {
        /// Of this type
        #[arg(long = "type", value_name = "TYPE")]
        type_name: Option<String>,
        /// At most so many
        #[arg(long, default_value_t = 100)]
        limit: u32,
        /// After this one
        #[arg(long, value_name = "UID")]
        after: Option<String>,
    },
    /// Put many: lines of `{"uid", "attributes", "parents"}`
    Import(BulkImport),
}

#[derive(Debug, Subcommand)]
pub(crate) enum RoleVerb {
    /// Create a role, or replace what it includes
    Put {
        /// Such as `editor`
        role: String,
        /// A role that every holder holds too; may be repeated
        #[arg(long = "includes", value_name = "ROLE")]
        includes: Vec<String>,
        #[command(flatten)]
        authored: Authored,
    },
    /// Delete a role that nobody holds
    Delete {
        /// Such as `editor`
        role: String,
        #[command(flatten)]
        authored: Authored,
    },
    /// List roles
    List,
    /// Put many: lines of `{"role", "parents"}`
    Import(Import),
}

#[derive(Debug, Subcommand)]
pub(crate) enum ScopeVerb {
    /// Declare a scope, or change its declaration
    Put {
        /// Such as `orders:read`
        scope: String,
        /// The action or action group it opens, such as `Company::Action::"orders:read"`
        #[arg(long, value_name = "UID")]
        action_group: String,
        /// What it is for
        #[arg(long, default_value = "")]
        description: String,
        #[command(flatten)]
        authored: Authored,
    },
    /// Delete a scope that no grant names
    Delete {
        /// Such as `orders:read`
        scope: String,
        #[command(flatten)]
        authored: Authored,
    },
    /// List the catalogue
    List,
    /// Put many: lines of `{"scope", "action_group", "description"}`
    Import(Import),
}

#[derive(Debug, Subcommand)]
pub(crate) enum GrantVerb {
    /// Assign a role or a scope until a given time
    Add(GrantArgs),
    /// End a grant now
    Revoke {
        /// The grant's id
        id: String,
        #[command(flatten)]
        authored: Authored,
    },
    /// List grants
    List(GrantFilterArgs),
    /// List grants in force that end soon
    Expiring {
        /// How soon, such as `7d`
        #[arg(long, default_value = "7d", value_name = "SPAN")]
        within: String,
    },
    /// Put many: lines of `{"holder", "role" or "scope", "resource", "expires_at", "reason"}`, or CSV
    Import(BulkImport),
}

#[derive(Debug, Args)]
pub(crate) struct GrantArgs {
    /// The principal, or the group whose members hold it
    pub(crate) holder: String,
    /// The role
    #[arg(long, required_unless_present = "scope", conflicts_with = "scope")]
    pub(crate) role: Option<String>,
    /// The scope, or a pattern such as `orders:*`
    #[arg(long)]
    pub(crate) scope: Option<String>,
    /// Resource on which, and on everything below which, the role is held [default: everywhere]
    #[arg(long, value_name = "UID")]
    pub(crate) on: Option<String>,
    /// When it ends: RFC 3339, or from now such as `+2h`
    #[arg(long, value_name = "TIME", required_unless_present = "standing")]
    pub(crate) expires: Option<String>,
    /// When it begins: RFC 3339, or from now such as `+2h` or `-1h` [default: at once]
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub(crate) not_before: Option<String>,
    /// Grant without an end; say why in --reason
    #[arg(long, conflicts_with = "expires")]
    pub(crate) standing: bool,
    /// Its id [default: a random one]
    #[arg(long)]
    pub(crate) id: Option<String>,
    #[command(flatten)]
    pub(crate) authored: Authored,
}

#[derive(Debug, Args)]
pub(crate) struct GrantFilterArgs {
    /// Held by this principal or group
    #[arg(long, value_name = "UID")]
    pub(crate) holder: Option<String>,
    /// Of this role
    #[arg(long)]
    pub(crate) role: Option<String>,
    /// Of exactly this scope or pattern
    #[arg(long)]
    pub(crate) scope: Option<String>,
    /// On exactly this resource
    #[arg(long, value_name = "UID")]
    pub(crate) on: Option<String>,
    /// In force now
    #[arg(long)]
    pub(crate) in_force: bool,
    /// At most so many
    #[arg(long, default_value_t = 100)]
    pub(crate) limit: u32,
}
