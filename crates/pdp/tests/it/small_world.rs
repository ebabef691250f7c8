//! A small schema with every kind of entity source.

use magistrate_model::{Cause, Decision};
use magistrate_testkit::{Ask, World};

pub(crate) const SCHEMA: &str = r#"
@source("stored") entity Group in [Group];
@source("role") entity Role in [Role];
@source("scope") entity Scope;
@source("stored") entity User in [Group, Role, Scope] { suspended: Bool, manager?: User, level: Long };
@source("stored") @scopes("required") entity Partner in [Scope];
@source("token") entity Session in [Role];
@source("stored") entity Folder in [Folder];
@source("stored") entity Doc in [Folder] { owner: User, secret: Bool };
@source("asserted") entity Order in [Folder] { total: Long, buyer?: User };
@source("stored") entity Device { managed: Bool };
entity Color enum ["red", "green"];
action "docs:read";
action "docs:write";
action read in ["docs:read"] appliesTo { principal: [User, Partner, Session], resource: [Doc, Order], context: { device?: Device, mfa?: Bool } };
action write in ["docs:write"] appliesTo { principal: [User, Partner], resource: [Doc, Order], context: {} };
@source("asserted") entity Bot in [Group] { level: Long };
action poke appliesTo { principal: Bot, resource: Bot, context: {} };
action close appliesTo { principal: User, resource: Doc, context: { facts: Magistrate::Facts } };
"#;

pub(crate) const POLICIES: &str = r#"
@id("reader") permit (principal in Role::"reader", action in Action::"docs:read", resource);
@id("writer") permit (principal in Role::"writer", action in Action::"docs:write", resource);
@id("owner") permit (principal is User, action == Action::"read", resource is Doc) when { resource.owner == principal };
@id("suspended") forbid (principal is User, action, resource) when { principal.suspended };
@id("secret-folder") @advice("reason=secret") forbid (principal, action, resource in Folder::"secret");
@id("office-hours") permit (principal is User, action == Action::"close", resource)
  when { context.facts.now < datetime("2026-06-01T18:00:00Z") };
@id("partners") @obligation("mask=total; log=yes") permit (principal is Partner, action, resource is Order);
@id("unmanaged") forbid (principal, action == Action::"read", resource) when { context has device && !context.device.managed };
"#;

/// Colours carry no `@source` in the text above: enumerated types exist by declaration.
pub(crate) fn schema() -> String {
    SCHEMA.replace("entity Color", "@source(\"stored\") entity Color")
}

pub(crate) fn world() -> World {
    World::of(&schema(), POLICIES)
        .with("roles", "{\"role\":\"reader\"}\n{\"role\":\"writer\",\"parents\":[\"reader\"]}")
        .with(
            "scopes",
            r#"{"scope":"docs:read","action_group":"Action::\"docs:read\""}
               {"scope":"docs:write","action_group":"Action::\"docs:write\""}"#,
        )
        .with(
            "entities",
            r#"{"uid":"Group::\"staff\""}
               {"uid":"Group::\"dev\"","parents":["Group::\"staff\""]}
               {"uid":"User::\"ann\"","attributes":{"suspended":false,"level":1},"parents":["Group::\"dev\""]}
               {"uid":"User::\"bob\"","attributes":{"suspended":false,"level":2}}
               {"uid":"User::\"eve\"","attributes":{"suspended":true,"level":1}}
               {"uid":"Partner::\"shop\""}
               {"uid":"Folder::\"top\""}
               {"uid":"Folder::\"mid\"","parents":["Folder::\"top\""]}
               {"uid":"Folder::\"other\""}
               {"uid":"Folder::\"secret\""}
               {"uid":"Doc::\"d1\"","attributes":{"owner":{"__entity":{"type":"User","id":"bob"}},"secret":false},"parents":["Folder::\"mid\""]}
               {"uid":"Doc::\"d2\"","attributes":{"owner":{"__entity":{"type":"User","id":"bob"}},"secret":false},"parents":["Folder::\"other\""]}
               {"uid":"Doc::\"d3\"","attributes":{"owner":{"__entity":{"type":"User","id":"ann"}},"secret":true},"parents":["Folder::\"secret\""]}
               {"uid":"Device::\"good\"","attributes":{"managed":true}}
               {"uid":"Device::\"bad\"","attributes":{"managed":false}}"#,
        )
}

/// Asks and compares decision and cause; the cause implies the decision.
pub(crate) fn check(ask: Ask, expected: Cause) {
    let what = format!("{} {} {}", ask.query.principal.uid(), ask.query.action, ask.query.resource.uid());
    let verdict = ask.verdict();
    assert_eq!(verdict.cause, expected, "{what}: {}", verdict.summary());
    let allowed = verdict.decision() == Decision::Allow;
    assert_eq!(allowed, expected == Cause::Permitted, "{what}");
    assert!(!allowed || !verdict.determining.is_empty(), "an allow names its permit");
}
