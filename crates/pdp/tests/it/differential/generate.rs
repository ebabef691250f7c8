//! Worlds of one schema: policies that pass validation and make hops, hierarchies, grants, and questions.

use std::collections::BTreeSet;

use magistrate_model::{
    ActionUid, AttributeName, Caller, Channel, Conferred, Dataset, EntityData, EntityInput, EntityUid, Environment,
    ExtensionFunction, Grant, Instant, Query, Record, ScopeDeclaration, ScopePattern, Span, Term, Value,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};

pub(super) const SCHEMA: &str = r#"
@source("stored") entity Group in [Group] { tier: Long, owner?: User };
@source("role") entity Role in [Role];
@source("scope") entity Scope;
@source("stored") entity User in [Group, Role, Scope] {
  level: Long, manager?: User, team: Group, friends: Set<User>, note: { by?: User, text: String },
  from: ipaddr, quota: decimal, since: datetime, span: duration
};
@source("stored") @scopes("required") entity Client in [Group, Scope] { owner: User };
@source("asserted") entity Bot in [Group] { owner: User, level: Long };
@source("stored") entity Folder in [Folder] { owner: User };
@source("stored") entity Doc in [Folder, Bundle] { owner: User, next?: Doc, readers: Set<Group>, open: Bool };
@source("asserted") entity Bundle in [Folder] { owner: User };
@source("stored") entity Color enum ["red", "green"];
action "all";
action "docs" in ["all"];
action "docs:read" in ["docs"];
action "docs:write" in ["docs"];
action read in ["docs:read"] appliesTo {
  principal: [User, Client, Bot], resource: [Doc, Folder, Bundle],
  context: { via?: User, also?: Doc, groups: Set<Group>, color?: Color, facts: Magistrate::Facts }
};
action write in ["docs:write"] appliesTo {
  principal: [User, Client, Bot], resource: [Doc, Folder, Bundle], context: { facts: Magistrate::Facts }
};
"#;

/// How many there are of each stored type.
fn count(of: &str) -> usize {
    match of {
        "User" | "Doc" => 7,
        "Group" | "Folder" => 4,
        _ => 2,
    }
}

fn uid(of: &str, number: usize) -> EntityUid {
    EntityUid::from_parts(of, &format!("{}{number}", of.to_lowercase())).unwrap()
}

/// One that is stored, unless it is the one behind the last.
fn some(of: &'static str, dangling: u32) -> impl Strategy<Value = EntityUid> + Clone {
    prop_oneof![60 => 0..count(of), dangling => Just(count(of))].prop_map(move |number| uid(of, number))
}

fn named(of: &'static str) -> impl Strategy<Value = String> + Clone {
    some(of, 0).prop_map(|uid| uid.to_string())
}

// Policies.

/// A way from a party to an entity: what must be there, the expression, and the type it leads to.
#[derive(Debug, Clone)]
struct Way {
    guards: Vec<String>,
    path: String,
    of: &'static str,
}

impl Way {
    fn from(party: &str, of: &'static str) -> Self {
        Self { guards: Vec::new(), path: party.to_owned(), of }
    }

    /// One hop further.
    fn step(self, choice: Index) -> Self {
        let Self { mut guards, path, of } = self;
        let steps: &[(&str, &str, &str)] = match of {
            "User" => {
                &[(" has manager", ".manager", "User"), ("", ".team", "Group"), (".note has by", ".note.by", "User")]
            }
            "Group" => &[(" has owner", ".owner", "User")],
            "Doc" => &[("", ".owner", "User"), (" has next", ".next", "Doc")],
            _ => &[("", ".owner", "User")],
        };
        let (guard, way, of) = choice.get(steps);
        if !guard.is_empty() {
            guards.push(format!("{path}{guard}"));
        }
        Self { guards, path: format!("{path}{way}"), of: of_static(of) }
    }
}

fn of_static(of: &str) -> &'static str {
    ["User", "Group", "Doc"].into_iter().find(|name| *name == of).unwrap()
}

/// The parties of a policy, by type, and whether it reads what only `read` has in its context.
#[derive(Debug, Clone, Copy)]
struct Parties {
    principal: &'static str,
    resource: &'static str,
    reads: bool,
}

/// What is asked of the entity that a way leads to.
fn asked(Way { guards, path, of }: &Way, parties: Parties, choice: Index, group: &str, folder: &str, n: i64) -> String {
    let mut forms = match *of {
        "User" => vec![
            format!("{path}.level > {n}"),
            format!("{path}.level + {n} > 0"),
            format!("{path}.level * {path}.level <= {n}"),
            format!("{path}.level + 9223372036854775807 > {n}"),
            format!("{path}.level - 9223372036854775807 - 2 < {n}"),
            format!("{path} in {group}"),
            format!("{path} in [Group::\"group1\", {group}]"),
            format!("{path} in [{path}.team, {group}]"),
            format!("{path}.from.isInRange(ip(\"10.0.0.0/8\"))"),
            format!("{path}.from.isInRange(ip(\"::/0\"))"),
            format!("{path}.quota.lessThan(decimal(\"922337203685477.5807\"))"),
            format!("{path}.since < datetime(\"1970-01-01\")"),
            format!("{path}.since.offset({path}.span) > datetime(\"2026-01-01T00:00:00+1400\")"),
            format!("context.facts.now.durationSince({path}.since) > {path}.span"),
            format!("{path}.note.text like \"a\\**\""),
            format!("{path}.friends.contains(User::\"user1\")"),
            format!("{path}.team.tier > {n}"),
        ],
        "Group" => vec![format!("{path}.tier > {n}"), format!("{path} in {group}"), format!("{path} == {group}")],
        "Doc" => vec![
            format!("{path}.open"),
            format!("{path} in {folder}"),
            format!("{path}.readers.contains({group})"),
            format!("!({path}.readers.isEmpty())"),
        ],
        "Bot" => vec![format!("{path} in {group}"), format!("{path}.level + {n} > 0")],
        "Client" => vec![format!("{path} in {group}")],
        _ => vec![format!("{path} in {folder}"), format!("{path} in [{folder}, Folder::\"folder0\"]")],
    };
    if matches!(*of, "User" | "Group") && parties.reads {
        forms.extend([format!("{path} in context.groups"), format!("{path} in context.groups")]);
    }
    if matches!(*of, "User" | "Group") && parties.resource == "Doc" {
        forms.extend([format!("{path} in resource.readers"), format!("{path} in resource.readers")]);
    }
    if *of == "User" && parties.principal == "User" {
        forms.extend([format!("{path} == principal"), format!("{path}.friends.contains(principal)")]);
    }
    guards.iter().chain([choice.get(&forms)]).cloned().collect::<Vec<_>>().join(" && ")
}

fn atom(parties: Parties) -> BoxedStrategy<String> {
    let mut starts = vec![("principal", parties.principal), ("resource", parties.resource)];
    if parties.reads {
        starts.extend([("context.via", "User"), ("context.also", "Doc")]);
    }
    let ways = (select(starts), vec(any::<Index>(), 0..4)).prop_map(|((party, of), steps)| {
        let mut way = steps.into_iter().fold(Way::from(party, of), Way::step);
        if let Some(name) = party.strip_prefix("context.") {
            way.guards.insert(0, format!("context has {name}"));
        }
        way
    });
    let n = prop_oneof![1 => -1..4_i64, 1 => Just(i64::MAX)];
    (ways, any::<Index>(), named("Group"), named("Folder"), n)
        .prop_map(move |(way, choice, group, folder, n)| asked(&way, parties, choice, &group, &folder, n))
        .boxed()
}

fn condition(parties: Parties) -> impl Strategy<Value = String> {
    let one = || atom(parties);
    prop_oneof![
        5 => Just(String::new()),
        8 => one().prop_map(|it| format!("when {{ {it} }}")),
        2 => one().prop_map(|it| format!("unless {{ {it} }}")),
        2 => (one(), one()).prop_map(|(a, b)| format!("when {{ ({a}) || ({b}) }}")),
        1 => (one(), one()).prop_map(|(a, b)| format!("when {{ {a} }} unless {{ {b} }}")),
        1 => (one(), one(), one()).prop_map(|(a, b, c)| format!("when {{ if {a} then {b} else !({c}) }}")),
    ]
}

fn policy() -> impl Strategy<Value = String> {
    let parties = (
        select(vec!["User", "User", "User", "Client", "Bot"]),
        select(vec!["Doc", "Doc", "Folder", "Bundle"]),
        any::<bool>(),
    );
    parties.prop_flat_map(|(principal, resource, reads)| {
        let whole = |of: &str| format!("is {of}");
        let mut principals = vec![
            Just(whole(principal)).boxed(),
            Just(whole(principal)).boxed(),
            named("Group").prop_map(move |group| format!("is {principal} in {group}")).boxed(),
        ];
        if principal != "Bot" {
            principals.push(named(principal).prop_map(|uid| format!("== {uid}")).boxed());
        }
        // Roles and scopes only widen: policies that forbid may not test them.
        let mut holding = principals.clone();
        if principal == "User" {
            holding.extend([
                named("Role").prop_map(|role| format!("is User in {role}")).boxed(),
                named("Role").prop_map(|role| format!("in {role}")).boxed(),
            ]);
        }
        if principal != "Bot" {
            holding.push(Just(format!("is {principal} in Scope::\"docs:write\"")).boxed());
        }
        let mut resources = vec![
            Just(whole(resource)).boxed(),
            Just(whole(resource)).boxed(),
            named("Folder").prop_map(move |folder| format!("is {resource} in {folder}")).boxed(),
        ];
        if resource == "Doc" {
            resources.push(named("Doc").prop_map(|doc| format!("== {doc}")).boxed());
        }
        let actions = if reads {
            vec!["== Action::\"read\"", "in Action::\"docs:read\""]
        } else {
            vec!["", "", "in Action::\"docs\"", "in [Action::\"write\", Action::\"docs:read\"]"]
        };
        let head = prop_oneof![
            2 => proptest::strategy::Union::new(holding).prop_map(|it| ("permit", it)),
            1 => proptest::strategy::Union::new(principals).prop_map(|it| ("forbid", it)),
        ];
        let parties = Parties { principal, resource, reads };
        (head, select(actions), proptest::strategy::Union::new(resources), condition(parties)).prop_map(
            |((effect, principal), action, resource, condition)| {
                // Without its type a principal has no attributes.
                let condition = if principal.starts_with("in ") { String::new() } else { condition };
                format!("{effect} (principal {principal}, action {action}, resource {resource}) {condition};")
            },
        )
    })
}

// Data.

fn attributes(pairs: impl IntoIterator<Item = (&'static str, Value)>) -> Record {
    pairs.into_iter().map(|(name, value)| (AttributeName::new(name).unwrap(), value)).collect()
}

fn entities_of(uids: Vec<EntityUid>) -> Value {
    Value::Set(uids.into_iter().map(Value::Entity).collect())
}

/// Above one of them are only some that come later.
fn parents(of: &'static str, number: usize) -> impl Strategy<Value = BTreeSet<EntityUid>> {
    vec(any::<Index>(), 0..2).prop_map(move |picked| {
        let later: Vec<_> = (number + 1..count(of)).map(|number| uid(of, number)).collect();
        picked.iter().filter(|_| !later.is_empty()).map(|index| index.get(&later).clone()).collect()
    })
}

fn user(number: usize, dangling: u32) -> impl Strategy<Value = EntityData> {
    let level = prop_oneof![3 => 0..4_i64, 1 => Just(i64::MAX), 1 => Just(i64::MIN)];
    let people =
        (option::of(some("User", dangling)), vec(some("User", dangling), 0..3), option::of(some("User", dangling)));
    let extension = |function, texts: &[&'static str]| {
        select(texts.to_vec()).prop_map(move |it| Value::Extension(function, it.into()))
    };
    let extensions = (
        extension(ExtensionFunction::Ip, &["10.0.0.1", "::1", "ff02::1", "10.0.0.0/7"]),
        extension(ExtensionFunction::Decimal, &["0.0", "922337203685477.5807", "-922337203685477.5808"]),
        extension(ExtensionFunction::Datetime, &["1969-12-31T23:59:59.999Z", "2026-05-31", "0000-01-01T00:00:00+2359"]),
        extension(ExtensionFunction::Duration, &["1d", "-1ms", "9223372036854775807ms", "-9223372036854775808ms"]),
    );
    (
        level,
        people,
        some("Group", dangling),
        extensions,
        select(vec!["", "a*b", "ab"]),
        vec(some("Group", dangling), 0..2),
    )
        .prop_map(move |(level, (manager, friends, by), team, (from, quota, since, span), text, groups)| {
            let optional = |name, uid: Option<EntityUid>| uid.map(|uid| (name, Value::Entity(uid)));
            let note = [("text", Value::String(text.into()))].into_iter().chain(optional("by", by));
            let own = [
                ("level", Value::Long(level)),
                ("team", Value::Entity(team)),
                ("friends", entities_of(friends)),
                ("note", Value::Record(attributes(note))),
                ("from", from),
                ("quota", quota),
                ("since", since),
                ("span", span),
            ];
            let attributes = attributes(own.into_iter().chain(optional("manager", manager)));
            EntityData { uid: uid("User", number), attributes, parents: groups.into_iter().collect() }
        })
}

fn owned(
    of: &'static str,
    number: usize,
    above: impl Strategy<Value = BTreeSet<EntityUid>>,
    dangling: u32,
) -> impl Strategy<Value = EntityData> {
    (some("User", dangling), above).prop_map(move |(owner, parents)| EntityData {
        uid: uid(of, number),
        attributes: attributes([("owner", Value::Entity(owner))]),
        parents,
    })
}

fn group(number: usize, dangling: u32) -> impl Strategy<Value = EntityData> {
    (0..4_i64, option::of(some("User", dangling)), parents("Group", number)).prop_map(move |(tier, owner, parents)| {
        let owner = owner.map(|uid| ("owner", Value::Entity(uid)));
        let attributes = attributes([("tier", Value::Long(tier))].into_iter().chain(owner));
        EntityData { uid: uid("Group", number), attributes, parents }
    })
}

fn doc(number: usize, dangling: u32) -> impl Strategy<Value = EntityData> {
    // A bundle is never stored: it is there if it is asserted.
    let above = (vec(some("Folder", dangling), 0..2), option::weighted(0.08, Just(uid("Bundle", 0))));
    let above = above.prop_map(|(folders, bundle)| folders.into_iter().chain(bundle).collect::<BTreeSet<_>>());
    (
        some("User", dangling),
        option::of(some("Doc", dangling)),
        vec(some("Group", dangling), 0..3),
        any::<bool>(),
        above,
    )
        .prop_map(move |(owner, next, readers, open, parents)| {
            let next = next.map(|uid| ("next", Value::Entity(uid)));
            let own = [("owner", Value::Entity(owner)), ("readers", entities_of(readers)), ("open", Value::Bool(open))];
            EntityData { uid: uid("Doc", number), attributes: attributes(own.into_iter().chain(next)), parents }
        })
}

fn entities(dangling: u32) -> impl Strategy<Value = Vec<EntityData>> {
    let each = |of: &'static str, number: usize| -> BoxedStrategy<EntityData> {
        let groups = vec(some("Group", dangling), 0..2).prop_map(|groups| groups.into_iter().collect::<BTreeSet<_>>());
        match of {
            "User" => user(number, dangling).boxed(),
            "Group" => group(number, dangling).boxed(),
            "Doc" => doc(number, dangling).boxed(),
            "Client" => owned(of, number, groups, dangling).boxed(),
            "Folder" => owned(of, number, parents(of, number), dangling).boxed(),
            _ => {
                let role = move |parents| EntityData { uid: uid(of, number), attributes: Record::new(), parents };
                parents(of, number).prop_map(role).boxed()
            }
        }
    };
    let types = ["User", "Group", "Role", "Client", "Folder", "Doc"];
    types.iter().flat_map(|of| (0..count(of)).map(|number| each(of, number))).collect::<Vec<_>>()
}

/// The instant of every question.
pub(super) fn now() -> Instant {
    "2026-06-01T12:00:00Z".parse().unwrap()
}

fn grants() -> impl Strategy<Value = Vec<Grant>> {
    let holder = prop_oneof![3 => some("User", 0), 4 => some("Group", 0), 2 => some("Client", 0)];
    let place = prop_oneof![5 => Just(None), 3 => some("Folder", 0).prop_map(Some), 1 => some("Doc", 0).prop_map(Some), 1 => Just(Some(uid("Bundle", 0)))];
    let role = (some("Role", 0), place).prop_map(|(role, resource)| Conferred::Role { role, resource });
    let scope = select(vec!["docs:read", "docs:*", "docs:write", "*:*"])
        .prop_map(|it| Conferred::Scope(it.parse::<ScopePattern>().unwrap()));
    let grant = (holder, prop_oneof![3 => role, 2 => scope], -4..2_i64, 1..5_i64);
    vec(grant, 4..16).prop_map(|grants| {
        let one = |(number, (holder, conferred, begin, length)): (usize, (EntityUid, Conferred, i64, i64))| {
            let at = |hours: i64| now().plus(Span::seconds(hours * 3_600));
            let term = Term::until(Some(at(begin)), at(begin + length)).unwrap();
            Grant::new(format!("g{number}").parse().unwrap(), holder, conferred, term, "x").unwrap()
        };
        grants.into_iter().enumerate().map(one).collect()
    })
}

fn scopes() -> Vec<ScopeDeclaration> {
    let one = |(name, group): (&str, &str)| ScopeDeclaration {
        name: name.parse().unwrap(),
        action_group: ActionUid::resolve(group, "").unwrap(),
        description: String::new(),
    };
    [("docs:read", "docs:read"), ("docs:write", "docs:write"), ("every:thing", "all")].map(one).into()
}

// Questions.

fn query() -> impl Strategy<Value = Query> {
    let asserted = |of: &'static str| {
        (some("User", 1), vec(some(if of == "Bot" { "Group" } else { "Folder" }, 1), 0..3), 0..3_i64).prop_map(
            move |(owner, above, level)| {
                let level = (of == "Bot").then_some(("level", Value::Long(level)));
                let attributes = attributes([("owner", Value::Entity(owner))].into_iter().chain(level));
                EntityInput::Asserted(EntityData { uid: uid(of, 0), attributes, parents: above.into_iter().collect() })
            },
        )
    };
    let stored = |of: &'static str| some(of, 1).prop_map(EntityInput::Reference);
    let principal = prop_oneof![12 => stored("User"), 3 => stored("Client"), 2 => asserted("Bot")];
    let resource = prop_oneof![10 => stored("Doc"), 2 => stored("Folder"), 2 => asserted("Bundle")];
    let color = option::of(select(vec!["red", "green"]));
    let context = (option::of(some("User", 1)), option::of(some("Doc", 1)), vec(some("Group", 1), 0..3), color);
    (principal, select(vec!["read", "read", "write"]), resource, context).prop_map(
        |(principal, action, resource, (via, also, groups, color))| {
            let via = via.map(|uid| ("via", Value::Entity(uid)));
            let also = also.map(|uid| ("also", Value::Entity(uid)));
            let color = color.map(|id| ("color", Value::Entity(EntityUid::from_parts("Color", id).unwrap())));
            let context = [("groups", entities_of(groups))].into_iter().chain(via).chain(also).chain(color);
            Query {
                principal,
                action: ActionUid::resolve(action, "").unwrap(),
                resource,
                context: if action == "read" { attributes(context) } else { Record::new() },
                environment: Environment::default(),
                at_least_revision: None,
                request_id: None,
                explain: false,
                caller: Caller { address: None, channel: Channel::Local, key: None, trace: None },
            }
        },
    )
}

/// Policies, what is stored, and what is asked.
#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) policies: Vec<String>,
    pub(super) dataset: Dataset,
    pub(super) queries: Vec<Query>,
}

pub(super) const QUERIES: usize = 16;

pub(super) fn world() -> impl Strategy<Value = World> {
    // In most of them everything is there that anything names.
    let entities = prop_oneof![4 => entities(0), 1 => entities(1)];
    (vec(policy(), 2..12), entities, grants(), vec(query(), QUERIES)).prop_map(
        |(policies, entities, grants, queries)| World {
            policies,
            dataset: Dataset { entities, grants, scopes: scopes(), ..Dataset::empty() },
            queries,
        },
    )
}
