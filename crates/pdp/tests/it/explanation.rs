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
            let evaluated = [Cause::Permitted, Cause::Forbidden, Cause::NoPermit].contains(&verdict.cause);
            let permitted = explanation.policies.iter().any(|it| it.permits && it.outcome == Outcome::Satisfied);
            assert_eq!(!explanation.nearest_permits.is_empty(), evaluated && !permitted, "{verdict:?}");
        }
    }
}

const SCHEMA: &str = r#"
@source("stored") entity User { n: Long, name: String };
action read appliesTo { principal: User, resource: User, context: { w?: String } };
"#;

fn told(policies: &str, address: &str) -> Explanation {
    let lines = r#"{"uid":"User::\"u\"","attributes":{"n":7000000000000000001,"name":"a  b"}}"#;
    let world = World::of(SCHEMA, policies).with("entities", lines);
    let mut ask = world.ask("User::u", "read", "User::u");
    ask.query.caller.address = Some(address.parse::<IpAddr>().unwrap());
    ask.explanation()
}

/// Why something fails may name the values it failed on.
#[test]
fn reasons_of_failures_are_not_told_to_callers_elsewhere() {
    let policies = "@id(\"f\") forbid (principal, action, resource) when { resource.n * principal.n > 0 };";
    let holds = |address: &str| format!("{:?}", told(policies, address)).contains("7000000000000000001");
    assert!(holds("127.0.0.1"));
    assert!(!holds("192.0.2.7"));
    assert!(matches!(policy(&told(policies, "192.0.2.7"), "f").outcome, Outcome::Failed(_)));
}

#[test]
fn permit_that_is_satisfied_is_never_one_that_came_near() {
    let policies = "@id(\"p\") permit (principal, action, resource);\n\
                    @id(\"f\") forbid (principal, action, resource) when { resource.n * principal.n > 0 };";
    let explanation = told(policies, "127.0.0.1");
    assert_eq!(policy(&explanation, "p").outcome, Outcome::Satisfied);
    assert!(explanation.nearest_permits.is_empty(), "{:?}", explanation.nearest_permits);
}

/// Literals are told as they are, and clauses that are not reached as not reached.
#[test]
fn clauses_are_told_as_they_stand_and_as_they_are_evaluated() {
    let policies = r#"
        @id("p") permit (principal, action, resource) when { principal.name == "a  b" };
        @id("q") permit (principal, action, resource) when { context has w } when { context.w == "z" };
    "#;
    let explanation = told(policies, "127.0.0.1");
    assert_eq!(policy(&explanation, "p").clauses[0].text, r#"when { principal.name == "a  b" }"#);
    let outcomes: Vec<_> = policy(&explanation, "q").clauses.iter().map(|clause| clause.outcome.clone()).collect();
    assert_eq!(outcomes, [Outcome::NotSatisfied, Outcome::NotReached]);
}

/// There is room for 64 policies: what decides is among them, whatever its id.
#[test]
fn what_decides_is_told_among_many() {
    let others =
        (0..100).map(|n| format!("@id(\"a{n}\") permit (principal, action, resource) when {{ principal.n < {n} }};"));
    let policies = others.chain(["@id(\"z\") permit (principal, action, resource);".to_owned()]);
    let explanation = told(&policies.collect::<Vec<_>>().join("\n"), "127.0.0.1");
    assert_eq!(explanation.policies.len(), 64);
    assert_eq!(policy(&explanation, "z").outcome, Outcome::Satisfied);
}
