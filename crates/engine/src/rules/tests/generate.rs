//! Policies, entities and requests of every form, by chance: mostly well typed, so that a good share comes to
//! something, and now and then not.

use std::collections::{BTreeMap, BTreeSet};

use magistrate_model::{AttributeName, EntityUid, ExtensionFunction, Record, Value};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};

pub(super) const TYPES: [&str; 5] = ["User", "Group", "Role", "Doc", "N::Folder"];
const IDS: [&str; 2] = ["a", "b"];
pub(super) const ACTIONS: [&str; 3] = ["read", "edit", "drop"];
pub(super) const GROUPS: [&str; 2] = ["all", "writes"];
/// Attributes by their types.
const ATTRIBUTES: [(&str, Kind); 11] = [
    ("n", Kind::Long),
    ("m", Kind::Long),
    ("s", Kind::String),
    ("yes", Kind::Bool),
    ("who", Kind::Entity),
    ("set", Kind::Set),
    ("rec", Kind::Record),
    ("ip", Kind::Ip),
    ("dec", Kind::Decimal),
    ("at", Kind::Datetime),
    ("for", Kind::Duration),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Bool,
    Long,
    String,
    Entity,
    Set,
    Record,
    Ip,
    Decimal,
    Datetime,
    Duration,
}

const KINDS: [Kind; 10] = [
    Kind::Bool,
    Kind::Long,
    Kind::String,
    Kind::Entity,
    Kind::Set,
    Kind::Record,
    Kind::Ip,
    Kind::Decimal,
    Kind::Datetime,
    Kind::Duration,
];

type Text = BoxedStrategy<String>;

/// Expressions of one depth, by kind.
#[derive(Clone)]
struct Level(Vec<Text>);

impl Level {
    fn of(&self, kind: Kind) -> Text {
        self.0[kind as usize].clone()
    }

    /// Mostly of the kind that is asked for.
    fn mostly(&self, kind: Kind) -> Text {
        let any = select(KINDS.to_vec()).prop_flat_map({
            let all = self.clone();
            move |kind| all.of(kind)
        });
        prop_oneof![30 => self.of(kind), 1 => any].boxed()
    }
}

pub(super) fn uid() -> impl Strategy<Value = String> + Clone {
    (select(TYPES.to_vec()), select(IDS.to_vec())).prop_map(|(of, id)| format!("{of}::\"{id}\""))
}

fn texts(of: &'static [&'static str]) -> Text {
    select(of.to_vec()).prop_map(str::to_owned).boxed()
}

fn literal(kind: Kind) -> Text {
    match kind {
        Kind::Bool => texts(&["true", "false"]),
        Kind::Long => {
            texts(&["0", "1", "2", "3", "(-1)", "9223372036854775807", "(-9223372036854775808)", "4611686018427387904"])
        }
        Kind::String => texts(&[r#""""#, r#""a""#, r#""ab""#, r#""tag""#, r#""b*c""#]),
        Kind::Entity => uid().boxed(),
        Kind::Set => texts(&["[]", "[1, 2]", "[2, 3, 1, 1]", r#"["a", 1]"#, r#"[User::"a", Role::"b"]"#, "[[1], []]"]),
        Kind::Record => texts(&["{}", "{x: 1}", r#"{x: 1, y: {z: "a"}}"#, "{x: true, n: 2}"]),
        Kind::Ip => texts(&[r#"ip("10.0.0.1")"#, r#"ip("10.0.0.0/8")"#, r#"ip("::1")"#, r#"ip("nonsense")"#]),
        Kind::Decimal => texts(&[r#"decimal("1.5")"#, r#"decimal("-0.25")"#, r#"decimal("1.23456")"#]),
        Kind::Datetime => {
            texts(&[r#"datetime("2026-01-31")"#, r#"datetime("2026-01-31T09:00:00Z")"#, r#"datetime("never")"#])
        }
        Kind::Duration => texts(&[r#"duration("1h30m")"#, r#"duration("-1d")"#, r#"duration("x")"#]),
    }
}

/// A literal, or an attribute that should be of the kind.
fn leaf(kind: Kind) -> Text {
    let names: Vec<&str> = ATTRIBUTES.iter().filter(|(_, of)| *of == kind).map(|(name, _)| *name).collect();
    let holders =
        vec!["principal", "resource", "context", "principal.who", "context.rec", "context.who", "resource.rec"];
    let attribute = (select(holders), select(names)).prop_map(|(holder, name)| format!("{holder}.{name}"));
    match kind {
        Kind::Entity => {
            prop_oneof![2 => literal(kind), 2 => attribute, 4 => texts(&["principal", "resource", "action"])].boxed()
        }
        Kind::Record => prop_oneof![2 => literal(kind), 2 => attribute, 1 => texts(&["context"])].boxed(),
        Kind::Bool
        | Kind::Long
        | Kind::String
        | Kind::Set
        | Kind::Ip
        | Kind::Decimal
        | Kind::Datetime
        | Kind::Duration => prop_oneof![2 => literal(kind), 3 => attribute].boxed(),
    }
}

fn pair(one: Text, other: Text, form: impl Fn(String, String) -> String + 'static) -> Text {
    (one, other).prop_map(move |(one, other)| form(one, other)).boxed()
}

fn infix(operators: &'static [&'static str], one: Text, other: Text) -> Text {
    (select(operators.to_vec()), one, other).prop_map(|(by, one, other)| format!("({one} {by} {other})")).boxed()
}

fn methods(names: &'static [&'static str], of: Text, argument: Text) -> Text {
    (select(names.to_vec()), of, argument).prop_map(|(name, of, argument)| format!("({of}).{name}({argument})")).boxed()
}

fn tests(names: &'static [&'static str], of: Text) -> Text {
    (select(names.to_vec()), of).prop_map(|(name, of)| format!("({of}).{name}()")).boxed()
}

/// Expressions one deeper than those given.
fn deeper(below: &Level) -> Level {
    let of = |kind| below.mostly(kind);
    let whole = |kind: Kind| {
        let choice = (of(Kind::Bool), of(kind), of(kind));
        let choice = choice.prop_map(|(test, one, other)| format!("(if {test} then {one} else {other})")).boxed();
        let got = pair(of(Kind::Record), texts(&["x", "y", "n", "who", "s"]), |of, name| format!("({of}).{name}"));
        let tag = pair(of(Kind::Entity), of(Kind::String), |of, tag| format!("({of}).getTag({tag})"));
        let compound = match kind {
            Kind::Bool => boolean(below),
            Kind::Long => prop_oneof![
                2 => infix(&["+", "-", "*"], of(Kind::Long), of(Kind::Long)),
                1 => of(Kind::Long).prop_map(|it| format!("(-{it})")),
                3 => tests(&["toMilliseconds", "toSeconds", "toMinutes", "toHours", "toDays"], of(Kind::Duration)),
            ]
            .boxed(),
            Kind::Set => {
                vec(below.mostly(Kind::Long), 0..3).prop_map(|items| format!("[{}]", items.join(", "))).boxed()
            }
            Kind::Record => pair(of(Kind::Long), of(Kind::Entity), |x, who| format!("{{x: {x}, who: {who}}}")),
            Kind::Datetime => prop_oneof![
                methods(&["offset"], of(Kind::Datetime), of(Kind::Duration)),
                tests(&["toDate"], of(Kind::Datetime))
            ]
            .boxed(),
            Kind::Duration => prop_oneof![
                2 => methods(&["durationSince"], of(Kind::Datetime), of(Kind::Datetime)),
                1 => tests(&["toTime"], of(Kind::Datetime))
            ]
            .boxed(),
            Kind::Ip => of(Kind::String).prop_map(|it| format!("ip({it})")).boxed(),
            Kind::Decimal => of(Kind::String).prop_map(|it| format!("decimal({it})")).boxed(),
            Kind::String | Kind::Entity => leaf(kind),
        };
        prop_oneof![4 => leaf(kind), 6 => compound, 1 => choice, 1 => got, 1 => tag].boxed()
    };
    Level(KINDS.map(whole).into())
}

fn boolean(below: &Level) -> Text {
    let of = |kind| below.mostly(kind);
    let is = |form: &'static str| {
        pair(of(Kind::Entity), texts(&["User", "Role", "N::Folder"]), move |of, name| format!("({of} is {name}{form})"))
    };
    let has = texts(&["n", "s", "who", "rec", "x", "rec.x", "who.n", "rec.y.z", "who.who.n", "\"tag\""]);
    let alike = select(KINDS.to_vec()).prop_flat_map({
        let below = below.clone();
        move |kind| (below.of(kind), below.mostly(kind))
    });
    let alike =
        (alike, select(vec!["==", "!="])).prop_map(|((one, other), by)| format!("({one} {by} {other})")).boxed();
    prop_oneof![
        4 => infix(&["&&", "||"], of(Kind::Bool), of(Kind::Bool)),
        2 => of(Kind::Bool).prop_map(|it| format!("(!{it})")),
        4 => alike,
        3 => infix(&["<", "<=", ">", ">="], of(Kind::Long), of(Kind::Long)),
        1 => infix(&["<", "<=", ">", ">="], of(Kind::Datetime), of(Kind::Datetime)),
        1 => infix(&["<", "<="], of(Kind::Duration), of(Kind::Duration)),
        3 => methods(&["lessThan", "lessThanOrEqual", "greaterThan", "greaterThanOrEqual"], of(Kind::Decimal), of(Kind::Decimal)),
        1 => methods(&["isInRange"], of(Kind::Ip), of(Kind::Ip)),
        2 => tests(&["isIpv4", "isIpv6", "isLoopback", "isMulticast"], of(Kind::Ip)),
        2 => methods(&["contains"], of(Kind::Set), of(Kind::Long)),
        2 => methods(&["containsAll", "containsAny"], of(Kind::Set), of(Kind::Set)),
        1 => tests(&["isEmpty"], of(Kind::Set)),
        4 => infix(&["in"], of(Kind::Entity), of(Kind::Entity)),
        3 => pair(of(Kind::Entity), vec(uid(), 0..4).prop_map(|all| format!("[{}]", all.join(", "))).boxed(), |one, all| format!("({one} in {all})")),
        1 => infix(&["in"], of(Kind::Entity), of(Kind::Set)),
        2 => is(""),
        1 => is(" in Role::\"a\""),
        3 => pair(prop_oneof![of(Kind::Entity), of(Kind::Record)].boxed(), has, |of, name| format!("({of} has {name})")),
        2 => pair(of(Kind::String), texts(&["*", "a*", "*b", "", "b\\*c"]), |of, like| format!("({of} like \"{like}\")")),
        1 => methods(&["hasTag"], of(Kind::Entity), of(Kind::String)),
    ]
    .boxed()
}

/// Conditions up to three operators deep.
fn condition() -> Text {
    let leaves = Level(KINDS.map(leaf).into());
    let one = deeper(&leaves);
    let two = deeper(&one);
    prop_oneof![3 => one.of(Kind::Bool), 3 => two.of(Kind::Bool), 1 => deeper(&two).of(Kind::Bool)].boxed()
}

/// What a scope asks of a party; templates have a slot.
fn constraint(party: &'static str) -> BoxedStrategy<(String, bool)> {
    let typed = (select(TYPES.to_vec()), uid());
    let slot = format!("?{party}");
    prop_oneof![
        12 => Just((party.to_owned(), false)),
        4 => select(TYPES.to_vec()).prop_map(move |of| (format!("{party} is {of}"), false)),
        2 => uid().prop_map(move |to| (format!("{party} == {to}"), false)),
        6 => uid().prop_map(move |of| (format!("{party} in {of}"), false)),
        2 => typed.prop_map(move |(of, to)| (format!("{party} is {of} in {to}"), false)),
        2 => (select(vec!["==", "in", "is User in", "is Doc in"])).prop_map(move |by| (format!("{party} {by} {slot}"), true)),
    ]
    .boxed()
}

fn action() -> BoxedStrategy<String> {
    let name = || select([&ACTIONS[..], &GROUPS[..]].concat()).prop_map(|id| format!("Action::\"{id}\""));
    prop_oneof![
        8 => Just("action".to_owned()),
        1 => name().prop_map(|to| format!("action == {to}")),
        4 => name().prop_map(|of| format!("action in {of}")),
        2 => vec(name(), 0..3).prop_map(|all| format!("action in [{}]", all.join(", "))),
    ]
    .boxed()
}

/// A policy, or a template with what its slots are filled with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Given {
    pub(super) text: String,
    pub(super) principal: Option<String>,
    pub(super) resource: Option<String>,
}

fn policy() -> impl Strategy<Value = Given> {
    let effect = prop_oneof![4 => Just("permit"), 1 => Just("forbid")];
    let clause = || (select(vec!["when", "when", "unless"]), condition());
    let clauses = prop_oneof![2 => vec(clause(), 0), 5 => vec(clause(), 1), 2 => vec(clause(), 2)];
    (effect, constraint("principal"), action(), constraint("resource"), clauses, uid(), uid()).prop_map(
        |(effect, (principal, one), action, (resource, other), clauses, first, second)| {
            let clauses: Vec<_> = clauses.iter().map(|(word, text)| format!("\n{word} {{ {text} }}")).collect();
            let clauses = clauses.concat();
            let text = format!("{effect}({principal}, {action}, {resource}){clauses};");
            Given { text, principal: one.then_some(first), resource: other.then_some(second) }
        },
    )
}

/// An entity as it is stored.
#[derive(Debug, Clone)]
pub(super) struct Stored {
    pub(super) attributes: Record,
    pub(super) tags: Record,
    /// Only entities that come later, so that nothing is a member of itself.
    pub(super) parents: BTreeSet<EntityUid>,
}

fn value(kind: Kind) -> BoxedStrategy<Value> {
    let extension = |function, of: &'static [&'static str]| {
        select(of.to_vec()).prop_map(move |text| Value::Extension(function, text.into())).boxed()
    };
    match kind {
        Kind::Bool => any::<bool>().prop_map(Value::Bool).boxed(),
        Kind::Long => {
            prop_oneof![4 => -2..4_i64, 1 => Just(i64::MAX), 1 => Just(i64::MIN)].prop_map(Value::Long).boxed()
        }
        Kind::String => select(vec!["", "a", "ab", "tag", "b*c"]).prop_map(|it| Value::String(it.into())).boxed(),
        Kind::Entity => uid().prop_map(|it| Value::Entity(it.parse().unwrap())).boxed(),
        Kind::Set => {
            vec(prop_oneof![4 => value(Kind::Long), 1 => value(Kind::String)], 0..3).prop_map(Value::Set).boxed()
        }
        Kind::Record => record(&[("x", Kind::Long), ("n", Kind::Long), ("s", Kind::String), ("who", Kind::Entity)])
            .prop_map(Value::Record)
            .boxed(),
        Kind::Ip => extension(ExtensionFunction::Ip, &["10.0.0.1", "::1", "192.168.0.0/16"]),
        Kind::Decimal => extension(ExtensionFunction::Decimal, &["1.5", "0.0", "-0.25"]),
        Kind::Datetime => extension(ExtensionFunction::Datetime, &["2026-01-31", "2025-01-01T00:00:00Z"]),
        Kind::Duration => extension(ExtensionFunction::Duration, &["1h30m", "0ms", "-1d"]),
    }
}

/// Most of the attributes, most of them of their kinds.
fn record(of: &[(&'static str, Kind)]) -> BoxedStrategy<Record> {
    let mostly = |kind| prop_oneof![20 => value(kind), 1 => select(vec![Kind::Bool, Kind::Long, Kind::Entity]).prop_flat_map(value)];
    let fields: Vec<_> =
        of.iter().map(|(name, kind)| (Just(*name), proptest::option::weighted(0.95, mostly(*kind)))).collect();
    let named = |(name, value): (&str, Option<Value>)| Some((AttributeName::new(name).unwrap(), value?));
    fields.prop_map(move |fields| fields.into_iter().filter_map(named).collect()).boxed()
}

/// A request, and roles that the principal holds for it.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) principal: EntityUid,
    pub(super) action: &'static str,
    pub(super) resource: EntityUid,
    pub(super) context: Record,
    pub(super) held: Vec<EntityUid>,
}

fn request() -> impl Strategy<Value = Request> {
    let held = subsequence(IDS.to_vec(), 0..=2);
    (uid(), select(ACTIONS.to_vec()), uid(), record(&ATTRIBUTES), held).prop_map(
        |(principal, action, resource, context, held)| Request {
            principal: principal.parse().unwrap(),
            action,
            resource: resource.parse().unwrap(),
            context,
            held: held.iter().map(|id| EntityUid::from_parts("Role", id).unwrap()).collect(),
        },
    )
}

/// Policies, entities, and what is asked of them.
#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) policies: Vec<Given>,
    pub(super) entities: BTreeMap<EntityUid, Stored>,
    pub(super) requests: Vec<Request>,
}

/// Requests that are made of each set of policies.
pub(super) const REQUESTS: usize = 8;

pub(super) fn world() -> impl Strategy<Value = World> {
    let tags = btree_map(select(vec!["a", "tag"]), value(Kind::Long), 0..2)
        .prop_map(|tags| tags.into_iter().map(|(name, value)| (AttributeName::new(name).unwrap(), value)).collect());
    let stored = (record(&ATTRIBUTES), tags, vec(any::<Index>(), 0..3));
    (vec(policy(), 1..16), btree_map(uid(), stored, 2..30), vec(request(), REQUESTS)).prop_map(
        |(policies, entities, requests)| {
            let uids: Vec<EntityUid> = every_uid();
            let parents = |of: &EntityUid, picked: &[Index]| {
                let later = uids.iter().position(|uid| uid == of).map_or(&[][..], |at| &uids[at + 1..]);
                picked.iter().filter(|_| !later.is_empty()).map(|at| at.get(later).clone()).collect()
            };
            let stored = |(uid, (attributes, tags, picked)): (String, (Record, Record, Vec<Index>))| {
                let uid: EntityUid = uid.parse().unwrap();
                let parents = parents(&uid, &picked);
                (uid, Stored { attributes, tags, parents })
            };
            World { policies, entities: entities.into_iter().map(stored).collect(), requests }
        },
    )
}

fn every_uid() -> Vec<EntityUid> {
    // Users and documents come first: they are members, and roles and groups are what they are members of.
    let types = ["User", "Doc", "N::Folder", "Group", "Role"];
    types.iter().flat_map(|of| IDS.map(|id| EntityUid::from_parts(of, id).unwrap())).collect()
}
