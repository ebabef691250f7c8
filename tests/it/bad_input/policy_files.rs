//! Policy directories that are not valid.

use magistrate_tests::{Store, workspace};

use super::refused;

const VALID: &str = r#"@id("a")
permit (principal is Company::User, action == Company::Action::"readMessage", resource)
when { principal.clearance > 1 };
"#;

fn schema() -> String {
    std::fs::read_to_string(workspace().join("policies/schema.cedarschema")).unwrap()
}

/// Writes a policy directory and expects `policy apply` to refuse it as `policy lint` does.
#[track_caller]
fn check(store: &Store, schema: &str, policies: &str, says: &[&str]) {
    store.file("p/schema.cedarschema", schema);
    store.file("p/a.cedar", policies);
    let linted = refused(store, &["policy", "lint", "p"], 3, says);
    let applied = refused(store, &["policy", "apply", "p", "--allow-shrink", "--reason", "test"], 3, says);
    assert_eq!(linted, applied);
}

/// The lines of a finding: where, what stands there, and carets below it.
fn pointed(place: &str, line: &str, marked: &str) -> String {
    let number = place.split(':').next().unwrap();
    let gutter = " ".repeat(number.len());
    let indent = " ".repeat(line.find(marked).unwrap());
    let carets = "^".repeat(marked.len());
    format!("{gutter}--> p/a.cedar:{place}\n{gutter} |\n{number} | {line}\n{gutter} | {indent}{carets}")
}

#[test]
fn errors_in_a_policy_are_pointed_at() {
    let store = Store::example();
    let check = |from: &str, to: &str, says: &[&str]| check(&store, &schema(), &VALID.replace(from, to), says);
    let syntax = "permit (principal is Company::User, action == Company::Action::\"readMessage\" resource)";
    check(
        ", resource)",
        " resource)",
        &["error[syntax]: unexpected token `resource`: expected", &pointed("2:78", syntax, "resource")],
    );
    check(
        "clearance",
        "clearence",
        &[
            "error[type]: for policy `a`, attribute `clearence` on entity type `Company::User` not found",
            &pointed("3:8", "when { principal.clearence > 1 };", "principal.clearence"),
            "= help: did you mean `clearance`?",
        ],
    );
    check(
        "> 1",
        "> \"1\"",
        &[
            "error[type]: for policy `a`, unexpected type: expected Long but saw String",
            &pointed("3:30", "when { principal.clearance > \"1\" };", "\"1\""),
        ],
    );
    check("@id(\"a\")\n", "", &["error[id]: a policy has no `@id`", "--> p/a.cedar:1:1", "= help: put `@id("]);
    check("Company::User", "Company::Usher", &["error[", "Usher", "--> p/a.cedar:"]);
    store.file("p/a.cedar", VALID);
    let _ran = store.run(&["policy", "lint", "p"]).code(0);
}

#[test]
fn errors_in_a_schema_are_pointed_at() {
    let store = Store::example();
    let check = |from: &str, to: &str, says: &[&str]| {
        let schema = schema().replacen(from, to, 1);
        check(&store, &schema, VALID, &[says, &["--> p/schema.cedarschema:", "^"]].concat());
    };
    check("clearance: Long", "clearance: Longg", &["failed to resolve type: Longg"]);
    check("clearance: Long", "clearance Long", &["error[syntax]: error parsing schema: unexpected token `Long`"]);
    check(
        "@source(\"stored\")",
        "@source(\"kept\")",
        &["names no source", "= help: write stored, asserted, token, role or scope"],
    );
    check("@source(\"stored\")", "", &["error[model]", "@source"]);
}

#[test]
fn findings_are_json_for_programs() {
    let store = Store::example();
    store.file("p/schema.cedarschema", &schema());
    store.file("p/a.cedar", &VALID.replace("clearance", "clearence"));
    let told = store.run(&["-o", "json", "policy", "lint", "p"]).code(3).json();
    let finding = &told["findings"][0];
    assert_eq!(told["valid"], false);
    assert_eq!((&finding["file"], &finding["line"], &finding["column"]), (&"p/a.cedar".into(), &3.into(), &8.into()));
    assert_eq!((&finding["rule"], &finding["help"]), (&"type".into(), &"did you mean `clearance`?".into()));
}

/// Cedar's parser recurses along the text; the guard in front of it must be what answers.
#[test]
fn deep_nesting_is_refused_and_survived() {
    let store = Store::example();
    let nested = |open: &str, inner: &str, close: &str, depth: usize| open.repeat(depth) + inner + &close.repeat(depth);
    let says = ["error[size]: brackets nest more than 64 levels deep", "= help: flatten the expression"];
    let policy = |condition: &str| VALID.replace("principal.clearance > 1", condition);
    for (open, close) in [("(", ")"), ("[", "]"), ("{a:", "}")] {
        check(&store, &schema(), &policy(&nested(open, "true", close, 500)), &says);
    }
    check(&store, &schema(), &policy(&nested("(", "true", "", 100_000)), &says);
    let says_operators = ["error[size]: one policy holds more than 400 operators", "= help: split it"];
    for open in ["!", "-", "if true then 1 else "] {
        check(&store, &schema(), &policy(&nested(open, "1", "", 500)), &says_operators);
    }
    let attribute = |wanted: &str| format!("@source(\"stored\") entity A {{ x: {wanted} }};");
    for text in [nested("(", "", ")", 500), attribute(&nested("{a: ", "Long", "}", 500)), nested("{", "", "}", 100_000)]
    {
        check(&store, &text, VALID, &says);
    }
    check(&store, &attribute(&nested("Set<", "Long", ">", 500)), VALID, &["error[size]"]);
    store.file("p/schema.cedarschema", &schema());
    store.file("p/a.cedar", &(policy(&nested("(", "true", ")", 50)) + "// " + &"(".repeat(500)));
    let _ran = store.run(&["policy", "lint", "p"]).code(0);
}

#[test]
fn directory_without_a_schema_or_tests_says_so() {
    let store = Store::example();
    store.file("p/a.cedar", VALID);
    let says = ["it holds no `schema.cedarschema`; name the directory that does"];
    refused(&store, &["policy", "lint", "p"], 1, &says);
    refused(&store, &["policy", "apply", "p", "--reason", "test"], 1, &says);
    store.file("p/schema.cedarschema", &schema());
    refused(&store, &["policy", "test", "p"], 1, &["`p` holds no tests; write cases into `tests/*.yaml`"]);
    store.file("p/tests/a.yaml", "now: 2026-06-01T12:00:00Z\ntests:\n- {name: n, principle: x}\n");
    refused(&store, &["policy", "test", "p"], 1, &["p/tests/a.yaml: is not a file of tests", "principle"]);
}

#[test]
fn file_that_is_no_text_is_named() {
    let store = Store::example();
    store.file("p/schema.cedarschema", &schema());
    std::fs::write(store.home().join("p/a.cedar"), [0xff, 0xfe, 0x00]).unwrap();
    refused(&store, &["policy", "lint", "p"], 1, &["cannot read `p/a.cedar`"]);
}
