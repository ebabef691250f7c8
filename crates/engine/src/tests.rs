mod accepting;
mod following;
mod forms;
mod reading;

use crate::*;

const SCHEMA: &str = r#"
@source("stored") entity Group in [Group];
@source("role") entity Role in [Role];
@source("scope") entity Scope;
@source("stored") entity User in [Group, Role, Scope] { level: Long, manager?: User };
@source("stored") entity Doc { owner: User, limit: Long };
action "docs:read";
action read in ["docs:read"] appliesTo { principal: User, resource: Doc, context: { n?: Long } };
action edit appliesTo { principal: User, resource: Doc, context: { facts: Magistrate::Facts } };
"#;

fn source(name: &str, text: &str) -> Source {
    Source { name: name.into(), text: text.into() }
}

fn compile(schema: &str, policies: &str) -> Result<Snapshot, Findings> {
    Snapshot::compile(&source("s.cedarschema", schema), &[source("p.cedar", policies)])
}

/// Expects one finding of a rule, at a line, whose message or help holds `says`.
fn refused(schema: &str, policies: &str, rule: Rule, line: usize, says: &str) {
    let Err(findings) = compile(schema, policies) else { panic!("accepted: {policies}") };
    let hit = |f: &&Finding| f.rule == rule && f.line == line && format!("{} {:?}", f.message, f.help).contains(says);
    assert!(
        findings.as_slice().iter().any(|f| hit(&f)),
        "wanted {rule:?} in line {line} saying `{says}`, got:\n{findings}"
    );
}

fn policy(text: &str, rule: Rule, says: &str) {
    refused(SCHEMA, text, rule, 1, says);
}

fn accepted(text: &str) {
    compile(SCHEMA, text).unwrap_or_else(|findings| panic!("{findings}"));
}

#[test]
fn what_a_published_set_must_not_hold_is_refused() {
    policy("permit(principal, action, resource);", Rule::Id, "no `@id`");
    policy("@id(\"Bad Id\") permit(principal, action, resource);", Rule::Id, "not a policy id");
    policy("@id(\"a\") permit(principal == ?principal, action, resource);", Rule::Template, "template");
    policy("@id(\"a\") permit(principal, action == Action::\"fly\", resource);", Rule::Type, "fly");
    policy("@id(\"a\") permit(principal, action, resource) when { principal.size > 1 };", Rule::Type, "size");
    policy("@id(\"a\") permit(principal is Doc, action, resource);", Rule::Warning, "");
    policy("@id(\"a\") permit(principal, action, resource) when { principal.level > \"x\" };", Rule::Type, "");
    policy("@id(\"a\") permit(principal, action resource);", Rule::Syntax, "unexpected token");
    policy("@id(\"a\") @audit(\"never\") permit(principal, action, resource);", Rule::Annotation, "durability class");
    policy("@id(\"a\") @advice(\"hm\") permit(principal, action, resource);", Rule::Annotation, "name=value");
    policy("@id(\"a\") @status(\"many\") permit(principal, action, resource);", Rule::Annotation, "three digits");
}

#[test]
fn ids_are_unique_over_all_files() {
    let one = "@id(\"a\") permit(principal, action, resource);";
    let findings =
        Snapshot::compile(&source("s", SCHEMA), &[source("one.cedar", one), source("two.cedar", one)]).unwrap_err();
    let finding = &findings.as_slice()[0];
    assert_eq!((finding.rule, finding.source.as_str()), (Rule::Id, "two.cedar"));
    assert!(finding.message.contains("one.cedar"));
}

#[test]
fn finding_points_at_file_line_and_column() {
    let text = "// first\n@id(\"a\")\npermit(principal, action, resource)\nwhen { principal.size > 1 };";
    let findings = compile(SCHEMA, text).unwrap_err();
    let finding = &findings.as_slice()[0];
    assert_eq!((finding.source.as_str(), finding.line, finding.column), ("p.cedar", 4, 8));
    let shown = finding.to_string();
    assert!(shown.contains("--> p.cedar:4:8"), "{shown}");
    assert!(shown.contains("4 | when { principal.size > 1 };"), "{shown}");
    assert!(shown.lines().any(|line| line.trim_start().starts_with('|') && line.contains("^^^^")), "{shown}");
}

#[test]
fn roles_are_tested_on_the_principal_only() {
    let body = |condition: &str| format!("@id(\"a\") permit(principal, action, resource) when {{ {condition} }};");
    for bad in [
        "resource.owner in Role::\"x\"",
        "principal == Role::\"x\"",
        "[Role::\"x\"].contains(Role::\"y\")",
        "principal has manager && principal.manager in Role::\"x\"",
        "resource.owner in [Role::\"x\", Role::\"y\"]",
    ] {
        let findings = compile(SCHEMA, &body(bad)).unwrap_err();
        let rules: Vec<Rule> = findings.as_slice().iter().map(|finding| finding.rule).collect();
        assert!(rules.contains(&Rule::RolePosition), "{bad}: {findings}");
    }
    accepted(&body("principal in Role::\"x\""));
    accepted(&body("principal in [Role::\"x\", Role::\"y\"] || principal.level > 3"));
    accepted(&body("principal is User in Role::\"x\""));
    accepted("@id(\"a\") permit(principal in Role::\"x\", action, resource);");
    accepted("@id(\"a\") permit(principal is User in Scope::\"docs:read\", action, resource);");
}

#[test]
fn roles_never_take_access_away() {
    for bad in [
        "forbid(principal in Role::\"x\", action, resource);",
        "forbid(principal is User in Role::\"x\", action, resource);",
        "forbid(principal, action, resource) when { principal in Role::\"x\" };",
        "permit(principal, action, resource) unless { principal in Role::\"x\" };",
        "permit(principal, action, resource) when { !(principal in Role::\"x\") };",
        "permit(principal, action, resource) when { (principal in Role::\"x\") == false };",
        "permit(principal, action, resource) when { if principal in Role::\"x\" then false else true };",
        "forbid(principal, action, resource) unless { !(principal in Role::\"x\") };",
        "permit(principal, action, resource) when { principal in Scope::\"docs:read\" && !(principal in [Role::\"x\"]) };",
    ] {
        policy(&format!("@id(\"a\") {bad}"), Rule::NegativeRole, "take access away");
        accepted(&format!("@id(\"a\") @negative_role(\"agreed with security\") {bad}"));
    }
    for good in [
        "forbid(principal, action, resource) unless { principal in Role::\"x\" };",
        "permit(principal, action, resource) when { !(!(principal in Role::\"x\")) };",
        "permit(principal, action, resource) when { if principal.level > 1 then principal in Role::\"x\" else false };",
        "forbid(principal, action, resource) when { !(principal in Role::\"x\") };",
        "forbid(principal in Group::\"x\", action, resource);",
    ] {
        accepted(&format!("@id(\"a\") {good}"));
    }
    policy(
        "@id(\"a\") @negative_role(\" \") forbid(principal in Role::\"x\", action, resource);",
        Rule::Annotation,
        "no reason",
    );
}

#[test]
fn schema_must_keep_roles_apart_from_data() {
    let schema = |extra: &str| {
        format!(
            "@source(\"role\") entity Role in [Role];\n@source(\"scope\") entity Scope;\n@source(\"stored\") entity User in [Role];\n{extra}"
        )
    };
    let bad = |extra: &str, rule: Rule, says: &str| {
        let findings = compile(&schema(extra), "").unwrap_err();
        let hit =
            findings.as_slice().iter().any(|f| f.rule == rule && format!("{} {:?}", f.message, f.help).contains(says));
        assert!(hit, "{extra}: {findings}");
    };
    bad("entity Doc;", Rule::Model, "where its entities come from");
    bad("@source(\"nowhere\") entity Doc;", Rule::Annotation, "names no source");
    bad("@source(\"stored\") @scopes(\"maybe\") entity Doc;", Rule::Annotation, "required");
    bad("@source(\"stored\") entity Doc { role: Role };", Rule::Model, "carries a role");
    bad("@source(\"stored\") entity Doc { deep: { roles: Set<Role> } };", Rule::Model, "carries a role");
    bad("@source(\"role\") entity Title { name: String };", Rule::Model, "has attributes");
    bad("@source(\"stored\") entity Team; @source(\"role\") entity Title in [Team];", Rule::Model, "may be a member");
    bad("@source(\"scope\") entity Other;", Rule::Model, "second scope type");
    bad("@source(\"stored\") entity Doc tags String;", Rule::Model, "tags");
    bad(
        "action a appliesTo { principal: Role, resource: User, context: {} };",
        Rule::Model,
        "only through assignments",
    );
    bad(
        "action a appliesTo { principal: User, resource: User, context: { role: Role } };",
        Rule::Model,
        "carries a role",
    );
    bad(
        "action a appliesTo { principal: User, resource: User, context: { facts: String } };",
        Rule::Reserved,
        "reserved",
    );
    bad(
        "@audit(\"x\") action a appliesTo { principal: User, resource: User, context: {} };",
        Rule::Annotation,
        "durability",
    );
    bad("namespace Magistrate { type T = String; }", Rule::Reserved, "belongs to the product");
    bad("entity Doc = { x: Strin };", Rule::Syntax, "");
    assert!(compile(&schema("type Ctx = { facts: Magistrate::Facts };\naction a appliesTo { principal: User, resource: User, context: Ctx };"), "").is_ok());
}

#[test]
fn deep_or_long_sources_are_refused_before_the_parser() {
    let condition = |text: &str| format!("@id(\"a\") permit(principal, action, resource) when {{ {text} }};");
    let nested = |open: &str, close: &str| condition(&format!("{}true{}", open.repeat(500), close.repeat(500)));
    policy(&nested("(", ")"), Rule::Size, "64 levels");
    policy(&nested("[", "]"), Rule::Size, "64 levels");
    policy(&condition(&vec!["true"; 5_000].join(" && ")), Rule::Size, "400 operators");
    policy(
        &condition(&format!("{}true{}", "if true then ".repeat(500), " else false".repeat(500))),
        Rule::Size,
        "400 operators",
    );
    policy(&condition(&format!("{}true", "!".repeat(500))), Rule::Size, "400 operators");
    let schema = format!("@source(\"stored\") entity A {{ x: {}Long{} }};", "Set<".repeat(500), ">".repeat(500));
    refused(&schema, "", Rule::Size, 1, "400 operators");
    let schema = format!("@source(\"stored\") entity A {}{};", "{ x: {".repeat(250), "}}".repeat(250));
    refused(&schema, "", Rule::Size, 1, "64 levels");
    let clauses = "@id(\"a\") permit(principal, action, resource) ".to_owned() + &"when { true } ".repeat(200);
    accepted(&format!("{clauses};"));
    policy(&format!("{clauses}{};", "unless{false}".repeat(201)), Rule::Size, "400 operators");
    accepted(&condition(&format!("{}principal.level{} > 1", "(".repeat(50), ")".repeat(50))));
    let types: Vec<_> = (0..500).map(|n| format!("@source(\"stored\") entity T{n} {{ ids: Set<String> }};")).collect();
    let types = types.join("\n");
    assert!(compile(&format!("namespace Large {{ {types} }}"), "").is_ok(), "a large schema is no deep one");
    let brackets = "(".repeat(500);
    accepted(&format!(
        "// {brackets}\n@id(\"a\") permit(principal, action, resource) when {{ \"{brackets}\" == \"x\" || principal.level > 1 }};"
    ));
}

#[test]
fn digest_is_of_the_meaning() {
    let digest = |policies: &str| compile(SCHEMA, policies).unwrap().digest();
    let base = digest("@id(\"a\") permit(principal, action, resource) when { principal.level > 1 };");
    let reformatted =
        digest("// why\n@id(\"a\")\npermit (\n  principal,\n  action,\n  resource\n)\nwhen { (principal.level) > 1 };");
    assert_eq!(base, reformatted);
    assert_ne!(base, digest("@id(\"a\") permit(principal, action, resource) when { principal.level > 2 };"));
    assert_ne!(base, digest("@id(\"b\") permit(principal, action, resource) when { principal.level > 1 };"));
    assert_ne!(
        base,
        digest("@id(\"a\") @advice(\"x=y\") permit(principal, action, resource) when { principal.level > 1 };")
    );
    let other = compile(
        &SCHEMA.replace("level: Long", "level: Long, more?: Long"),
        "@id(\"a\") permit(principal, action, resource) when { principal.level > 1 };",
    );
    assert_ne!(base, other.unwrap().digest());
}

#[test]
fn set_read_back_from_a_store_is_the_same_set() {
    let text = "@id(\"b\") // comment\n@advice(\"x=y\") permit(principal in Role::\"x\", action, resource);\n@id(\"a\") forbid(principal, action, resource) when { principal.level > 1 };";
    let snapshot = compile(SCHEMA, text).unwrap();
    let again = Snapshot::of(&snapshot.policy_set()).unwrap();
    assert_eq!(again.digest(), snapshot.digest());
    assert_eq!(again.policy_set(), snapshot.policy_set());
    assert_eq!(again.policies().map(|policy| policy.id.as_str()).collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn attribute_hops_are_counted_and_bounded() {
    let hops = |condition: &str| {
        compile(SCHEMA, &format!("@id(\"a\") permit(principal, action, resource) when {{ {condition} }};"))
            .map(|s| s.dereferences())
    };
    assert_eq!(hops("true").unwrap(), 0);
    assert_eq!(hops("principal.level > 1").unwrap(), 1);
    assert_eq!(hops("resource.owner.level > 1").unwrap(), 2);
    let chain = |n: usize| {
        let guard = |k: usize| format!("resource.owner{} has manager", ".manager".repeat(k));
        let guards: Vec<String> = (0..n).map(guard).collect();
        format!("{} && resource.owner{}.level > 1", guards.join(" && "), ".manager".repeat(n))
    };
    assert_eq!(hops(&chain(2)).unwrap(), 4);
    assert_eq!(hops(&chain(3)).unwrap_err().as_slice()[0].rule, Rule::Depth);
}

#[test]
fn policies_that_no_scope_narrows_are_known() {
    let policies = r#"
        @id("a") permit (principal, action, resource);
        @id("b") permit (principal is User, action == Action::"read", resource is Doc);
        @id("c") permit (principal in Group::"g", action, resource);
        @id("d") permit (principal, action, resource == Doc::"d");
        @id("e") permit (principal is User in Group::"g", action, resource is Doc);
    "#;
    let snapshot = compile(SCHEMA, policies).unwrap();
    let unnarrowed: Vec<_> = snapshot.unnarrowed().map(magistrate_model::PolicyId::as_str).collect();
    assert_eq!(unnarrowed, ["a", "b"]);
}

#[test]
fn facts_are_known_however_the_context_comes_to_them() {
    let snapshot = compile(
        "namespace A { type Ctx = Inner; type Inner = { facts: Magistrate::Facts }; }\n\
         namespace N { @source(\"stored\") entity U; action read appliesTo { principal: U, resource: U, context: A::Ctx }; }",
        "",
    );
    let snapshot = snapshot.unwrap_or_else(|findings| panic!("{findings}"));
    assert!(snapshot.vocabulary().actions().all(|(_, action)| action.declares_facts));
    let optional = SCHEMA.replace("facts: Magistrate::Facts", "facts?: Magistrate::Facts");
    assert_eq!(compile(&optional, "").unwrap_err().as_slice()[0].rule, Rule::Reserved);
}

#[test]
fn roles_cannot_hide_from_the_walk() {
    let hidden = [
        "forbid(principal, action, resource) when { {\"!\": principal in Role::\"x\"}[\"!\"] };",
        "permit(principal, action, resource) unless { {\"if-then-else\": principal in Role::\"x\"}[\"if-then-else\"] };",
        "permit(principal, action, resource) unless { {\"&&\": principal in Role::\"x\"}[\"&&\"] };",
        "permit(principal, action, resource) when { {a: principal in Role::\"x\"}.a == false };",
        "permit(principal, action, resource) when { [principal in Role::\"x\"].contains(false) };",
    ];
    for text in hidden {
        policy(&format!("@id(\"a\") {text}"), Rule::NegativeRole, "take access away");
    }
    let mixed = "permit(principal, action, resource) when { principal in [Role::\"a\", if principal in Role::\"b\" then Role::\"c\" else Role::\"d\"] };";
    policy(&format!("@id(\"a\") {mixed}"), Rule::RolePosition, "other than as");
    let literal = "permit(principal, action, resource) when { {role: Role::\"x\"}.role == Role::\"x\" };";
    policy(&format!("@id(\"a\") {literal}"), Rule::RolePosition, "other than as");
}

#[test]
fn role_test_beside_what_can_fail_is_refused() {
    let fallible = "permit(principal, action, resource) when { (principal in Role::\"x\" && principal.level + 1 > 0) || principal.level == 2 };";
    policy(&format!("@id(\"a\") {fallible}"), Rule::NegativeRole, "two policies");
    accepted(&format!("@id(\"a\") @negative_role(\"bounded by the schema\") {fallible}"));
    accepted("@id(\"a\") permit(principal in Role::\"x\", action, resource) when { principal.level + 1 > 0 };");
    accepted(
        "@id(\"a\") permit(principal, action == Action::\"edit\", resource) when { principal in Role::\"x\" && context.facts.now < datetime(\"2030-01-01\") };",
    );
}

#[test]
fn schema_that_doubles_with_every_type_is_refused_at_once() {
    let doubling: Vec<_> = (0..40).map(|n| format!("type T{n} = {{ x: T{}, y: T{} }};", n + 1, n + 1)).collect();
    let schema = format!("{}\ntype T40 = Long;\n@source(\"stored\") entity U {{ t: T0 }};", doubling.join("\n"));
    refused(&schema, "", Rule::Size, 41 + 1, "written out");
    let chain: Vec<_> = (0..1_000).map(|n| format!("type T{n} = T{};", n + 1)).collect();
    let schema = format!("{}\ntype T1000 = Long;\n@source(\"stored\") entity U {{ t: T0 }};", chain.join("\n"));
    refused(&schema, "", Rule::Size, 1_002, "128 levels");
    let upwards = |links: usize| {
        let chain: Vec<_> = (1..=links).map(|n| format!("type T{n} = Set<T{}>;", n - 1)).collect();
        format!("type T0 = Long;\n{}\n@source(\"stored\") entity U {{ t: T{links} }};", chain.join("\n"))
    };
    refused(&upwards(1_000), "", Rule::Size, 1_002, "128 levels");
    assert!(compile(&upwards(30), "").is_ok(), "whichever end it is declared from");
    let annotated =
        "@name(\"Addr\") @type(\"Addr\") type Addr = { a: Long };\n@source(\"stored\") entity U { at: Addr };";
    assert!(compile(annotated, "").is_ok(), "an annotation names no type");
    let wide = |n: usize| format!("type T{n} = {}T{}{};", "Set<".repeat(50), n - 1, ">".repeat(50));
    let chain: Vec<_> = (1..=30).map(wide).collect();
    let schema = format!("type T0 = Long;\n{}\n@source(\"stored\") entity U {{ t: T30 }};", chain.join("\n"));
    refused(&schema, "", Rule::Size, 32, "128 levels");
}
