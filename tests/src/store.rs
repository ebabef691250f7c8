//! A throw-away store, administered through the binary.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::program::{Ran, magistrate, program, workspace};

/// A directory with a migrated store, and policies if asked for.
#[derive(Debug)]
pub struct Store {
    home: TempDir,
}

impl Store {
    /// A directory with nothing in it.
    pub fn nowhere() -> Self {
        Self { home: tempfile::Builder::new().prefix("magistrate-test-").tempdir().unwrap() }
    }

    /// A migrated store without policies.
    pub fn empty() -> Self {
        let store = Self::nowhere();
        let _ran = store.run(&["migrate"]).code(0);
        store
    }

    /// A store with the shipped example and its data.
    pub fn example() -> Self {
        let store = Self::empty();
        let policies = workspace().join("policies");
        let _ran =
            store.run(&["policy", "apply", policies.to_str().unwrap(), "--with-data", "--reason", "test"]).code(0);
        store
    }

    /// The directory the binary runs in.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// The data directory, which the binary finds by default.
    pub fn data(&self) -> PathBuf {
        self.home().join(".magistrate")
    }

    /// Writes a file beside the store and returns its path.
    pub fn file(&self, name: &str, text: &str) -> String {
        let path = self.home().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// Runs the binary on this store.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        magistrate(self.home(), ["--default-namespace", "Company"].iter().chain(arguments))
    }

    /// Starts the binary on this store, to be read from while it runs.
    pub fn spawn(&self, arguments: &[&str]) -> Child {
        let mut command = Command::new(program());
        command.current_dir(self.home()).args(arguments).stdout(Stdio::piped()).spawn().unwrap()
    }

    /// Every decision in history, as `audit search` tells it, oldest first.
    pub fn history(&self) -> Vec<serde_json::Value> {
        let ran = self.run(&["-o", "json", "audit", "search", "--limit", "1000000"]).code(0);
        let mut found = ran.json().as_array().unwrap().clone();
        found.reverse();
        found
    }
}
