//! What is told of an answer is what it was made of.

use std::net::IpAddr;

use magistrate_model::{Cause, Explanation, Outcome, PolicyExplained};
use magistrate_testkit::World;

use crate::small_world::world;

/// bob reads what ann's folder holds, by two grants; one of them has an end.
fn granted() -> World {
    world().with(
        "grants",
        r#"{"id":"g1","holder":"User::\"bob\"","role":"writer","resource":"Folder::\"top\"","expires_at":"+2h","reason":"x"}
           {"id":"g2","holder":"Group::\"staff\"","role":"reader","standing":true,"reason":"x"}"#,
    )
}

fn policy<'a>(explanation: &'a Explanation, id: &str) -> &'a PolicyExplained {
    let all = explanation.policies.iter().chain(&explanation.nearest_permits);
    all.into_iter().find(|policy| policy.id.as_str() == id).unwrap_or_else(|| panic!("{id}: {explanation:#?}"))
}

#[test]
fn policies_are_told_with_clauses_and_what_they_read() {
    let explanation = granted().ask("User::bob", "read", "Doc::d1").explanation();
    let reader = policy(&explanation, "reader");
    assert_eq!((reader.permits, &reader.outcome, reader.clauses.len()), (true, &Outcome::Satisfied, 0));
    assert_eq!(reader.scope[0], (r#"principal in Role::"reader""#.to_owned(), true));
    let suspended = policy(&explanation, "suspended");
    assert_eq!((suspended.permits, &suspended.outcome), (false, &Outcome::NotSatisfied));
    let clause = &suspended.clauses[0];
    assert_eq!(clause.text, "when { principal.suspended }");
    assert_eq!(clause.reads, [(r"principal.suspended".to_owned(), "false".to_owned())]);
    let owner = policy(&explanation, "owner");
    assert_eq!(owner.clauses[0].reads, [("resource.owner".to_owned(), r#"User::"bob""#.to_owned())]);
    assert!(explanation.nearest_permits.is_empty(), "a permit matches");
    let ids: Vec<_> = explanation.policies.iter().map(|policy| policy.id.as_str()).collect();
    assert_eq!(ids, ["owner", "reader", "suspended", "unmanaged"], "whose scope matches, in order");
}

#[test]
fn grants_are_told_with_holder_place_and_end() {
    let explanation = granted().ask("User::bob", "read", "Doc::d1").explanation();
    let [grant] = &explanation.grants[..] else { panic!("{:?}", explanation.grants) };
    let confers: Vec<_> = grant.confers.iter().map(ToString::to_string).collect();
    assert_eq!((grant.id.as_str(), grant.used), ("g1", true));
    assert_eq!(confers, [r#"Role::"reader""#, r#"Role::"writer""#], "the role and what is above it");
    assert_eq!(grant.resource.as_ref().map(ToString::to_string).as_deref(), Some(r#"Folder::"top""#));
    assert!(grant.expires_at.is_some());
    let through_group = granted().ask("User::ann", "read", "Doc::d2").explanation();
    let [grant] = &through_group.grants[..] else { panic!("{:?}", through_group.grants) };
    assert_eq!(
        (grant.holder.to_string().as_str(), &grant.resource, grant.expires_at),
        (r#"Group::"staff""#, &None, None)
    );
}

#[test]
fn deny_tells_which_permits_came_near_and_what_they_lack() {
    let explanation = world().ask("User::bob", "write", "Doc::d1").explanation();
    let nearest: Vec<_> = explanation.nearest_permits.iter().map(|it| (it.id.as_str(), it.lacks().collect())).collect();
    let expected: [(&str, Vec<&str>); 1] = [("writer", vec![r#"principal in Role::"writer""#])];
    assert_eq!(nearest, expected);
    let clause = world().ask("User::ann", "read", "Doc::d1").explanation();
    let owner = policy(&clause, "owner");
    assert_eq!(owner.lacks().collect::<Vec<_>>(), ["when { resource.owner == principal }"]);
}

#[test]
fn what_fails_is_told_with_its_reason() {
    let failing = r#"@id("sum") permit (principal is User, action, resource) when { principal.level + 9223372036854775807 > 0 };"#;
    let base = world();
    let kept = base.dataset().entities.iter().filter(|entity| entity.uid.type_name().as_str() != "Role");
    let lines: Vec<String> = kept.map(|entity| magistrate_model::json::entity(entity).to_string()).collect();
    let world = World::of(&crate::small_world::schema(), failing).with("entities", &lines.join("\n"));
    let explanation = world.ask("User::ann", "read", "Doc::d1").explanation();
    let Outcome::Failed(why) = &policy(&explanation, "sum").outcome else { panic!("{explanation:?}") };
    assert!(why.contains("overflow"), "{why}");
}

/// Who may not say what things are like is not told either.
#[test]
fn values_are_not_told_to_callers_elsewhere() {
    let ask = |address: &str| {
        let mut ask = granted().ask("User::bob", "read", "Doc::d1");
        ask.query.caller.address = Some(address.parse::<IpAddr>().unwrap());
        ask.explanation()
    };
    let reads = |explanation: &Explanation| {
        explanation.policies.iter().flat_map(|it| &it.clauses).any(|it| !it.reads.is_empty())
    };
    assert!(reads(&ask("127.0.0.1")));
    let elsewhere = ask("192.0.2.7");
    assert!(!reads(&elsewhere) && elsewhere.policies.len() == ask("127.0.0.1").policies.len());
}

/// Over every question of the small world: what is told as satisfied is what decided.
#[test]
fn satisfied_policies_are_the_determining_ones() {
    for principal in ["User::ann", "User::bob", "User::eve", "User::nobody", "Partner::shop"] {
        for (action, resource) in
            ["Doc::d1", "Doc::d2", "Doc::d3"].iter().flat_map(|doc| [("read", doc), ("write", doc)])
        {
            let verdict = granted().ask(principal, action, resource).verdict();
            let explanation = granted().ask(principal, action, resource).explanation();
            let forbids = verdict.cause == Cause::Forbidden;
            let told =
                explanation.policies.iter().filter(|it| it.outcome == Outcome::Satisfied && it.permits != forbids);
            let told: Vec<_> = told.map(|policy| policy.id.clone()).collect();
            assert_eq!(told, verdict.determining, "{principal} {action} {resource}");
            assert_eq!(explanation.nearest_permits.is_empty(), verdict.cause != Cause::NoPermit, "{verdict:?}");
        }
    }
}
