//! Policies of many forms, by chance: of those that validate, those that nearly do, and those that differ from them in
//! a uid only.

use proptest::prelude::*;
use proptest::sample::select;

pub(super) const SCHEMA: &str = r#"
entity Color enum ["red", "green"];
entity Group in [Group];
entity User in [Group] { level: Long, manager?: User, name: String, home: { of: User } } tags String;
entity Doc { owner: User, limit: Long, color: Color };
action "docs:read";
action read in ["docs:read"] appliesTo { principal: User, resource: Doc, context: { n?: Long, by?: User } };
action edit appliesTo { principal: User, resource: [Doc, User], context: { facts: Magistrate::Facts } };
"#;

/// The last ones are told to confuse readers.
const USERS: [&str; 5] = ["User::\"a\"", "User::\"b\"", "User::\"é\"", "User::\"\u{430}b\"", "User::\"\\u{202e}\""];
const GROUPS: [&str; 3] = ["Group::\"a\"", "Group::\"b\"", "Grop::\"a\""];
/// The last one is not declared.
const COLORS: [&str; 3] = ["Color::\"red\"", "Color::\"green\"", "Color::\"blue\""];
const ACTIONS: [&str; 4] = ["Action::\"read\"", "Action::\"edit\"", "Action::\"docs:read\"", "Action::\"fly\""];

/// `U`, `G`, `C` and `A` stand for a user, a group, a color and an action.
const ATOMS: [&str; 36] = [
    "true",
    "principal == @U",
    "@U == @U",
    "principal in @G",
    "@U in @G",
    "@U in @U",
    "resource.owner == @U",
    "resource.color == @C",
    "@C == @C",
    "principal.level > 2",
    "principal.level > \"x\"",
    "principal.size > 1",
    "principal has manager && principal.manager == @U",
    "principal.manager.level > 1",
    "resource.owner has manager && resource.owner.manager has manager && resource.owner.manager.manager.level > 1",
    "resource.owner.home.of.home.of.home.of.level > 1",
    "resource.owner.home.of.home.of.level > 1",
    "context.facts.now < datetime(\"2030-01-01\")",
    "context has n && context.n > 3",
    "context has by && context.by.level > 3",
    "context has by.manager && context.by.manager.level > 3",
    "@U.level > 1",
    "@U has manager && @U.manager == principal",
    "[@U, @U].contains(principal)",
    "principal in [@G, @G]",
    "action in [@A, @A]",
    "action == @A",
    "@A in @A",
    "principal has manager.manager",
    "principal.hasTag(\"x\") && principal.getTag(\"x\") == \"y\"",
    "principal.hasTag(\"x\") && principal.getTag(\"y\") == \"y\"",
    "(if principal == @U then principal else resource.owner).level > 1",
    "{ of: resource.owner, by: @U }.of.level > 1",
    "resource is Doc && resource.limit > 1",
    "principal.name like \"a*\"",
    "principal.name == \"\u{430}b\"",
];

const PRINCIPALS: [&str; 5] =
    ["principal", "principal == @U", "principal in @G", "principal is User", "principal is User in @G"];
const SCOPED_ACTIONS: [&str; 4] = ["action", "action == @A", "action in @A", "action in [@A, @A]"];
const RESOURCES: [&str; 5] =
    ["resource", "resource is Doc", "resource == Doc::\"d\"", "resource == @U", "resource == @C"];

/// With every uid drawn by itself; nearly always of those that are right.
fn filled(text: String) -> impl Strategy<Value = String> {
    let count = text.matches('@').count();
    prop::collection::vec((0_usize..8, 0_usize..5), count).prop_map(move |drawn| {
        let mut drawn = drawn.into_iter();
        let mut filled = String::new();
        let mut pieces = text.split('@');
        filled.push_str(pieces.next().unwrap());
        for piece in pieces {
            let (odd, at) = drawn.next().unwrap();
            let (kind, rest) = piece.split_at(1);
            let (all, right): (&[&str], usize) = match kind {
                "U" => (&USERS, 2),
                "G" => (&GROUPS, 2),
                "C" => (&COLORS, 2),
                _ => (&ACTIONS, 3),
            };
            filled.push_str(if odd == 0 { all[at % all.len()] } else { all[at % right] });
            filled.push_str(rest);
        }
        filled
    })
}

/// What follows the annotations of a policy, with uids to be filled in.
fn form() -> impl Strategy<Value = String> {
    let condition = prop::collection::vec((select(&ATOMS[..]), select(&["&&", "&&", "||", "&& !"][..])), 0..3);
    let scope = (select(&PRINCIPALS[..]), select(&SCOPED_ACTIONS[..]), select(&RESOURCES[..]));
    (select(&["permit", "forbid"][..]), scope, condition, any::<bool>()).prop_map(
        |(effect, (principal, action, resource), atoms, when)| {
            let mut condition = String::new();
            for (n, (atom, joined)) in atoms.iter().enumerate() {
                if n > 0 {
                    condition.extend([" ", joined, " "]);
                }
                condition.extend(["(", atom, ")"]);
            }
            let clause = if when { "when" } else { "unless" };
            let clause = if condition.is_empty() { String::new() } else { format!(" {clause} {{ {condition} }}") };
            format!("{effect} ({principal}, {action}, {resource}){clause};")
        },
    )
}

/// Policies with ids: several of each form, with other uids.
pub(super) fn policies() -> impl Strategy<Value = Vec<String>> {
    let filled = |form| prop::collection::vec(filled(form), 1..6);
    let forms = prop::collection::vec(form().prop_flat_map(filled), 1..5).prop_map(|forms| forms.concat());
    forms.prop_shuffle().prop_map(|bodies| {
        let bodies = bodies.into_iter().enumerate();
        bodies.map(|(n, body)| format!("@id(\"p{n}\")\n@advice(\"a={n}\")\n{body}")).collect()
    })
}
