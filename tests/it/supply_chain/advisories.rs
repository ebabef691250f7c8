//! What is known to be wrong with crates in `Cargo.lock`: facts of a dated snapshot, and the whole database where one
//! is named.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use cargo_metadata::semver::{Version, VersionReq};
use magistrate_tests::{tell, workspace};
use serde::Deserialize;
use time::macros::format_description;
use time::{Date, Duration, OffsetDateTime};

use super::shipped;

/// A directory with a clone of the advisory database, to compare with all of it.
const DATABASE: &str = "MAGISTRATE_ADVISORY_DB";
/// A snapshot older than this is told of.
const FRESH: Duration = Duration::days(90);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Snapshot {
    #[serde(rename = "snapshot")]
    taken: String,
    advisories: Vec<Advisory>,
    waivers: Vec<Waiver>,
    looked_up: BTreeSet<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Advisory {
    id: String,
    package: String,
    date: String,
    patched: Vec<VersionReq>,
    #[serde(default)]
    unaffected: Vec<VersionReq>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Waiver {
    id: String,
    reason: String,
}

#[derive(Debug, Deserialize)]
struct Lock {
    package: Vec<Locked>,
}

#[derive(Debug, Deserialize)]
struct Locked {
    name: String,
    version: Version,
}

fn snapshot() -> Snapshot {
    let text = std::fs::read_to_string(workspace().join("deploy/supply-chain/advisories.toml")).unwrap();
    toml::from_str(&text).unwrap()
}

fn locked() -> Vec<Locked> {
    let text = std::fs::read_to_string(workspace().join("Cargo.lock")).unwrap();
    toml::from_str::<Lock>(&text).unwrap().package
}

fn date(text: &str) -> Date {
    Date::parse(text, format_description!("[year]-[month]-[day]")).unwrap()
}

/// Crates in a version that is neither mended nor was ever right.
fn affected(locked: &[Locked], known: &[Advisory]) -> Vec<String> {
    let mut found = Vec::new();
    for advisory in known {
        let fine = |it: &&Locked| {
            let mut ranges = advisory.patched.iter().chain(&advisory.unaffected);
            it.name != advisory.package || ranges.any(|range| range.matches(&it.version))
        };
        let wrong = locked.iter().filter(|it| !fine(it));
        found.extend(wrong.map(|it| format!("{} {}: {}", it.name, it.version, advisory.id)));
    }
    found.sort();
    found
}

/// What is left when waivers have been heard, and waivers that waive nothing or give no reason.
fn unwaived(found: Vec<String>, waivers: &[Waiver]) -> Vec<String> {
    let is = |line: &str, waiver: &Waiver| line.ends_with(&format!(": {}", waiver.id));
    let idle = waivers.iter().filter(|it| it.reason.is_empty() || !found.iter().any(|line| is(line, it)));
    let idle: Vec<String> =
        idle.map(|it| format!("the waiver of {} waives nothing, or gives no reason", it.id)).collect();
    let left = found.into_iter().filter(|line| !waivers.iter().any(|waiver| is(line, waiver)));
    left.chain(idle).collect()
}

#[test]
fn no_advisory_of_the_snapshot_applies() {
    let known = snapshot();
    assert_eq!(unwaived(affected(&locked(), &known.advisories), &known.waivers), Vec::<String>::new());
    let newest = known.advisories.iter().map(|it| date(&it.date)).max().unwrap();
    assert_eq!(date(&known.taken), newest, "the snapshot is as old as the newest it knows");
    let missed: Vec<String> =
        shipped().into_iter().map(|it| it.name).filter(|it| !known.looked_up.contains(it)).collect();
    tell(&format!("{} shipped crates were not looked up: {}", missed.len(), missed.join(" ")));
    if is_stale(date(&known.taken), OffsetDateTime::now_utc().date()) {
        tell(&format!(
            "WARNING: the snapshot of advisories is of {}; take a newer one, or name a database in {DATABASE}",
            known.taken
        ));
    }
}

fn is_stale(taken: Date, today: Date) -> bool {
    today - taken > FRESH
}

#[test]
fn a_snapshot_grows_stale_after_ninety_days() {
    assert!(!is_stale(date("2026-01-01"), date("2026-04-01")));
    assert!(is_stale(date("2026-01-01"), date("2026-04-02")));
}

/// The check is seen to find what it is for, in a lock that is known to be bad.
#[test]
fn advisories_are_found_in_a_bad_lock() {
    let known = snapshot();
    let bad = |name: &str, version: &str| Locked { name: name.to_owned(), version: version.parse().unwrap() };
    let h2 = [bad("h2", "0.4.3"), bad("bytes", "1.11.1")];
    let found = affected(&h2, &known.advisories);
    assert_eq!(found, ["h2 0.4.3: RUSTSEC-2024-0332", "h2 0.4.3: RUSTSEC-2026-0258"]);
    // Between two mended lines, before the fault, and after it.
    for (name, version, wrong) in [
        ("rustls", "0.22.3", true),
        ("rustls", "0.22.4", false),
        ("rustls", "0.23.20", true),
        ("rustls", "0.23.45", false),
        ("slab", "0.4.9", false),
        ("slab", "0.4.10", true),
    ] {
        assert_eq!(!affected(&[bad(name, version)], &known.advisories).is_empty(), wrong, "{name} {version}");
    }
    let waiver = |id: &str, reason: &str| Waiver { id: id.to_owned(), reason: reason.to_owned() };
    let [continuation, empty] = ["RUSTSEC-2024-0332", "RUSTSEC-2026-0258"];
    assert_eq!(unwaived(found.clone(), &[waiver(continuation, "x"), waiver(empty, "x")]), Vec::<String>::new());
    assert_eq!(unwaived(found.clone(), &[waiver(continuation, "x")]), ["h2 0.4.3: RUSTSEC-2026-0258"]);
    assert_eq!(unwaived(found, &[waiver(continuation, "x"), waiver(empty, "")]).len(), 1);
    assert_eq!(unwaived(Vec::new(), &[waiver(empty, "x")]).len(), 1);
}

/// An advisory as it stands in the database: facts between the fences, and text that does not matter.
fn read(path: &Path) -> Option<Advisory> {
    #[derive(Deserialize)]
    struct Facts {
        advisory: Head,
        versions: Versions,
    }
    #[derive(Deserialize)]
    struct Head {
        id: String,
        package: String,
        date: String,
        withdrawn: Option<String>,
        informational: Option<String>,
    }
    #[derive(Deserialize)]
    struct Versions {
        patched: Vec<VersionReq>,
        #[serde(default)]
        unaffected: Vec<VersionReq>,
    }
    let text = std::fs::read_to_string(path).unwrap();
    let facts = text.split_once("```toml\n").unwrap().1.split_once("\n```").unwrap().0;
    let facts: Facts = toml::from_str(facts).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let Head { id, package, date, withdrawn, informational } = facts.advisory;
    if withdrawn.is_some() || informational.as_deref() == Some("notice") {
        return None;
    }
    Some(Advisory { id, package, date, patched: facts.versions.patched, unaffected: facts.versions.unaffected })
}

/// What a database says about crates that are locked.
fn database(root: &Path, locked: &[Locked]) -> Vec<Advisory> {
    let crates = root.join("crates");
    assert!(crates.is_dir(), "`{}` is no clone of the advisory database: it has no `crates`", root.display());
    let names: BTreeSet<&str> = locked.iter().map(|it| it.name.as_str()).collect();
    let folders = names.iter().filter_map(|name| std::fs::read_dir(crates.join(name)).ok());
    let files = folders.flatten().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|it| it == "md")).filter_map(|path| read(&path)).collect()
}

#[test]
fn no_advisory_of_the_database_applies() {
    let Some(root) = std::env::var_os(DATABASE).map(PathBuf::from) else {
        return tell(&format!("{DATABASE} names no clone of the advisory database: only the snapshot is compared"));
    };
    let locked = locked();
    let known = database(&root, &locked);
    tell(&format!("{} advisories about crates in Cargo.lock", known.len()));
    assert_eq!(unwaived(affected(&locked, &known), &snapshot().waivers), Vec::<String>::new());
}

/// A database is read as it is laid out, and what was withdrawn is not held against anybody.
#[test]
fn a_database_is_read() {
    let root = tempfile::tempdir().unwrap();
    let write = |id: &str, more: &str, patched: &str| {
        let folder = root.path().join("crates/h2");
        std::fs::create_dir_all(&folder).unwrap();
        let head = format!("[advisory]\nid = \"{id}\"\npackage = \"h2\"\ndate = \"2024-04-03\"\nurl = \"x\"\n{more}");
        let text = format!("```toml\n{head}\n[versions]\npatched = [{patched}]\n```\n\n# A title\n\n```rust\n```\n");
        std::fs::write(folder.join(format!("{id}.md")), text).unwrap();
    };
    write("RUSTSEC-2000-0001", "", "\"^0.3.26\", \">= 0.4.4\"");
    write("RUSTSEC-2000-0002", "withdrawn = \"2024-05-01\"\n", "");
    write("RUSTSEC-2000-0003", "informational = \"notice\"\n", "");
    write("RUSTSEC-2000-0004", "informational = \"unmaintained\"\n", "");
    let h2 = [Locked { name: "h2".to_owned(), version: Version::new(0, 4, 3) }];
    let found = affected(&h2, &database(root.path(), &h2));
    assert_eq!(found, ["h2 0.4.3: RUSTSEC-2000-0001", "h2 0.4.3: RUSTSEC-2000-0004"]);
}
