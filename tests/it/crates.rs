//! The crates and the arrows between them: a new arrow is a design change and a row here.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{Dependency, DependencyKind, MetadataCommand, Package};
use magistrate_tests::workspace;

/// Crate, ours it may depend on, and what it alone (or with the others named so) may use from outside.
const ROOMS: [(&str, &[&str], &[&str]); 15] = [
    ("model", &[], &["thiserror", "time", "serde", "serde_json"]),
    ("proto", &[], &["prost", "prost-types", "tonic", "tonic-prost"]),
    (
        "engine",
        &["model"],
        &["cedar-policy", "cedar-policy-core", "foldhash", "miette", "serde_json", "sha2", "smol_str", "thiserror"],
    ),
    ("identity", &["model"], &["data-encoding", "sha2", "subtle", "thiserror"]),
    ("ledger", &["model"], &["data-encoding", "ed25519-dalek", "minicbor", "serde_json", "sha2", "thiserror"]),
    ("journal", &["model", "ledger"], &["crc32fast", "rustix", "thiserror", "tokio", "tracing"]),
    (
        "pdp",
        &["model", "engine", "ledger"],
        &["arc-swap", "foldhash", "futures-util", "hashbrown", "moka", "rpds", "tokio", "thiserror"],
    ),
    (
        "pap",
        &["model", "engine", "identity", "ledger"],
        &["csv", "foldhash", "serde", "serde-saphyr", "serde_json", "sha2", "thiserror"],
    ),
    (
        "storage-sqlite",
        &["model", "identity", "ledger", "pdp", "pap"],
        &["sqlx", "serde_json", "sha2", "thiserror", "tokio", "tracing"],
    ),
    (
        "storage-postgres",
        &["model", "identity", "ledger", "pdp", "pap"],
        &[
            "sqlx",
            "serde_json",
            "sha2",
            "hmac",
            "pbkdf2",
            "base64",
            "tokio-stream",
            "rand",
            "futures-util",
            "thiserror",
            "tokio",
            "tracing",
        ],
    ),
    (
        "grpc",
        &["model", "proto", "pdp", "pap", "identity", "ledger"],
        &[
            "tonic",
            "tonic-health",
            "tonic-reflection",
            "tonic-types",
            "http",
            "hyper",
            "hyper-util",
            "rustls",
            "tokio-rustls",
            "x509-parser",
            "tower",
            "tower-layer",
            "tower-service",
            "arc-swap",
            "fastrand",
            "futures-util",
            "pin-project-lite",
            "prost",
            "thiserror",
            "tokio",
            "tracing",
        ],
    ),
    ("client", &["proto"], &["tonic", "tonic-types", "thiserror", "tokio"]),
    ("server", &["*"], &["*"]),
    ("testkit", &["*"], &["*"]),
    ("load", &["model", "pdp", "proto", "storage-sqlite", "testkit"], &["*"]),
];

/// What only certain crates may name.
const CONFINED: [(&str, &[&str]); 10] = [
    ("cedar-policy", &["engine"]),
    ("cedar-policy-core", &["engine"]),
    ("sqlx", &["storage-sqlite", "storage-postgres"]),
    ("tonic", &["proto", "grpc", "client", "server", "load", "tests"]),
    ("prost", &["proto", "grpc", "load"]),
    ("clap", &["server", "load"]),
    ("tracing-subscriber", &["server"]),
    ("opentelemetry", &["server"]),
    ("anyhow", &["server", "load"]),
    ("minicbor", &["ledger"]),
];

fn packages() -> BTreeMap<String, Package> {
    let metadata = MetadataCommand::new().manifest_path(workspace().join("Cargo.toml")).no_deps().exec().unwrap();
    let short = |package: Package| (package.name.trim_start_matches("magistrate-").to_owned(), package);
    metadata.packages.into_iter().map(short).collect()
}

/// What fuzz targets alone need is no arrow: it is in no program.
fn dependencies(package: &Package, kind: DependencyKind) -> BTreeSet<String> {
    let fuzzing = |it: &Dependency| it.target.as_ref().is_some_and(|target| target.to_string() == "cfg(fuzzing)");
    package.dependencies.iter().filter(|it| it.kind == kind && !fuzzing(it)).map(|it| it.name.clone()).collect()
}

#[test]
fn arrows_between_crates_are_those_of_the_design() {
    let packages = packages();
    let named: BTreeSet<&str> = ROOMS.iter().map(|(name, ..)| *name).chain(["tests"]).collect();
    assert_eq!(packages.keys().map(String::as_str).collect::<BTreeSet<_>>(), named, "a crate without a row");
    for (name, ours, outside) in ROOMS {
        for dependency in dependencies(&packages[name], DependencyKind::Normal) {
            let (list, short) = match dependency.strip_prefix("magistrate-") {
                Some(short) => (ours, short.to_owned()),
                None => (outside, dependency.clone()),
            };
            assert!(
                list.contains(&"*") || list.contains(&short.as_str()),
                "`{name} -> {dependency}` is not an allowed arrow"
            );
        }
    }
}

#[test]
fn confined_crates_are_named_where_they_belong() {
    for (name, package) in packages() {
        for (confined, rooms) in CONFINED {
            let uses = dependencies(&package, DependencyKind::Normal).contains(confined);
            assert!(!uses || rooms.contains(&name.as_str()), "`{name}` may not use `{confined}`");
        }
    }
}

#[test]
fn testkit_is_never_shipped() {
    for (name, package) in packages().into_iter().filter(|(name, _)| !["tests", "load"].contains(&name.as_str())) {
        let normal = dependencies(&package, DependencyKind::Normal);
        assert!(
            !normal.contains("magistrate-testkit") && !normal.contains("magistrate-tests"),
            "`{name}` would ship test code"
        );
    }
}
