//! Magistrate itself, on a fresh store that was filled by its own commands.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, bail};
use magistrate_proto::v1::{BatchItem, CheckBatchRequest, CheckRequest, Entity, EntityRef};
use magistrate_testkit::postgres::{Cluster, Options};

use super::history::History;
use super::spec::{Spec, StoreKind};
use crate::call::Call;
use crate::scenario::{ACTION, Asked, NAMESPACE, Question};
use crate::wire::framed;

pub(crate) const CHECK: &str = "/magistrate.v1.AuthorizationService/Check";
pub(crate) const BATCH: &str = "/magistrate.v1.AuthorizationService/CheckBatch";

/// A change to a store that serves.
#[derive(Debug, Clone)]
pub(crate) enum Change {
    /// By a command.
    Command(Vec<String>),
    /// The policy set with this text besides.
    Policy(String),
}

/// A filled store.
#[derive(Debug)]
pub(crate) struct Magistrate {
    program: PathBuf,
    spec: Spec,
    home: PathBuf,
    /// `None`: the embedded store in `home`.
    cluster: Option<Cluster>,
}

/// Roles that log in to PostgreSQL, with passwords of no worth.
const LOGINS: [&str; 3] = ["app", "admin", "auditor"];
const PASSWORD: &str = "load";

impl Magistrate {
    /// Migrates a store in `home`, applies the policies and imports the data.
    pub(crate) fn prepare(spec: &Spec, home: &Path, asked: &Asked) -> anyhow::Result<Self> {
        let program = std::fs::canonicalize(&spec.program);
        let program = program.with_context(|| {
            format!("there is no program `{}`; build it, as with `cargo build --profile dist`", spec.program)
        })?;
        let cluster = match spec.store {
            StoreKind::Sqlite => None,
            // Its data on the disk and synchronised, as in production.
            StoreKind::Postgres => Some(Cluster::private(
                &Options { durable: true, data_on: Some(std::env::temp_dir()), ..Options::default() }
                    .set("track_commit_timestamp", "on"),
            )),
        };
        let prepared = Self { program, spec: spec.clone(), home: home.to_owned(), cluster };
        let files = home.join("scenario");
        asked.write(&files)?;
        prepared.migrate()?;
        let reason = ["--reason", "load"];
        let files = files.to_string_lossy();
        prepared.run(&[&["policy", "apply", &files, "--with-data"][..], &reason].concat())?;
        for (kind, verb) in [("entities", "entity"), ("grants", "grant")] {
            let file = format!("{files}/import/{kind}.jsonl");
            if std::fs::metadata(&file)?.len() > 0 {
                prepared.run(&[&[verb, "import", &file][..], &reason].concat())?;
            }
        }
        Ok(prepared)
    }

    /// What starts a server on it.
    pub(crate) fn serve(&self) -> Command {
        let mut command = self.command(self.login("app").as_deref());
        command.args(["serve", "--listen", "127.0.0.1:0", "--ops-listen", "off"]);
        if self.has_administration() {
            command.args(["--admin-listen", "off"]);
        }
        command.args(&self.spec.arguments);
        command.envs(self.spec.variables.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Earlier programs, which are compared with, have no administration listener.
    fn has_administration(&self) -> bool {
        let help = Command::new(&self.program).args(["serve", "--help"]).output();
        help.is_ok_and(|help| String::from_utf8_lossy(&help.stdout).contains("--admin-listen"))
    }

    /// Makes a change, as an administrator would.
    pub(crate) fn change(&self, change: &Change) -> anyhow::Result<()> {
        let files = self.home.join("scenario");
        let arguments = match change {
            Change::Command(arguments) => arguments.clone(),
            Change::Policy(text) => {
                std::fs::write(files.join("changing.cedar"), text)?;
                vec!["policy".into(), "apply".into(), files.to_string_lossy().into_owned()]
            }
        };
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).chain(["--reason", "load"]).collect();
        self.run(&arguments)
    }

    /// When PostgreSQL committed each revision, by the clock of the wall, in seconds.
    pub(crate) fn commits(&self) -> anyhow::Result<BTreeMap<u64, f64>> {
        let cluster = self.cluster.as_ref().context("only PostgreSQL tells when it committed what")?;
        let sql =
            "SELECT revision, extract(epoch FROM pg_xact_commit_timestamp(xmin)) FROM magistrate.revision_lineage";
        let rows = cluster.try_sql("postgres", sql).map_err(anyhow::Error::msg)?;
        let commit = |row: &str| -> Option<(u64, f64)> {
            let (revision, at) = row.split_once('|')?;
            Some((revision.parse().ok()?, at.parse().ok()?))
        };
        Ok(rows.lines().filter_map(commit).collect())
    }

    /// Where decisions are found again.
    pub(crate) fn history(&self) -> History {
        match &self.cluster {
            None => History::Embedded(self.home.join(".magistrate")),
            Some(cluster) => History::Postgres(cluster.clone()),
        }
    }

    /// The server process of the database, if there is one.
    pub(crate) fn database(&self) -> Option<u32> {
        let data = self.cluster.as_ref()?.data();
        std::fs::read_to_string(data.join("postmaster.pid")).ok()?.lines().next()?.trim().parse().ok()
    }

    fn migrate(&self) -> anyhow::Result<()> {
        let mut arguments = vec!["migrate".to_owned()];
        if self.cluster.is_some() {
            for login in LOGINS {
                let file = self.home.join(login);
                std::fs::write(&file, PASSWORD)?;
                arguments.push(format!("--password={login}={}", file.display()));
            }
        }
        self.run(&arguments.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// Runs a command of the program as whoever may do everything.
    fn run(&self, arguments: &[&str]) -> anyhow::Result<()> {
        let url = self.cluster.as_ref().map(|cluster| cluster.superuser_url("postgres"));
        let output = self.command(url.as_deref()).args(arguments).output();
        let output = output.with_context(|| format!("cannot run `{}`", self.program.display()))?;
        if !output.status.success() {
            bail!("`magistrate {}` failed: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr));
        }
        Ok(())
    }

    fn login(&self, login: &str) -> Option<String> {
        Some(self.cluster.as_ref()?.login("postgres", &format!("magistrate_{login}"), PASSWORD))
    }

    /// The program in its directory, with nothing of ours in its environment but where the database is.
    fn command(&self, database: Option<&str>) -> Command {
        let mut command = Command::new(&self.program);
        let ours = |name: &str| ["MAGISTRATE_", "PG", "OTEL_"].iter().any(|start| name.starts_with(start));
        for (name, _) in std::env::vars().filter(|(name, _)| ours(name)) {
            command.env_remove(name);
        }
        command.current_dir(&self.home).env("USER", "load").env("NO_COLOR", "1");
        if let Some(url) = database {
            command.env("MAGISTRATE_DATABASE_URL", url);
        }
        command
    }
}

/// The questions as Checks.
pub(crate) fn checks(asked: &Asked) -> Vec<Call> {
    asked.questions.iter().map(|it| Call { body: framed(&check(it)), expected: vec![it.allowed] }).collect()
}

/// The questions in batches of so many, each beginning one further on.
pub(crate) fn batches(asked: &Asked, size: usize) -> Vec<Call> {
    let item = |question: &Question| {
        let CheckRequest { principal, action, resource, .. } = check(question);
        BatchItem { principal, action, resource, ..BatchItem::default() }
    };
    let batch = |first: usize| {
        let items = || asked.questions.iter().cycle().skip(first).take(size);
        let message = CheckBatchRequest { items: items().map(item).collect(), ..CheckBatchRequest::default() };
        Call { body: framed(&message), expected: items().map(|it| it.allowed).collect() }
    };
    (0..asked.questions.len()).step_by(8).map(batch).collect()
}

pub(super) fn check(question: &Question) -> CheckRequest {
    let entity = |uid: &magistrate_model::EntityUid| {
        let uid = EntityRef { r#type: uid.type_name().as_str().into(), id: uid.id().as_str().into() };
        Some(Entity { uid: Some(uid), ..Entity::default() })
    };
    CheckRequest {
        principal: entity(&question.user.uid),
        action: format!("{NAMESPACE}::Action::\"{ACTION}\""),
        resource: entity(&question.document.uid),
        ..CheckRequest::default()
    }
}
