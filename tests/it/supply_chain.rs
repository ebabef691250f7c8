//! What is built in: its licences, its sources, what is there twice, and what is known to be wrong with it.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use magistrate_tests::{tell, workspace};

/// A crate of others that the shipped program is built with.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Built {
    name: String,
    version: String,
    licence: String,
    /// A repository or path; empty for the registry.
    from: String,
}

/// Every one of them, as cargo itself resolves them (its metadata names optional crates that are not built).
fn shipped() -> BTreeSet<Built> {
    let mut tree = Command::new(env!("CARGO"));
    tree.current_dir(workspace()).args(["tree", "--locked", "-p", "magistrate-server", "--edges", "normal,build"]);
    tree.args(["--prefix", "none", "--format", "{p}|{l}", "--target", "x86_64-unknown-linux-gnu"]);
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

/// The strings of a list in the configuration.
fn listed(key: &str) -> BTreeSet<String> {
    let text = std::fs::read_to_string(workspace().join(".deny.toml")).unwrap();
    let (_, rest) = text.split_once(&format!("\n{key} = [")).unwrap();
    let list = rest.split_once("\n]").or_else(|| rest.split_once(']')).unwrap().0;
    list.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

/// An expression of SPDX holds if one of its alternatives does, and all parts of that.
fn is_allowed(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let expression = expression.replace(['(', ')'], " ").replace('/', " OR ");
    let part = |part: &str| allowed.contains(part.split(" WITH ").next().unwrap().trim());
    expression.split(" AND ").all(|all| all.split(" OR ").any(part))
}

#[test]
fn licences_are_among_those_allowed() {
    let allowed = listed("allow");
    let refused: Vec<_> = shipped().into_iter().filter(|built| !is_allowed(&built.licence, &allowed)).collect();
    assert!(refused.is_empty(), "{refused:#?}");
    assert!(!is_allowed("GPL-3.0", &allowed) && !is_allowed("MIT AND GPL-3.0", &allowed) && !is_allowed("", &allowed));
    assert!(is_allowed("GPL-2.0 OR MIT", &allowed) && is_allowed("(MIT OR Apache-2.0) AND ISC", &allowed));
}

#[test]
fn crates_come_from_the_registry_and_none_is_banned() {
    let banned = listed("deny");
    assert!(banned.contains("ring"));
    let built = shipped();
    assert!(built.len() > 200, "{}", built.len());
    let wrong: Vec<_> = built.iter().filter(|it| !it.from.is_empty() || banned.contains(&it.name)).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The software bill of materials names exactly what is built in, and the same lock gives the same bytes.
#[test]
fn bill_of_materials_is_complete() {
    let bill = || {
        let script = workspace().join("deploy/supply-chain/sbom.py");
        let output =
            Command::new("python3").arg(script).current_dir(workspace()).env("CARGO", env!("CARGO")).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    let text = bill();
    let json: serde_json::Value = serde_json::from_slice(&text).unwrap();
    assert_eq!((json["bomFormat"].as_str(), json["specVersion"].as_str()), (Some("CycloneDX"), Some("1.5")));
    let components = json["components"].as_array().unwrap();
    let named: BTreeSet<&str> = components.iter().map(|it| it["purl"].as_str().unwrap()).collect();
    let built = shipped();
    let expected: BTreeSet<String> = built.iter().map(|it| format!("pkg:cargo/{}@{}", it.name, it.version)).collect();
    assert_eq!(named, expected.iter().map(String::as_str).collect());
    assert_eq!(bill(), text);
}

/// Crates that are built in two versions: told, and no more than today.
#[test]
fn what_is_built_twice_is_told() {
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for built in shipped() {
        versions.entry(built.name).or_default().insert(built.version);
    }
    let twice: BTreeMap<_, _> = versions.into_iter().filter(|(_, versions)| versions.len() > 1).collect();
    tell(&format!("built in several versions: {twice:?}"));
    assert!(twice.len() <= MOST_TWICE, "{} crates are built in several versions: {twice:#?}", twice.len());
}

/// Crates of others that have not agreed on a version yet.
const MOST_TWICE: usize = 20;

/// No crate is built in a version that an advisory of the snapshot names.
#[test]
fn no_advisory_of_the_snapshot_applies() {
    let built: Vec<(String, String)> = shipped().into_iter().map(|built| (built.name, built.version)).collect();
    let known = advisories();
    assert!(known.len() >= 14, "{}", known.len());
    assert_eq!(affected(&built, &known), Vec::<String>::new());
    let old = [("h2".to_owned(), "0.4.3".to_owned()), ("bytes".to_owned(), "1.11.1".to_owned())];
    assert_eq!(affected(&old, &known), ["h2 0.4.3: RUSTSEC-2024-0332", "h2 0.4.3: RUSTSEC-2026-0258"]);
}

/// Id, crate, and the first version that is mended.
fn advisories() -> Vec<(String, String, String)> {
    let text = std::fs::read_to_string(workspace().join("deploy/supply-chain/advisories.toml")).unwrap();
    let lines = text.lines().filter(|line| line.starts_with("RUSTSEC-"));
    let mut known: Vec<_> = lines
        .map(|line| {
            let (id, rest) = line.split_once(" = ").unwrap();
            let mut quoted = rest.split('"').skip(1).step_by(2).map(str::to_owned);
            (id.to_owned(), quoted.next().unwrap(), quoted.next().unwrap())
        })
        .collect();
    known.sort();
    known
}

fn affected(built: &[(String, String)], known: &[(String, String, String)]) -> Vec<String> {
    let number = |version: &str| {
        let plain = version.split(['-', '+']).next().unwrap().to_owned();
        plain.split('.').map(|part| part.parse().unwrap()).collect::<Vec<u64>>()
    };
    let mut found = Vec::new();
    for (id, name, mended) in known {
        let old = built.iter().filter(|(it, version)| it == name && number(version) < number(mended));
        found.extend(old.map(|(name, version)| format!("{name} {version}: {id}")));
    }
    found
}
