//! What is built in: its licences, its sources, what is there twice, and what is known to be wrong with it.

use std::collections::BTreeSet;
use std::process::Command;

use magistrate_tests::workspace;

mod advisories;
mod bans;
mod bill;
mod licences;

/// The platform that the tests look at.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// A crate of others, as it is built in.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Built {
    name: String,
    version: String,
    licence: String,
    /// A repository or path; empty for the registry.
    from: String,
}

/// What the shipped program is built with.
fn shipped() -> BTreeSet<Built> {
    tree(&["-p", "magistrate-server", "--edges", "normal,build"])
}

/// What everything here is built with, the tests too.
fn built() -> BTreeSet<Built> {
    tree(&["--workspace", "--edges", "normal,build,dev"])
}

/// What cargo itself resolves (its metadata names optional crates that are not built).
fn tree(which: &[&str]) -> BTreeSet<Built> {
    let mut tree = Command::new(env!("CARGO"));
    tree.current_dir(workspace()).args(["tree", "--locked", "--target", TARGET]).args(which);
    tree.args(["--prefix", "none", "--format", "{p}|{l}"]);
    let output = tree.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().map(|line| line.trim_end_matches(" (*)")).filter(|line| !line.starts_with("magistrate-"));
    let built = lines.filter_map(|line| {
        let (package, licence) = line.split_once('|')?;
        let mut words = package.split(' ').filter(|word| *word != "(proc-macro)" && *word != "(*)");
        let (name, version) = (words.next()?.to_owned(), words.next()?.trim_start_matches('v').to_owned());
        Some(Built { name, version, licence: licence.trim().to_owned(), from: words.collect() })
    });
    built.collect()
}

/// The rules, in the form of cargo-deny; what we do not enforce here is left to that program.
#[derive(Debug, serde::Deserialize)]
struct Rules {
    licenses: Licences,
    bans: Bans,
    sources: Sources,
}

#[derive(Debug, serde::Deserialize)]
struct Licences {
    allow: Vec<String>,
}

#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Bans {
    multiple_versions: String,
    deny: Vec<Named>,
    skip: Vec<Named>,
}

#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Sources {
    unknown_registry: String,
    unknown_git: String,
}

#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    #[serde(rename = "crate")]
    name: String,
    #[serde(default)]
    reason: String,
}

fn rules() -> Rules {
    let text = std::fs::read_to_string(workspace().join(".deny.toml")).unwrap();
    toml::from_str(&text).unwrap()
}
