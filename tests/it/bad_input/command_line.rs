//! What people mistype.

use std::process::{Command, Stdio};

use magistrate_tests::{Store, program, workspace};

use super::refused;

const CHECK: [&str; 4] = ["check", "Company::User::ana", "readMessage", "Company::Message::m-1001"];

#[test]
fn unknown_flags_and_verbs_suggest_what_was_meant() {
    let store = Store::example();
    let check = |arguments: &[&str], says: &[&str]| drop(refused(&store, arguments, 2, says));
    check(&["audit", "search", "--desicion", "deny"], &["'--desicion'", "a similar argument exists: '--decision'"]);
    check(&["grant", "revok", "g-1"], &["'revok'", "a similar subcommand exists: 'revoke'"]);
    check(&["grant", "add", "Company::User::ana", "--reason", "r"], &["--role <ROLE>", "--expires <TIME>"]);
    let both =
        ["grant", "add", "Company::User::ana", "--role", "a", "--scope", "b:c", "--expires", "+1h", "--reason", "r"];
    check(&both, &["'--role <ROLE>' cannot be used with '--scope <SCOPE>'"]);
    check(&["serve", "--listen", "localhost"], &["'localhost'", "--listen <ADDRESS>"]);
    check(&[], &["Usage: magistrate"]);
}

#[test]
fn unknown_configuration_is_named() {
    let store = Store::example();
    let run = |variable: (&str, &str), arguments: &[&str]| {
        let mut command = Command::new(program());
        let output = command.current_dir(store.home()).args(arguments).env(variable.0, variable.1).output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (code, told) = run(("MAGISTRATE_DATTA", "x"), &["policy", "status"]);
    assert_eq!(code, 1);
    assert!(told.contains("the environment sets `MAGISTRATE_DATTA`, which means nothing"), "{told}");
    assert!(told.contains("MAGISTRATE_DATA,"), "{told}");
    assert_eq!(run(("MAGISTRATE_ACTOR", "x"), &["policy", "status"]).0, 0);

    let check = |text: &str, says: &[&str]| {
        store.file("magistrate.toml", text);
        let _ran = store.run(&["policy", "status"]).code(1).says(&["`magistrate.toml`"]).says(says);
    };
    check("lisen = \"127.0.0.1:7700\"", &["unknown field `lisen`", "`listen`", "line 1, column 1"]);
    check("[ledger]\nsize = 3", &["unknown field `size`", "`capacity`", "line 2"]);
    check("[staleness]\nsoft_seconds = \"3\"", &["line 2", "invalid type"]);
    check("listen = ", &["line 1"]);
    store.file("magistrate.toml", "[staleness]\nsoft_seconds = 9\nhard_seconds = 3");
    let _ran =
        store.run(&["policy", "status"]).code(1).says(&["`staleness.soft_seconds` is above `staleness.hard_seconds`"]);
    store.file("magistrate.toml", "data = \".magistrate\"");
    let _ran = store.run(&["policy", "status"]).code(0);
    let _ran = store.run(&["--config", "none.toml", "policy", "status"]).code(1).says(&["cannot read `none.toml`"]);
}

#[test]
fn context_that_is_no_record_is_refused_before_it_is_sent() {
    let store = Store::example();
    let deep = format!("{}1{}", r#"{"a":"#.repeat(200), "}".repeat(200));
    let check = |context: &str, says: &[&str]| {
        refused(&store, &[&CHECK[..], &["--context", context]].concat(), 1, says);
    };
    check(r#"{"a":1,"a":2}"#, &["the context given", "the key `a` stands twice"]);
    check(r#"{"b":{"a":1,"a":2}}"#, &["the key `a` stands twice"]);
    check("[1]", &["the context given must be a JSON object, such as {\"name\": 1}"]);
    check("7", &["must be a JSON object"]);
    check("{", &["the context given: not accepted as JSON"]);
    check(r#"{"a":1.5}"#, &["`context.a` is 1.5; numbers must be whole", "write a decimal as a string"]);
    check(
        r#"{"a":9223372036854775808}"#,
        &["`context.a` is 9223372036854775808; numbers must be whole and within 64 bits"],
    );
    check(r#"{"a":null}"#, &["`context.a` is null; leave an absent attribute out"]);
    check(&deep, &["the context given: not accepted as JSON: recursion limit exceeded"]);
    check("@none.json", &["cannot read `none.json`"]);
}

#[test]
fn ids_that_could_hide_something_are_refused() {
    let store = Store::example();
    for (id, says) in [
        ("Company::Group::a\u{202e}b", "the direction character U+202E at byte 1; remove it"),
        ("Company::Group::a\u{200b}b", "the separator character U+200B at byte 1"),
        ("Company::Group::a\nb", "the control character U+000A at byte 1"),
        ("Company::Group::\"a\\0b\"", "the control character U+0000 at byte 1"),
        ("Company::Group::\"a\\u{202e}b\"", "the direction character U+202E"),
        ("Company::Group::", "it is empty"),
        ("Group", "it has no `::`"),
        ("Company::Gro\u{202e}up::a", "`Company::Gro\\u{202e}up` is not an entity type"),
    ] {
        refused(&store, &["entity", "put", id, "--reason", "test"], 1, &[says]);
        refused(&store, &["check", id, "readMessage", "Company::Message::m-1001"], 1, &[says]);
        let offline = workspace().join("policies");
        refused(&store, &["check", "--offline", offline.to_str().unwrap(), id, "readMessage", CHECK[3]], 1, &[says]);
    }
    let long = format!("Company::Group::{}", "a".repeat(257));
    refused(&store, &["entity", "put", &long, "--reason", "test"], 1, &["it is 257 bytes long; the limit is 256"]);
    let hidden = "why\u{202e}";
    let put = ["entity", "put", "Company::Group::a"];
    refused(&store, &[&put[..], &["--reason", hidden]].concat(), 1, &["the reason of a change is not accepted"]);
    let actor = [&put[..], &["--reason", "test", "--actor", hidden]].concat();
    refused(&store, &actor, 1, &["the actor of a change is not accepted"]);
}

/// An action the schema does not have, and an attribute or a type it does not want, are no decision.
#[test]
fn question_outside_the_schema_has_no_answer() {
    let store = Store::example();
    let policies = workspace().join("policies");
    let ask = |arguments: &[&str], says: &[&str]| {
        refused(&store, &[&["check", "--offline", policies.to_str().unwrap()], arguments].concat(), 1, says);
    };
    let (ana, message) = (CHECK[1], CHECK[3]);
    ask(&[ana, "flyAway", message], &["Company::Action::\"flyAway\""]);
    ask(&["Company::Robot::r2", "readMessage", message], &["Company::Robot"]);
    ask(&[ana, "readMessage", "Company::Folder::library"], &["Company::Folder"]);
    ask(&[ana, "readMessage", message, "--context", r#"{"n":1}"#], &["context.n"]);
    ask(&[ana, "readMessage", message, "--principal-attributes", "{}"], &["Company::User", "stored"]);
    ask(&[ana, "readMessage", message, "--ip", "home"], &["`home` is not an IP address"]);
}

#[test]
fn history_is_asked_in_words_it_knows() {
    let store = Store::example();
    let check = |arguments: &[&str], says: &[&str]| drop(refused(&store, arguments, 1, says));
    check(
        &["audit", "show", "abc"],
        &["`abc` is not a decision id; it has 32 hexadecimal digits, a dash and a number"],
    );
    let unknown = "0123456789abcdef0123456789abcdef-1";
    check(&["audit", "show", unknown], &[&format!("there is no decision `{unknown}` in this history")]);
    check(&["audit", "search", "--before", unknown], &["there is no decision"]);
    let causes = "known are permitted, forbidden, no_permit, forbid_errored, unknown_principal";
    check(&["audit", "search", "--decision", "maybe"], &["`maybe` is not a decision: `allow` or `deny`"]);
    check(&["audit", "search", "--grant", "!"], &["`grant[0]`"]);
    check(&["audit", "search", "--since", "1h", "--histogram", "1s"], &["3600 stretches; at most 1000"]);
    check(&["audit", "search", "--cause", "denied"], &["`denied` is not a cause", causes]);
    check(&["audit", "search", "--since", "noon"], &["`noon` is neither an instant nor a span ago such as `7d`"]);
    check(&["audit", "search", "--principal", "ana"], &["`ana` is not an entity uid"]);
    let nothing = store.run(&["audit", "search", "--cause", "no_permit"]).code(0);
    assert_eq!(nothing.out, "nothing found\n");
}

#[test]
fn reader_that_leaves_early_is_no_error() {
    let store = Store::example();
    let none = ["none"; 0];
    for verb in [
        &["entity", "list"][..],
        &["policy", "status"],
        &["audit", "search"],
        &["--help"],
        &["-o", "json", "grant", "list"],
    ] {
        let mut command = Command::new(program());
        let mut child = command
            .current_dir(store.home())
            .args(verb.iter().chain(&none))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""), "{verb:?}");
    }
}
