//! What an engine would set up around the program: a database, secrets in files, and names that lead there.

use std::path::{Path, PathBuf};
use std::process::Command;

use magistrate_testkit::postgres::{Cluster, Options};
use magistrate_tests::{Ran, Running, magistrate, program, workspace};
use tempfile::TempDir;

use super::content;

/// A PostgreSQL with an empty database `magistrate`, the secrets of `secrets.sh`, and an empty directory to run in.
pub(super) struct Stage {
    home: TempDir,
    cluster: Cluster,
    names: Vec<(String, String)>,
}

impl Stage {
    pub(super) fn set() -> Self {
        let home = tempfile::Builder::new().prefix("magistrate-stage-").tempdir().unwrap();
        let cluster = Cluster::private(&Options::default());
        let _made = cluster.sql("postgres", "CREATE DATABASE magistrate");
        let stage = Self { home, cluster, names: Vec::new() };
        let script = workspace().join("deploy/compose/secrets.sh");
        content(Command::new("sh").arg(script).arg(stage.secrets()));
        // The one secret that the database's image would take over from the file; here the database is there first.
        let url = stage.cluster.superuser_url("magistrate");
        let password = url.split_once("//postgres:").unwrap().1.split_once('@').unwrap().0;
        std::fs::write(stage.secret("postgres_password"), password).unwrap();
        stage
    }

    /// The same where a text means another: a path, or a host.
    pub(super) fn called(mut self, there: &str, here: &str) -> Self {
        self.names.push((there.to_owned(), here.to_owned()));
        self
    }

    /// What something is called here.
    pub(super) fn here(&self, text: &str) -> String {
        self.names.iter().fold(text.to_owned(), |text, (there, here)| text.replace(there, here))
    }

    pub(super) fn home(&self) -> &Path {
        self.home.path()
    }

    pub(super) fn secrets(&self) -> PathBuf {
        self.home().join("secrets")
    }

    pub(super) fn secret(&self, name: &str) -> String {
        self.secrets().join(name).to_str().unwrap().to_owned()
    }

    /// Host and port of the database.
    pub(super) fn database(&self) -> String {
        self.cluster.address().to_string()
    }

    /// The program with these variables in its environment, as they are called here, and nothing else.
    pub(super) fn program<'a>(&self, environment: impl IntoIterator<Item = (&'a str, &'a str)>) -> Command {
        let mut command = Command::new(program());
        command.env_clear().env("USER", "tester").current_dir(self.home());
        command.envs(environment.into_iter().map(|(name, value)| (name, self.here(value))));
        command
    }

    /// Asks a node over TLS, with a key if there is one, whether ana may read a message.
    pub(super) fn ask(&self, node: &Running, key: Option<&Path>, message: &str) -> Ran {
        let url = format!("https://localhost:{}", node.address().rsplit(':').next().unwrap());
        let authority = self.secret("ca.pem");
        let mut arguments = vec!["--default-namespace", "Company", "check", "--server", &url, "--ca-file", &authority];
        arguments.extend(key.map(|path| ["--api-key-file", path.to_str().unwrap()]).into_iter().flatten());
        arguments.extend(["Company::User::ana", "readMessage", message]);
        magistrate(self.home(), arguments)
    }

    /// A node answers over TLS whoever has a key, and nobody else.
    pub(super) fn expect_answers(&self, node: &Running, key: &Path) {
        let _allowed = self.ask(node, Some(key), "Company::Message::m-1001").code(0);
        let _denied = self.ask(node, Some(key), "Company::Message::nobody-wrote-it").code(5);
        let _nobody = self.ask(node, None, "Company::Message::m-1001").code(1);
        let _well = magistrate(self.home(), ["health", "--ops", node.ops()]).code(0);
    }
}
