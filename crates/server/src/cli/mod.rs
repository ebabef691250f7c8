//! The command line.

mod admin;
mod audit;
mod caller;
mod check;
mod database;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

pub(crate) use admin::{
    Authored, BulkImport, EntityVerb, GrantArgs, GrantFilterArgs, GrantVerb, Import, PolicyVerb, RoleVerb, ScopeVerb,
};
pub(crate) use audit::{
    ActsArgs, AuditVerb, CheckProofArgs, EraseArgs, ExpireArgs, HoldArgs, ProveArgs, ReplayArgs, SearchArgs, TailArgs,
    VerifyArgs, WantedArgs,
};
pub(crate) use caller::{CallerVerb, KeyVerb, NewKeyArgs};
pub(crate) use check::CheckArgs;
pub(crate) use database::{DatabaseArgs, HardeningArg, MigrateArgs, Pooler};

use crate::output::Format;

/// Magistrate decides whether a principal may do an action on a resource, and records every decision
/// before it answers.
///
/// Exit codes: 0 ok, allowed, nothing to change; 1 error; 2 usage; 3 invalid policy; 4 tests failed;
/// 5 denied (`check`); 6 changes pending (dry runs); 7 integrity failure.
#[derive(Debug, Parser)]
#[command(name = "magistrate", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// Options of every verb.
#[derive(Debug, Clone, Args)]
pub(crate) struct Global {
    /// Directory of the embedded store [default: .magistrate]
    #[arg(long, global = true, env = "MAGISTRATE_DATA", value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) database: DatabaseArgs,
    /// Name of this node, for people [default: the machine's]
    #[arg(long, global = true, env = "MAGISTRATE_NODE", value_name = "NAME")]
    pub(crate) node: Option<String>,
    /// Configuration file [default: magistrate.toml, if there is one]
    #[arg(long, global = true, env = "MAGISTRATE_CONFIG", value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Namespace of action ids written without one [default: the root namespace]
    #[arg(long, global = true, env = "MAGISTRATE_DEFAULT_NAMESPACE", value_name = "NAMESPACE")]
    pub(crate) default_namespace: Option<String>,
    /// Form of the output
    #[arg(short, long, global = true, value_enum, default_value_t)]
    pub(crate) output: Format,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Start a throw-away server with the example loaded, ask it two questions and keep serving
    Dev(DevArgs),
    /// Serve decisions from the store
    Serve(ServeArgs),
    /// Create the store, or bring it to this program's schema version
    Migrate(MigrateArgs),
    /// Examine what is configured and say what to do about it
    Doctor,
    /// Ask a running server on this machine whether it is alive or ready; for probes in images without a shell
    Health(HealthArgs),
    /// Ask a server, or files, whether something is allowed
    Check(Box<CheckArgs>),
    /// Ask the same, and tell what led to the answer: policies, clauses, values read, grants, and what was lacking
    Explain(Box<CheckArgs>),
    /// Lint, test and apply policies
    #[command(subcommand)]
    Policy(PolicyVerb),
    /// Stored entities: users, groups, resources
    #[command(subcommand)]
    Entity(EntityVerb),
    /// Roles and what they include
    #[command(subcommand)]
    Role(RoleVerb),
    /// The scope catalogue
    #[command(subcommand)]
    Scope(ScopeVerb),
    /// Role and scope assignments
    #[command(subcommand)]
    Grant(GrantVerb),
    /// Who may call, and with what
    #[command(subcommand)]
    Caller(CallerVerb),
    /// The decision history
    #[command(subcommand)]
    Audit(AuditVerb),
    /// Write a starting policy directory: schema, policies, tests, data and a sample of how to ask
    Init(InitArgs),
    /// Print a completion script for a shell
    Completion {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Write manual pages, one a verb
    Man {
        /// Directory to write them to
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
    },
}

#[derive(Debug, Args)]
pub(crate) struct DevArgs {
    /// Port on the loopback address; 0 takes a free one
    #[arg(long, default_value_t = 7700)]
    pub(crate) port: u16,
    /// Policy directory to load instead of the built-in example
    #[arg(long, value_name = "DIR")]
    pub(crate) policies: Option<PathBuf>,
    /// End after the two questions instead of serving on
    #[arg(long)]
    pub(crate) once: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ServeArgs {
    /// Address of the gRPC door; off loopback, TLS and API keys are required [default: 127.0.0.1:7700]
    #[arg(long, env = "MAGISTRATE_LISTEN", value_name = "ADDRESS")]
    pub(crate) listen: Option<SocketAddr>,
    /// Address of the operations listener (health and metrics), several parted by commas, or `off`
    /// [default: 127.0.0.1:7702]
    #[arg(long, env = "MAGISTRATE_OPS_LISTEN", value_name = "ADDRESS")]
    pub(crate) ops_listen: Option<String>,
    /// Address of the administration listener, where auditors read the history, or `off` [default: 127.0.0.1:7701 with the
    /// embedded store; off with PostgreSQL, unless a login of the auditor is configured]
    #[arg(long, env = "MAGISTRATE_ADMIN_LISTEN", value_name = "ADDRESS")]
    pub(crate) admin_listen: Option<String>,
    /// Threads that serve; 0 is one a core [default: 0]
    #[arg(long, env = "MAGISTRATE_WORKERS", value_name = "COUNT")]
    pub(crate) workers: Option<usize>,
    /// Bytes that earlier answers may take, to be used again where nothing that they came from is another; 0 evaluates every
    /// question [default: 67108864]
    #[arg(long, env = "MAGISTRATE_DECISION_REUSE_BYTES", value_name = "BYTES")]
    pub(crate) decision_reuse_bytes: Option<u64>,
    /// When told to stop, go on serving for so long while saying that it is not ready, so that balancers look
    /// elsewhere first [default: 0]
    #[arg(long, env = "MAGISTRATE_DRAIN_DELAY", value_name = "SECONDS")]
    pub(crate) drain_delay: Option<u64>,
    /// Examine the configuration and everything it names, print it and end without serving
    #[arg(long)]
    pub(crate) check: bool,
}

#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// What to start from
    #[arg(long, value_enum, required_unless_present = "list")]
    pub(crate) template: Option<Template>,
    /// Tell what there is to start from, and write nothing
    #[arg(long, conflicts_with = "template")]
    pub(crate) list: bool,
    /// Directory to write to; it must be empty or not there yet
    #[arg(default_value = "policies", value_name = "DIR", conflicts_with = "list")]
    pub(crate) directory: PathBuf,
}

/// What a policy directory starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Template {
    /// An API gateway: routes, methods and users in tenants
    Gateway,
    /// A multi-tenant application: roles on projects, owners, plans
    Saas,
    /// Services and jobs that call each other with scopes
    M2m,
}

#[derive(Debug, Args)]
pub(crate) struct HealthArgs {
    /// Ask whether the process is alive, rather than whether it can decide
    #[arg(long, conflicts_with = "ready")]
    pub(crate) live: bool,
    /// Ask whether it can decide, the default
    #[arg(long)]
    pub(crate) ready: bool,
    /// Address of the operations listener [default: the first on loopback that is configured]
    #[arg(long, env = "MAGISTRATE_OPS_LISTEN", value_name = "ADDRESS")]
    pub(crate) ops: Option<String>,
}
