//! Policy tests as data: what is wrong with a file, and what differs from a verdict.

use std::path::Path;

use magistrate_model::{Cause, Digest, DurabilityClass, Instant, PolicyId, Revision, Span, Verdict};

use crate::{Suite, SuiteReport, read_cases};

fn suite(text: &str) -> Result<Suite, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("docs.yaml");
    std::fs::write(&path, text).unwrap();
    read_cases(&path, "").map_err(|error| error.to_string())
}

/// A file of one case with these lines besides those every case has.
fn case(more: &[&str]) -> String {
    let mut lines = vec!["now: 2026-06-01T12:00:00Z", "tests:", "  - name: ana reads", "    principal: User::ana"];
    lines.extend(["    action: read", "    resource: Doc::plan"]);
    let more: Vec<String> = more.iter().map(|line| format!("    {line}")).collect();
    lines.extend(more.iter().map(String::as_str));
    lines.join("\n")
}

#[track_caller]
fn refused(text: &str, says: &[&str]) {
    let error = suite(text).expect_err("accepted");
    for says in ["docs.yaml: "].iter().chain(says) {
        assert!(error.contains(says), "wanted `{says}` in: {error}");
    }
}

fn verdict(cause: Cause, determining: &[&str]) -> Verdict {
    Verdict {
        cause,
        determining: determining.iter().map(|id| id.parse().unwrap()).collect(),
        errored: Vec::new(),
        grants: Vec::new(),
        advice: Vec::new(),
        obligations: Vec::new(),
        revision: Revision::new(1),
        policy_set_digest: Digest::ZERO,
        valid_until: None,
        cache_for: Span::ZERO,
        class: DurabilityClass::default(),
        explanation: None,
    }
}

fn run(more: &[&str], cause: Cause, determining: &[&str]) -> SuiteReport {
    suite(&case(more)).unwrap().run(|_, _| Ok(verdict(cause, determining)))
}

#[test]
fn what_is_wrong_with_a_file_names_the_file_and_the_case() {
    suite(&case(&["expect: deny"])).unwrap();
    refused(&case(&["expect: deny", "colour: red"]), &["colour"]);
    refused("now: 2026-06-01T12:00:00Z\ncases: []", &["cases"]);
    refused("tests: [", &["is not a file of tests"]);
    refused("now: noon\ntests: []", &["`now`: `noon` is not an instant"]);
    let check = |more: &[&str], says: &str| refused(&case(more), &["in `ana reads`: ", says]);
    check(&["expect: maybe"], "`expect` is `maybe`; write allow or deny");
    check(&["expect: deny", "at: later"], "`later` is not an instant");
    check(&["expect: deny", "ip: home"], "`ip` is not an address");
    check(
        &["expect: deny", "cause: refused"],
        "`refused` is not a cause; write one of permitted, forbidden, no_permit",
    );
    check(&["expect: deny", "policies: [Bad Id]"], "Bad Id");
    check(&["expect: deny", "context: {n: 1.5}"], "`context.n` is 1.5; numbers must be whole");
}

#[test]
fn parties_and_actions_are_named_as_on_the_command_line() {
    let replaced = |from: &str, to: &str| case(&["expect: deny"]).replace(from, to);
    let check = |from: &str, to: &str, says: &str| refused(&replaced(from, to), &["in `ana reads`: ", says]);
    check("User::ana", "ana", "`ana` is not an entity uid");
    check("action: read", "action: User::\"x\"", "is not an action");
    check("Doc::plan", "{uid: 'Doc::\"plan\"', colour: red}", "`colour` is not a field of an entity");
    suite(&replaced("Doc::plan", "{uid: 'Order::\"o\"', attributes: {total: 1}}")).unwrap();
}

#[test]
fn expectations_are_compared_one_by_one() {
    let failure = |more: &[&str], cause, determining: &[&str]| run(more, cause, determining).cases[0].failure.clone();
    let passes = |more: &[&str]| failure(more, Cause::Permitted, &["a", "b"]).is_none();
    let fails = |more: &[&str], says: &str| {
        let failure = failure(more, Cause::Permitted, &["a", "b"]).expect("passed");
        assert!(failure.contains(says), "wanted `{says}` in: {failure}");
    };
    assert!(passes(&["expect: allow"]));
    assert!(passes(&["expect: allow", "cause: permitted", "policies: [b, a]"]));
    fails(&["expect: deny"], "expected deny, got allow (permitted; permitted by `a`, `b`)");
    fails(&["expect: allow", "cause: no_permit"], "expected the cause no_permit, got allow");
    fails(&["expect: allow", "policies: [a]"], "expected the determining policies [a], got [a, b]");
    fails(&["expect: allow", "policies: []"], "expected the determining policies [], got [a, b]");
    assert_eq!(failure(&["expect: deny", "cause: no_permit", "policies: []"], Cause::NoPermit, &[]), None);
}

#[test]
fn case_without_a_decision_fails() {
    let report = suite(&case(&["expect: deny"])).unwrap().run(|_, _| Err("the schema has no `read`".into()));
    let failure = report.cases[0].failure.as_deref().unwrap();
    assert_eq!(failure, "there was no decision: the schema has no `read`");
    assert!(report.covered.is_empty());
}

#[test]
fn policies_that_determined_an_answer_are_covered() {
    let covered = |report: SuiteReport| report.covered.iter().map(PolicyId::to_string).collect::<Vec<_>>();
    assert_eq!(covered(run(&["expect: allow"], Cause::Permitted, &["b", "a"])), ["a", "b"]);
    assert_eq!(covered(run(&["expect: deny"], Cause::NoPermit, &[])), Vec::<String>::new());
}

#[test]
fn clock_is_the_files_unless_a_case_moves_it() {
    let asked_at = |more: &[&str]| {
        let at = std::cell::Cell::new(Instant::EPOCH);
        suite(&case(more)).unwrap().run(|_, now| {
            at.set(now);
            Ok(verdict(Cause::NoPermit, &[]))
        });
        at.get().to_string()
    };
    assert_eq!(asked_at(&["expect: deny"]), "2026-06-01T12:00:00Z");
    assert_eq!(asked_at(&["expect: deny", "at: +2h"]), "2026-06-01T14:00:00Z");
    assert_eq!(asked_at(&["expect: deny", "at: 2027-01-01T00:00:00Z"]), "2027-01-01T00:00:00Z");
}

#[test]
fn file_that_cannot_be_read_is_named() {
    let error = read_cases(Path::new("/nowhere/docs.yaml"), "").unwrap_err().to_string();
    assert!(error.contains("/nowhere/docs.yaml"), "{error}");
}
