//! Reading JSON lines and CSV: every problem with its place.

use crate::{Data, Problem, read_csv_grants};

fn jsonl(kind: &str, text: &str) -> Result<Data, Vec<Problem>> {
    let mut data = Data::default();
    data.add_jsonl(kind, "f.jsonl", text).map(|()| data)
}

#[track_caller]
fn check(problems: &[Problem], expected: &[(&str, &str)]) {
    let places: Vec<&str> = problems.iter().map(|problem| problem.place.as_str()).collect();
    assert_eq!(places, expected.iter().map(|(place, _)| *place).collect::<Vec<_>>(), "{problems:?}");
    for (problem, (_, says)) in problems.iter().zip(expected) {
        assert!(problem.what.contains(says), "wanted `{says}` in: {}", problem.what);
    }
}

#[track_caller]
fn refused(kind: &str, line: &str, says: &str) {
    check(&jsonl(kind, line).expect_err("accepted"), &[("f.jsonl:1", says)]);
}

#[test]
fn every_bad_line_is_told_with_file_and_line() {
    let text = "{\"role\":\"a\"}\n\n{\"role\":1}\nnonsense\n{\"role\":\"b\"}\n[]\n";
    let expected = [
        ("f.jsonl:3", "`role` must be text"),
        ("f.jsonl:4", "is not accepted as JSON"),
        ("f.jsonl:6", "a role must be an object"),
    ];
    check(&jsonl("roles", text).unwrap_err(), &expected);
    let good = jsonl("roles", "{\"role\":\"a\"}\n\n{\"role\":\"b\"}").unwrap();
    let places: Vec<&str> = good.roles.iter().map(|role| role.place.as_str()).collect();
    assert_eq!(places, ["f.jsonl:1", "f.jsonl:3"]);
}

#[test]
fn repeated_key_is_refused() {
    refused("roles", r#"{"role":"a","role":"b"}"#, "the key `role` stands twice");
    refused("entities", r#"{"uid":"User::\"a\"","attributes":{"level":1,"level":2}}"#, "the key `level` stands twice");
    refused("grants", r#"{"expires_at":"+1d","expires_at":"+9d"}"#, "the key `expires_at` stands twice");
}

#[test]
fn unknown_field_is_refused() {
    refused("roles", r#"{"role":"a","members":[]}"#, "`members` is not a field of a role; it has role, parents");
    refused("scopes", r#"{"scope":"a:b","group":"x"}"#, "`group` is not a field of a scope");
    refused("grants", r#"{"holder":"User::\"a\"","until":"+1d"}"#, "`until` is not a field of a grant");
    refused("entities", r#"{"uid":"User::\"a\"","attrs":{}}"#, "`attrs` is not a field of an entity");
}

#[test]
fn absent_and_mistyped_fields_are_refused() {
    let grant = |fields: &str| format!(r#"{{"holder":"User::\"a\"","role":"x",{fields}}}"#);
    refused("roles", "{}", "`role` is missing");
    refused("roles", r#"{"role":"a","parents":"b"}"#, "`parents` must be a list of roles");
    refused("scopes", r#"{"scope":"a:b"}"#, "`action_group` is missing");
    refused("grants", r#"{"role":"x","reason":"r"}"#, "`holder` is missing");
    refused("grants", r#"{"holder":"ana","role":"x","reason":"r"}"#, "is not an entity uid");
    refused("grants", &grant(r#""standing":true"#), "`reason` is missing");
    refused("grants", &grant(r#""standing":"yes","reason":"r""#), "`standing` must be true or false");
    refused("grants", &grant(r#""expires_at":7,"reason":"r""#), "`expires_at` must be text");
    refused("entities", r#"{"uid":"User::\"a\"","attributes":{"level":1.5}}"#, "numbers must be whole");
    refused("entities", r#"{"uid":"User::\"a\"","attributes":{"level":null}}"#, "leave an absent attribute out");
    refused("entities", "{}", "`uid` must give `type` and `id`");
}

#[test]
fn hidden_characters_are_refused_and_shown_escaped() {
    refused("entities", r#"{"uid":"User::\"a\u202eb\""}"#, "the direction character U+202E");
    refused("entities", r#"{"uid":{"type":"User","id":"a\u0000b"}}"#, "the control character U+0000");
    refused("roles", r#"{"role":"a","\u202erole":"b"}"#, "`\\u{202e}role` is not a field of a role");
}

#[test]
fn csv_problems_name_their_line() {
    const HEADER: &str = "holder_type,holder_id,role,standing,reason";
    let csv = |rows: &str| read_csv_grants("g.csv", &format!("{HEADER}\n{rows}"));
    assert_eq!(csv("User,ana,reader,true,r\n").unwrap()[0].place, "g.csv:2");
    let rows = "User,ana,reader,true,r\nUser,,reader,true,r\nUser,ana,reader,maybe,r\nUser,ana\nUser,ana,reader,,\n";
    let expected = [
        ("g.csv:3", "`holder` must give `type` and `id`"),
        ("g.csv:4", "`standing` is `maybe`; write true or false"),
        ("g.csv:5", "fields"),
        ("g.csv:6", "`reason` is missing"),
    ];
    check(&csv(rows).unwrap_err(), &expected);
}

#[test]
fn csv_header_is_checked_as_a_whole() {
    let refused =
        |text: &str, says: &str| check(&read_csv_grants("g.csv", text).expect_err("accepted"), &[("g.csv", says)]);
    refused("holder_type,holder_id,role,until,reason\n", "`until` is not a column of grants");
    refused("holder_type,holder_id,role,role,reason\n", "the column `role` stands twice");
    assert_eq!(read_csv_grants("g.csv", "holder_type,holder_id,role,reason\n").unwrap(), []);
}
