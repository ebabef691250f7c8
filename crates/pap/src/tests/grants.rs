//! What a grant must be to be put, and how it is named.

use magistrate_model::{Change, Grant, Span};

use super::{accepted, data, known, now, refused, snapshot};
use crate::{Data, Known, plan, read_csv_grants};

/// A grant with a reason, and with an end unless the fields say otherwise.
fn line(fields: &str) -> String {
    let timed = ["expires_at", "standing"].iter().any(|field| fields.contains(field));
    let end = if timed { "" } else { r#","expires_at":"+1d""# };
    format!(r#"{{{fields}{end},"reason":"r"}}"#)
}

fn grants(known: &Known, data: Data, later: Span) -> Vec<Grant> {
    let plan = plan(snapshot(), known, data, now().plus(later)).unwrap();
    let added = |change| match change {
        Change::AddGrant(grant) => Some(grant),
        Change::RevokeGrant(_)
        | Change::PutEntity(_)
        | Change::DeleteEntity(_)
        | Change::PutScope(_)
        | Change::DeleteScope(_)
        | Change::ApplyPolicySet { .. } => None,
    };
    plan.changes.into_iter().filter_map(added).collect()
}

fn ids(lines: &str) -> Vec<String> {
    grants(&known(), data("grants", lines), Span::ZERO).iter().map(|grant| grant.id().to_string()).collect()
}

#[test]
fn grant_confers_one_thing_that_exists() {
    let check = |fields: &str, says: &str| refused("grants", &line(fields), 1, says);
    accepted("grants", &line(r#""holder":"User::\"ana\"","role":"editor""#));
    check(r#""holder":"User::\"ana\"""#, "give exactly one of the two");
    check(r#""holder":"User::\"ana\"","role":"editor","scope":"docs:read""#, "give exactly one of the two");
    check(r#""holder":"User::\"ana\"","role":"owner""#, "the role `Role::\"owner\"` does not exist");
    check(r#""holder":"User::\"ana\"","role":"Group::\"all\"""#, "`Group::\"all\"` is not a role");
    accepted("grants", &line(r#""holder":"User::\"ana\"","scope":"docs:read""#));
    check(r#""holder":"User::\"ana\"","scope":"mail:*""#, "no declared scope matches `mail:*`");
    check(r#""holder":"User::\"ana\"","scope":"docs:re*""#, "has a wildcard inside a segment");
}

#[test]
fn holder_exists_and_can_hold() {
    let check = |holder: &str, says: &str| {
        refused("grants", &line(&format!(r#""holder":"{holder}","role":"reader""#)), 1, says);
    };
    accepted("grants", &line(r#""holder":"Group::\"all\"","role":"reader""#));
    check(r#"User::\"none\""#, "the holder `User::\"none\"` does not exist");
    check(r#"Doc::\"plan\""#, "neither a `Doc` nor a principal below it can be a member of `Role`");
    check(r#"Device::\"laptop\""#, "neither a `Device` nor a principal below it");
    let scope = line(r#""holder":"Doc::\"plan\"","scope":"docs:read""#);
    refused("grants", &scope, 1, "neither a `Doc` nor a principal below it can be a member of `Scope`");
}

#[test]
fn role_is_held_on_what_actions_reach() {
    let on = |resource: &str| line(&format!(r#""holder":"User::\"ana\"","role":"reader","resource":"{resource}""#));
    accepted("grants", &on(r#"Doc::\"plan\""#));
    accepted("grants", &on(r#"Folder::\"top\""#));
    refused("grants", &on(r#"Folder::\"none\""#), 1, "the resource `Folder::\"none\"` does not exist");
    refused("grants", &on(r#"Device::\"laptop\""#), 1, "no action applies to `Device` or to anything below it");
    let scope = line(r#""holder":"User::\"ana\"","scope":"docs:read","resource":"Doc::\"plan\"""#);
    refused("grants", &scope, 1, "a scope is not held on a resource");
}

#[test]
fn grant_has_an_end_or_asks_to_stand() {
    let term = |fields: &str| format!(r#"{{"holder":"User::\"ana\"","role":"reader",{fields}}}"#);
    let check = |fields: &str, says: &str| refused("grants", &term(fields), 1, says);
    accepted("grants", &term(r#""expires_at":"2026-06-02T00:00:00Z","reason":"r""#));
    accepted("grants", &term(r#""standing":true,"reason":"r""#));
    check(r#""reason":"r""#, "a grant needs an end: give `expires_at`");
    check(r#""standing":false,"reason":"r""#, "a grant needs an end: give `expires_at`");
    check(r#""standing":true,"expires_at":"+1d","reason":"r""#, "a standing grant has no end");
    check(r#""not_before":"+2d","expires_at":"+1d","reason":"r""#, "would end at 2026-06-02T12:00:00Z, not after");
    check(r#""not_before":"+1d","expires_at":"+1d","reason":"r""#, "not after it begins");
    check(r#""expires_at":"tomorrow","reason":"r""#, "`tomorrow` is not an instant");
    check(r#""standing":true,"reason":"""#, "the grant's reason is not accepted: it is empty");
}

#[test]
fn derived_ids_name_the_same_grants_again() {
    let lines = [
        line(r#""holder":"User::\"ana\"","role":"editor""#),
        line(r#""holder":"User::\"ana\"","role":"editor","expires_at":"+2d""#),
        line(r#""holder":"User::\"ana\"","role":"editor","resource":"Folder::\"top\"""#),
        line(r#""holder":"User::\"ben\"","role":"editor""#),
    ];
    let first = ids(&lines.join("\n"));
    assert_eq!(first[1], format!("{}-2", first[0]), "the second grant of the same to the same holder");
    assert_eq!(first.iter().collect::<std::collections::BTreeSet<_>>().len(), 4);
    assert_eq!(ids(&lines.join("\n")), first);
    let other_notation = line(r#""holder":{"type":"User","id":"ana"},"role":{"type":"Role","id":"editor"}"#);
    assert_eq!(ids(&other_notation), first[..1], "however holder and role are written");
}

#[test]
fn importing_relative_times_again_renews_nothing() {
    let held = |term: &str| {
        let first = grants(&known(), data("grants", &term_line(term)), Span::ZERO);
        let mut known = known();
        known.grants.insert(first[0].id().clone(), first[0].clone());
        known
    };
    let later = Span::seconds(60);
    let kept = |before: &str, after: &str| {
        assert_eq!(grants(&held(before), data("grants", &term_line(after)), later), [], "{before} {after}");
    };
    let changed = |before: &str, after: &str| {
        let changed = grants(&held(before), data("grants", &term_line(after)), later);
        assert_eq!(changed.len(), 1, "{before} {after}");
    };
    kept(r#""expires_at":"+90d""#, r#""expires_at":"+90d""#);
    kept(r#""not_before":"-1d","expires_at":"+90d""#, r#""not_before":"-1d","expires_at":"+90d""#);
    kept(r#""not_before":"-1d","standing":true"#, r#""not_before":"-1d","standing":true"#);
    // What takes access away is never taken for the same again.
    changed(r#""expires_at":"+90d""#, r#""expires_at":"+1d""#);
    changed(r#""standing":true"#, r#""expires_at":"+90d""#);
    changed(r#""expires_at":"+90d""#, r#""not_before":"+1d","expires_at":"+90d""#);
    changed(r#""not_before":"-1d","standing":true"#, r#""not_before":"-1d","expires_at":"2026-07-01T00:00:00Z""#);
    changed(r#""not_before":"-1d","standing":true"#, r#""not_before":"+30d","standing":true"#);
    kept(r#""not_before":"+7d","expires_at":"+90d""#, r#""not_before":"+7d","expires_at":"+90d""#);
    // What is written as an instant is meant.
    changed(r#""expires_at":"+1d""#, r#""expires_at":"2027-01-01T00:00:00Z""#);
}

/// A grant of `editor` to ana on this term.
fn term_line(term: &str) -> String {
    format!(r#"{{"holder":"User::\"ana\"","role":"editor",{term},"reason":"r"}}"#)
}

#[test]
fn csv_gives_the_grants_of_json_lines() {
    let csv = "holder_type,holder_id,role,scope,resource_type,resource_id,not_before,expires_at,standing,reason,id\n\
        User,ana,editor,,Folder,top,-1d,+90d,,\"writes, mostly\",\n\
        Group,team,,docs:*,,,,,true,tool,g-tool\n";
    let lines = r#"{"holder":"User::\"ana\"","role":"editor","resource":"Folder::\"top\"","not_before":"-1d","expires_at":"+90d","reason":"writes, mostly"}
        {"id":"g-tool","holder":"Group::\"team\"","scope":"docs:*","standing":true,"reason":"tool"}"#;
    let from_csv = Data { grants: read_csv_grants("g.csv", csv).unwrap(), ..Data::default() };
    let from_csv = grants(&known(), from_csv, Span::ZERO);
    assert_eq!(from_csv.len(), 2);
    assert_eq!(from_csv, grants(&known(), data("grants", lines), Span::ZERO));
}

#[test]
fn grants_may_name_what_the_same_import_brings() {
    let mut data = data("grants", &line(r#""holder":"User::\"eve\"","role":"owner","resource":"Folder::\"new\"""#));
    assert!(plan(snapshot(), &known(), data.clone(), now()).is_err());
    data.add_jsonl("roles", "r", r#"{"role":"owner"}"#).unwrap();
    let entities = r#"{"uid":"User::\"eve\"","attributes":{"level":1}}
                      {"uid":"Folder::\"new\""}"#;
    data.add_jsonl("entities", "e", entities).unwrap();
    assert_eq!(plan(snapshot(), &known(), data, now()).unwrap().added, 4);
}
