//! Several administrators at once: one order of revisions, nothing lost, nothing twice.

use std::collections::BTreeSet;
use std::path::Path;

use magistrate_tests::postgres::{Deployment, Login};
use magistrate_tests::{Ran, tell, workspace};

const GRANTERS: usize = 4;
const GRANTS: usize = 5;
const APPLIERS: usize = 2;
const APPLIED: usize = 3;

#[test]
fn commits_of_many_processes_are_one_dense_history() {
    let deployment = Deployment::shared();
    let base = deployment.revision();
    let policies = variants(&deployment);
    let (granted, applied, conflicts) = std::thread::scope(|scope| {
        let deployment = &deployment;
        let granters: Vec<_> = (0..GRANTERS).map(|n| scope.spawn(move || grant(deployment, n))).collect();
        let appliers: Vec<_> = (0..APPLIERS)
            .map(|n| {
                let policies = &policies;
                scope.spawn(move || apply(deployment, policies, n))
            })
            .collect();
        let granted: Vec<Committed> = granters.into_iter().flat_map(|it| it.join().unwrap()).collect();
        let applied: Vec<Committed> = appliers.into_iter().flat_map(|it| it.join().unwrap()).collect();
        let conflicts: usize = granted.iter().chain(&applied).map(|it| it.conflicts).sum();
        (granted, applied, conflicts)
    });
    tell(&format!("{} grants, {} applied sets, {conflicts} conflicts", granted.len(), applied.len()));
    for Committed { key, revision, .. } in &granted {
        let logged = format!("SELECT revision, kind FROM magistrate.change_log WHERE key = '{key}'");
        assert_eq!(deployment.sql(&logged), format!("{revision}|grant.add"), "{key} is logged once, where it was told");
    }
    let told: BTreeSet<u64> = granted.iter().chain(&applied).map(|it| it.revision).filter(|it| *it > base).collect();
    let reached = deployment.revision();
    assert_eq!(told, (base + 1..=reached).collect(), "every revision was told to somebody");
    assert_eq!(granted.iter().map(|it| it.revision).collect::<BTreeSet<_>>().len(), GRANTERS * GRANTS);
    expect_one_lineage(&deployment, reached);
    assert!(conflicts > 0, "so many at once are in each other's way");
}

/// Revisions, log and digests are those of one history.
fn expect_one_lineage(deployment: &Deployment, reached: u64) {
    let dense = "SELECT count(*), count(DISTINCT revision), max(revision) FROM magistrate.revision_lineage
        WHERE revision > 0";
    assert_eq!(deployment.sql(dense), format!("{reached}|{reached}|{reached}"));
    let logged = "SELECT count(DISTINCT revision) FROM magistrate.change_log";
    assert_eq!(deployment.sql(logged), reached.to_string());
    let broken = "SELECT count(*) FROM (SELECT revision, lineage,
            lag(lineage, 1, decode(repeat('00', 32), 'hex')) OVER (ORDER BY revision) AS before
            FROM magistrate.revision_lineage) AS steps
        WHERE revision > 0 AND lineage <> magistrate.lineage_after(before, revision)";
    assert_eq!(deployment.sql(broken), "0", "each digest follows from the one before and the log");
    let stands = "SELECT r.value, r.lineage = l.lineage FROM magistrate.revision r
        JOIN magistrate.revision_lineage l ON l.revision = r.value";
    assert_eq!(deployment.sql(stands), format!("{reached}|t"));
}

/// What somebody was told about a change of theirs.
struct Committed {
    key: String,
    revision: u64,
    conflicts: usize,
}

fn grant(deployment: &Deployment, granter: usize) -> Vec<Committed> {
    let one = |n: usize| {
        let key = format!("g-{granter}-{n}");
        let what = ["grant", "add", "Company::User::ana", "--role", "viewer", "--expires", "+1h", "--id", &key];
        let (ran, conflicts) = insist(deployment, &what);
        Committed { revision: ran.revision(), key, conflicts }
    };
    (0..GRANTS).map(one).collect()
}

fn apply(deployment: &Deployment, variants: &[String; 2], applier: usize) -> Vec<Committed> {
    let one = |n: usize| {
        let [shipped, more] = variants;
        let directory = if (applier + n).is_multiple_of(2) { shipped } else { more };
        let (ran, conflicts) = insist(deployment, &["policy", "apply", directory]);
        Committed { revision: ran.revision(), key: directory.clone(), conflicts }
    };
    (0..APPLIED).map(one).collect()
}

/// Runs a changing verb until nobody was in the way. Who was told so changed nothing, and is told what to do.
pub(super) fn insist(deployment: &Deployment, arguments: &[&str]) -> (Ran, usize) {
    for conflicts in 0..200 {
        let ran = deployment.run(Login::Admin, &[&["-o", "json"], arguments, &["--reason", "test"]].concat());
        if ran.code == 0 {
            return (ran, conflicts);
        }
        let _conflict = ran.code(1).says(&["meanwhile; nothing was changed, run the command again"]);
    }
    panic!("always in the way: {arguments:?}");
}

/// Two sets that differ.
fn variants(deployment: &Deployment) -> [String; 2] {
    let shipped = workspace().join("policies");
    let more = deployment.home().join("more");
    copy(&shipped, &more);
    let policy = "@id(\"more.ana\") permit(principal == Company::User::\"ana\", action == Company::Action::\"editDocument\", resource);";
    std::fs::write(more.join("more.cedar"), policy).unwrap();
    [&shipped, &more].map(|it| it.to_str().unwrap().to_owned())
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(|entry| entry.unwrap()) {
        let target = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(std::fs::copy(entry.path(), target).unwrap()),
        }
    }
}
