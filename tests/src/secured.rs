//! A server that others may reach: with a certificate, and keys.

use std::path::{Path, PathBuf};
use std::process::Command;

use magistrate_client::{Client, ClientError, Options};

use crate::program::{program, workspace};
use crate::running::Running;
use crate::store::Store;

/// A store, and what a server on it shows and asks for.
#[derive(Debug)]
pub struct Secured {
    /// The store.
    pub store: Store,
}

impl Secured {
    /// The example, with certificates made as for the deployment of `docker-compose.yml`.
    pub fn example() -> Self {
        let secured = Self { store: Store::example() };
        secured.certify();
        secured
    }

    /// Makes a new certificate and key, in the files that a server reads.
    pub fn certify(&self) {
        let files = self.directory();
        for name in ["tls_key", "tls_certificate"] {
            let _none = std::fs::remove_file(files.join(name));
        }
        let made = Command::new("sh").arg(workspace().join("deploy/compose/secrets.sh")).arg(&files).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    }

    /// Where the files of certificate, key and authority lie.
    pub fn directory(&self) -> PathBuf {
        self.store.home().join("secrets")
    }

    /// Starts a server on every address of this machine, with more variables in its environment.
    pub fn start(&self, environment: &[(&str, &str)]) -> Running {
        Running::launch_at(self.command(environment), "0.0.0.0:0")
    }

    /// A command of the binary that knows of the certificate.
    pub fn command(&self, environment: &[(&str, &str)]) -> Command {
        let mut command = Command::new(program());
        command.current_dir(self.store.home()).args(["--default-namespace", "Company"]);
        command.env("MAGISTRATE_TLS_CERTIFICATE_FILE", self.directory().join("tls_certificate"));
        command.env("MAGISTRATE_TLS_KEY_FILE", self.directory().join("tls_key"));
        command.envs(environment.iter().copied());
        command
    }

    /// Makes a key and returns its text.
    pub fn key(&self, kind: &str) -> String {
        let ran = self.store.run(&["caller", "key", "new", "--name", "test", "--kind", kind, "--reason", "test"]);
        ran.code(0).out.trim().to_owned()
    }

    /// Connects over TLS with a key.
    pub async fn connect(&self, node: &Running, key: Option<&str>) -> Result<Client, ClientError> {
        let options = Options { api_key: key.map(str::to_owned), authorities: Some(self.authority()) };
        Client::connect_with(&self.url(node), &options).await
    }

    /// The certificate of whoever signed the server's.
    pub fn authority(&self) -> Vec<u8> {
        std::fs::read(self.directory().join("ca.pem")).unwrap()
    }

    /// Where a node is reached by the name in its certificate.
    pub fn url(&self, node: &Running) -> String {
        format!("https://localhost:{}", node.address().rsplit(':').next().unwrap())
    }

    /// The path of a file of these, as text.
    pub fn file(&self, name: &str) -> String {
        Path::to_str(&self.directory().join(name)).unwrap().to_owned()
    }
}
