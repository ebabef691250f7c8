//! Configuration: flags over environment over `magistrate.toml` over defaults. Unknown keys are errors.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use magistrate_journal::Options;
use magistrate_ledger::PrivateFields;
use magistrate_model::{DurabilityClass, Span};
use magistrate_pdp::{RefusalSettings, Settings, Staleness};
use magistrate_storage_postgres::Database;
use serde::Deserialize;

use crate::cli::{Global, ServeArgs};
use crate::os;

mod admin;
mod database;
mod ops;
mod refusals;
mod reuse;
mod telemetry;
mod transport;

pub(crate) use admin::Admin;
use database::DatabaseFile;
pub(crate) use database::read_secret;
pub(crate) use ops::Ops;
pub(crate) use telemetry::{LogFormat, Otlp, Telemetry};
pub(crate) use transport::Transport;

/// The file looked for when none is named.
const FILE: &str = "magistrate.toml";
/// Where files lie unless another place is named.
const DATA: &str = ".magistrate";
/// Environment variables that are read; any other with the prefix is an error.
const VARIABLES: [&str; 30] = [
    "MAGISTRATE_DATA",
    "MAGISTRATE_DATABASE_URL",
    "MAGISTRATE_DATABASE_URL_FILE",
    "MAGISTRATE_DATABASE_PASSWORD_FILE",
    "MAGISTRATE_DATABASE_DIRECT_URL",
    "MAGISTRATE_DATABASE_DIRECT_URL_FILE",
    "MAGISTRATE_DATABASE_POOLER",
    "MAGISTRATE_NODE",
    "MAGISTRATE_JOURNAL",
    "MAGISTRATE_LEDGER_CLASS",
    "MAGISTRATE_SIGNING_KEY_FILE",
    "MAGISTRATE_CHECKPOINTS_FILE",
    "MAGISTRATE_CONFIG",
    "MAGISTRATE_LISTEN",
    "MAGISTRATE_DEFAULT_NAMESPACE",
    "MAGISTRATE_SERVER",
    "MAGISTRATE_ACTOR",
    "MAGISTRATE_LOG",
    "MAGISTRATE_LOG_FORMAT",
    "MAGISTRATE_OPS_LISTEN",
    "MAGISTRATE_ADMIN_LISTEN",
    "MAGISTRATE_AUDITOR_DATABASE_URL_FILE",
    "MAGISTRATE_DRAIN_DELAY",
    "MAGISTRATE_TLS_CERTIFICATE_FILE",
    "MAGISTRATE_TLS_KEY_FILE",
    "MAGISTRATE_WORKERS",
    "MAGISTRATE_DECISION_REUSE_BYTES",
    "MAGISTRATE_REQUIRE_KEY",
    "MAGISTRATE_API_KEY_FILE",
    "MAGISTRATE_CA_FILE",
];

/// What is configured, resolved.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// Where everything is kept.
    pub(crate) storage: Storage,
    /// The name of this node, for people.
    pub(crate) node: String,
    /// Where the gRPC door listens.
    pub(crate) listen: SocketAddr,
    /// The namespace of bare action ids; empty is the root.
    pub(crate) default_namespace: String,
    /// Limits of the decision point.
    pub(crate) settings: Settings,
    /// Which values are kept beside records, where they can be erased.
    pub(crate) private: PrivateFields,
    /// The journal of this node.
    pub(crate) journal: Options,
    /// How refusals are recorded.
    pub(crate) refusals: RefusalSettings,
    /// The key that signs its checkpoints.
    pub(crate) signing_key: PathBuf,
    /// Where the newest of them are kept, outside the store.
    pub(crate) checkpoints: PathBuf,
    /// How the door is reached.
    pub(crate) transport: Transport,
    /// The listener for whoever operates the server.
    pub(crate) ops: Ops,
    /// The listener for auditors, if there is to be one.
    pub(crate) admin: Option<Admin>,
    /// Logs, metrics and traces.
    pub(crate) telemetry: Telemetry,
}

/// Where policies, entities, grants and decisions are kept.
#[derive(Debug, Clone)]
pub(crate) enum Storage {
    /// In files of this directory.
    Embedded(PathBuf),
    /// In a database that several nodes share.
    Postgres(Box<Database>),
}

impl Storage {
    /// Where a node keeps its journal, unless it is told.
    pub(crate) fn journal(&self) -> PathBuf {
        match self {
            Self::Embedded(dir) => dir.join("journal"),
            Self::Postgres(_) => Path::new(DATA).join("journal"),
        }
    }
}

impl std::fmt::Display for Storage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Embedded(dir) => dir.display().fmt(f),
            Self::Postgres(database) => f.write_str(&database.describe()),
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    data: Option<PathBuf>,
    node: Option<String>,
    database: DatabaseFile,
    listen: Option<SocketAddr>,
    default_namespace: Option<String>,
    staleness: StalenessFile,
    ledger: LedgerFile,
    decision_reuse: reuse::ReuseFile,
    workers: Option<usize>,
    callers: transport::CallersFile,
    tls: transport::TlsFile,
    limits: transport::LimitsFile,
    ops: ops::OpsFile,
    admin: admin::AdminFile,
    telemetry: telemetry::TelemetryFile,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct StalenessFile {
    soft_seconds: Option<u32>,
    hard_seconds: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct LedgerFile {
    capacity: Option<u32>,
    class: Option<String>,
    journal: Option<PathBuf>,
    segment_bytes: Option<u64>,
    journal_bytes: Option<u64>,
    signing_key_file: Option<PathBuf>,
    checkpoints_file: Option<PathBuf>,
    refusals_per_minute: Option<u32>,
    refusal_summary_seconds: Option<u32>,
    private_fields: Vec<String>,
}

impl Config {
    /// Resolves the configuration.
    pub(crate) fn resolve(global: &Global, serve: Option<&ServeArgs>) -> anyhow::Result<Self> {
        check_variables(std::env::vars_os().filter_map(|(name, _)| name.into_string().ok()))?;
        let file = read(global.config.as_deref())?;
        let defaults = Settings::default();
        let seconds =
            |given: Option<u32>, default: Span| given.map_or(default, |seconds| Span::seconds(seconds.into()));
        let staleness = Staleness {
            soft: seconds(file.staleness.soft_seconds, defaults.staleness.soft),
            hard: seconds(file.staleness.hard_seconds, defaults.staleness.hard),
        };
        if staleness.soft > staleness.hard {
            bail!("`staleness.soft_seconds` is above `staleness.hard_seconds`; lower it");
        }
        let class = variable("MAGISTRATE_LEDGER_CLASS").or(file.ledger.class);
        let class = class.as_deref().map(str::parse::<DurabilityClass>).transpose().context("`ledger.class`")?;
        let capacity = file.ledger.capacity.map_or(Ok(defaults.ledger_capacity), usize::try_from)?;
        if capacity < 1_000 {
            bail!("`ledger.capacity` is {capacity}; a batch of 1,000 must fit");
        }
        let listen = serve.and_then(|args| args.listen).or(file.listen);
        let listen = listen.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 7700)));
        let storage = database::storage(global, file.data, &file.database)?;
        let journal = variable("MAGISTRATE_JOURNAL").map(PathBuf::from).or(file.ledger.journal);
        let defaults_of_journal = Options::of(journal.unwrap_or_else(|| storage.journal()));
        let dir = defaults_of_journal.dir.clone();
        let signing_key = variable("MAGISTRATE_SIGNING_KEY_FILE").map(PathBuf::from).or(file.ledger.signing_key_file);
        let checkpoints = variable("MAGISTRATE_CHECKPOINTS_FILE").map(PathBuf::from).or(file.ledger.checkpoints_file);
        Ok(Self {
            signing_key: signing_key.unwrap_or_else(|| dir.join("signing.key")),
            checkpoints: checkpoints.unwrap_or_else(|| dir.join("checkpoints")),
            private: PrivateFields::parse(&file.ledger.private_fields).context("`ledger.private_fields`")?,
            journal: Options {
                segment_bytes: file.ledger.segment_bytes.unwrap_or(defaults_of_journal.segment_bytes),
                max_bytes: file.ledger.journal_bytes.unwrap_or(defaults_of_journal.max_bytes),
                ..defaults_of_journal
            },
            refusals: refusals::resolve(file.ledger.refusals_per_minute, file.ledger.refusal_summary_seconds)?,
            node: global.node.clone().or(file.node).unwrap_or_else(os::host),
            listen,
            default_namespace: global.default_namespace.clone().or(file.default_namespace).unwrap_or_default(),
            settings: Settings {
                staleness,
                ledger_capacity: capacity,
                class: class.unwrap_or(defaults.class),
                reuse: reuse::resolve(&file.decision_reuse, serve.and_then(|it| it.decision_reuse_bytes))?,
            },
            transport: Transport {
                require_key: transport::require_key(&file.callers, variable("MAGISTRATE_REQUIRE_KEY"), listen)?,
                tls: transport::tls(file.tls, variable)?,
                workers: transport::workers(serve.and_then(|args| args.workers).or(file.workers))?,
                limits: transport::limits(&file.limits)?,
            },
            ops: ops::resolve(
                file.ops,
                serve.and_then(|it| it.ops_listen.as_deref()),
                serve.and_then(|it| it.drain_delay),
            )?,
            admin: admin::resolve(file.admin, serve.and_then(|it| it.admin_listen.as_deref()), variable, &storage)?,
            telemetry: telemetry::resolve(file.telemetry, variable)?,
            storage,
        })
    }

    /// Refuses to serve others in clear.
    pub(crate) fn check_reach(&self) -> anyhow::Result<()> {
        let tls = self.transport.tls.as_ref();
        transport::check_reach("listen", self.listen, tls)?;
        self.admin.iter().try_for_each(|admin| transport::check_reach("admin.listen", admin.listen, tls))?;
        self.ops.listen.iter().try_for_each(|address| transport::check_reach("ops.listen", *address, tls))
    }
}

/// A variable of the environment that says something.
fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn read(named: Option<&Path>) -> anyhow::Result<File> {
    let path = match named {
        Some(path) => path,
        None if Path::new(FILE).is_file() => Path::new(FILE),
        None => return Ok(File::default()),
    };
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    parse(&text).map_err(|why| anyhow::anyhow!("`{}` is not a configuration: {why}", path.display()))
}

/// INVARIANT: no value that may be a secret is told: neither the line at fault, which the error's own text quotes,
/// nor a text where another kind of value belongs.
fn parse(text: &str) -> Result<File, String> {
    toml::from_str(text).map_err(|error: toml::de::Error| {
        let before = text.get(..error.span().map_or(0, |span| span.start)).unwrap_or(text);
        let (line, column) =
            (before.matches('\n').count() + 1, before.chars().rev().take_while(|c| *c != '\n').count() + 1);
        let message = match (error.message().split_once("string \""), error.message().rsplit_once('"')) {
            (Some((head, _)), Some((_, tail))) => format!("{head}string{tail}"),
            _ => error.message().to_owned(),
        };
        format!("line {line}, column {column}: {message}")
    })
}

fn check_variables(names: impl Iterator<Item = String>) -> anyhow::Result<()> {
    for name in names.filter(|name| name.starts_with("MAGISTRATE_")) {
        if !VARIABLES.contains(&name.as_str()) {
            bail!("the environment sets `{name}`, which means nothing; known are {}", VARIABLES.join(", "));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_keys_are_errors() {
        assert!(toml::from_str::<File>("listen = \"127.0.0.1:1\"\n[staleness]\nsoft_seconds = 3").is_ok());
        for bad in ["listn = \"127.0.0.1:1\"", "[staleness]\nsoft = 3", "[ledger]\ncapacity = \"many\""] {
            assert!(toml::from_str::<File>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn no_error_tells_a_secret() {
        for text in [
            "database = \"postgres://u:hunter2@db/m\"",
            "[database]\nurll = \"hunter2\"",
            "[database]\nurl = \"hunter2",
            "[ledger]\ncapacity = \"a \\\" hunter2\"",
            "[database]\nurl = hunter2",
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.starts_with("line ") && !error.contains("hunter2"), "{error}");
        }
    }

    #[test]
    fn unknown_variables_are_errors() {
        let check = |name: &str| check_variables([name.to_owned()].into_iter());
        assert!(check("MAGISTRATE_DATA").is_ok());
        assert!(check("HOME").is_ok());
        assert!(check("MAGISTRATE_DATTA").unwrap_err().to_string().contains("means nothing"));
    }
}
