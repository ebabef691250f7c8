//! Planning, reading and policy tests over one small schema.

mod cases;
mod data;
mod entities;
mod files;
mod grants;

use std::sync::LazyLock;

use magistrate_engine::{Snapshot, Source};
use magistrate_model::{Change, Instant};

use crate::*;

const SCHEMA: &str = r#"
@source("role") entity Role in [Role];
@source("scope") entity Scope;
@source("stored") entity Group in [Group];
@source("stored") entity User in [Group, Role, Scope] { level: Long, manager?: User };
@source("stored") entity Folder in [Folder];
@source("stored") entity Doc in [Folder] { owner: User };
@source("stored") entity Device;
@source("asserted") entity Order { total: Long };
action "docs:read";
action read in ["docs:read"] appliesTo { principal: User, resource: Doc, context: {} };
"#;

const POLICIES: &str = r#"
@id("docs.reader") permit (principal in Role::"reader", action in Action::"docs:read", resource);
@id("docs.low") forbid (principal, action, resource) when { principal.level < 1 };
"#;

/// What the small world holds before a test.
const HELD: [(&str, &str); 4] = [
    (
        "entities",
        r#"{"uid":"Group::\"all\""}
           {"uid":"Group::\"team\"","parents":["Group::\"all\""]}
           {"uid":"User::\"ana\"","attributes":{"level":1},"parents":["Group::\"team\""]}
           {"uid":"User::\"ben\"","attributes":{"level":2,"manager":{"__entity":{"type":"User","id":"ana"}}}}
           {"uid":"Folder::\"top\""}
           {"uid":"Folder::\"sub\"","parents":["Folder::\"top\""]}
           {"uid":"Doc::\"plan\"","attributes":{"owner":{"type":"User","id":"ana"}},"parents":["Folder::\"sub\""]}
           {"uid":"Device::\"laptop\""}"#,
    ),
    (
        "roles",
        r#"{"role":"reader"}
           {"role":"editor","parents":["reader"]}"#,
    ),
    ("scopes", r#"{"scope":"docs:read","action_group":"Action::\"docs:read\"","description":"reads"}"#),
    (
        "grants",
        r#"{"id":"g-ana","holder":"User::\"ana\"","role":"reader","expires_at":"+90d","reason":"reads"}
           {"holder":"Group::\"team\"","scope":"docs:*","standing":true,"reason":"the team's tool"}"#,
    ),
];

fn source(name: &str, text: &str) -> Source {
    Source { name: name.into(), text: text.into() }
}

fn snapshot() -> &'static Snapshot {
    static SNAPSHOT: LazyLock<Snapshot> = LazyLock::new(|| {
        let policies = [source("p.cedar", POLICIES)];
        Snapshot::compile(&source("s.cedarschema", SCHEMA), &policies).unwrap_or_else(|findings| panic!("{findings}"))
    });
    &SNAPSHOT
}

fn now() -> Instant {
    "2026-06-01T12:00:00Z".parse().unwrap()
}

/// Items of one kind, as if read from `<kind>.jsonl`.
fn data(kind: &str, lines: &str) -> Data {
    let mut data = Data::default();
    data.add_jsonl(kind, &format!("{kind}.jsonl"), lines).unwrap();
    data
}

fn held() -> Data {
    let mut data = Data::default();
    for (kind, lines) in HELD {
        data.add_jsonl(kind, kind, lines).unwrap();
    }
    data
}

/// What is known once the small world was put.
fn known() -> Known {
    let plan = plan(snapshot(), &Known::default(), held(), now()).unwrap();
    after(Known::default(), plan)
}

fn after(mut known: Known, plan: Plan) -> Known {
    for change in plan.changes {
        match change {
            Change::PutEntity(entity) => drop(known.entities.insert(entity.uid.clone(), entity)),
            Change::DeleteEntity(uid) => drop(known.entities.remove(&uid)),
            Change::PutScope(scope) => drop(known.scopes.insert(scope.name.clone(), scope)),
            Change::DeleteScope(name) => drop(known.scopes.remove(&name)),
            Change::AddGrant(grant) => drop(known.grants.insert(grant.id().clone(), grant)),
            Change::RevokeGrant(id) => drop(known.grants.remove(&id)),
            Change::ApplyPolicySet { .. } => panic!("a put never applies policies"),
        }
    }
    known
}

/// Plans lines of one kind on top of the small world.
fn planned(kind: &str, lines: &str) -> Result<Plan, Vec<Problem>> {
    plan(snapshot(), &known(), data(kind, lines), now())
}

#[track_caller]
fn accepted(kind: &str, lines: &str) -> Plan {
    planned(kind, lines).unwrap_or_else(|problems| panic!("{problems:?}"))
}

/// Expects a problem with the item of line `line` that says `says`.
#[track_caller]
fn refused(kind: &str, lines: &str, line: usize, says: &str) {
    let problems = planned(kind, lines).expect_err("accepted");
    let place = format!("{kind}.jsonl:{line}");
    let hit = |problem: &&Problem| problem.place == place && problem.what.contains(says);
    assert!(problems.iter().any(|p| hit(&p)), "wanted `{place}: …{says}…`, got: {problems:?}");
}

#[test]
fn putting_the_same_again_changes_nothing() {
    let again = plan(snapshot(), &known(), held(), now()).unwrap();
    assert_eq!(again, Plan { unchanged: 13, ..Plan::default() });
    let fresh = plan(snapshot(), &Known::default(), held(), now()).unwrap();
    assert_eq!((fresh.added, fresh.updated, fresh.unchanged, fresh.changes.len()), (13, 0, 0, 13));
}

#[test]
fn what_differs_is_an_update_and_what_is_new_an_addition() {
    let check = |kind: &str, line: &str, (added, updated): (usize, usize), kinds: &[&str]| {
        let plan = accepted(kind, line);
        assert_eq!((plan.added, plan.updated, plan.unchanged), (added, updated, 0), "{line}");
        assert_eq!(plan.changes.iter().map(Change::kind).collect::<Vec<_>>(), kinds, "{line}");
    };
    check("entities", r#"{"uid":"User::\"eve\"","attributes":{"level":1}}"#, (1, 0), &["entity.put"]);
    check("entities", r#"{"uid":"User::\"ana\"","attributes":{"level":3}}"#, (0, 1), &["entity.put"]);
    check("roles", r#"{"role":"owner","parents":["editor"]}"#, (1, 0), &["entity.put"]);
    check("roles", r#"{"role":"editor"}"#, (0, 1), &["entity.put"]);
    check("scopes", r#"{"scope":"docs:list","action_group":"Action::\"read\""}"#, (1, 0), &["scope.put"]);
    check("scopes", r#"{"scope":"docs:read","action_group":"Action::\"read\""}"#, (0, 1), &["scope.put"]);
    let grant = |id: &str| {
        format!(r#"{{"id":"{id}","holder":"User::\"ana\"","role":"editor","expires_at":"+1d","reason":"r"}}"#)
    };
    check("grants", &grant("g-new"), (1, 0), &["grant.add"]);
    check("grants", &grant("g-ana"), (0, 1), &["grant.revoke", "grant.add"]);
}

#[test]
fn one_problem_refuses_everything_and_all_are_told() {
    let lines = r#"{"uid":"User::\"eve\"","attributes":{"level":1}}
                   {"uid":"User::\"fay\"","attributes":{"level":"high"}}
                   {"uid":"Robot::\"r2\""}"#;
    let problems = planned("entities", lines).unwrap_err();
    let places: Vec<&str> = problems.iter().map(|problem| problem.place.as_str()).collect();
    assert_eq!(places, ["entities.jsonl:2", "entities.jsonl:3"]);
}

#[test]
fn only_the_first_twenty_problems_are_shown() {
    let problem = |line: usize| Problem { place: format!("e.jsonl:{line}"), what: "is wrong".into() };
    let text = |count: usize| AdminError::Problems((1..=count).map(problem).collect()).to_string();
    assert!(text(20).ends_with("e.jsonl:20: is wrong"));
    assert!(text(23).ends_with("e.jsonl:20: is wrong\n… and 3 more"));
}
