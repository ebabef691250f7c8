//! Conditions of every form: mostly of the kind that is asked for, and now and then of another.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use super::literals::{ATTRIBUTES, KINDS, Kind, literal};
use super::{Text, texts, uid};

/// Expressions of one depth, by kind.
#[derive(Clone)]
struct Level(Vec<Text>);

impl Level {
    fn of(&self, kind: Kind) -> Text {
        self.0[kind as usize].clone()
    }

    /// Of whatever kind.
    fn any(&self) -> Text {
        let all = self.clone();
        select(KINDS.to_vec()).prop_flat_map(move |kind| all.of(kind)).boxed()
    }

    /// Mostly of the kind that is asked for.
    fn mostly(&self, kind: Kind) -> Text {
        prop_oneof![24 => self.of(kind), 1 => self.any()].boxed()
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
        | Kind::Entities
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

fn set(item: Text) -> Text {
    vec(item, 0..4).prop_map(|items| format!("[{}]", items.join(", "))).boxed()
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
                4 => infix(&["+", "-", "*"], of(Kind::Long), of(Kind::Long)),
                2 => of(Kind::Long).prop_map(|it| format!("(-{it})")),
                5 => tests(&["toMilliseconds", "toSeconds", "toMinutes", "toHours", "toDays"], of(Kind::Duration)),
            ]
            .boxed(),
            Kind::Set => prop_oneof![3 => set(of(Kind::Long)), 1 => set(below.any())].boxed(),
            Kind::Entities => set(of(Kind::Entity)),
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

/// Of `has`: one name, or several that follow one another, through records and entities.
const NAMES: [&str; 14] = [
    "n",
    "s",
    "who",
    "rec",
    "x",
    "rec.x",
    "rec.y",
    "who.n",
    "rec.y.z",
    "rec.who.n",
    "who.who.n",
    "who.rec.y.z",
    "y.z",
    "\"tag\"",
];

/// Of `like`: stars that stand for anything, stars that are meant, and other escapes.
pub(super) const PATTERNS: [&str; 14] =
    ["*", "a*", "*b", "", "b\\*c", "**", "*\\**", "a*b*", "\\*", "*a*b*c*", "a\\\\*", "\\u{61}*", "\\u{e9}", "*\\n*"];

fn boolean(below: &Level) -> Text {
    prop_oneof![
        8 => logic(below),
        8 => comparison(below),
        9 => extensions(below),
        6 => sets(below),
        11 => membership(below),
        8 => shape(below),
    ]
    .boxed()
}

fn logic(below: &Level) -> Text {
    let of = |kind| below.mostly(kind);
    prop_oneof![
        2 => infix(&["&&", "||"], of(Kind::Bool), of(Kind::Bool)),
        1 => of(Kind::Bool).prop_map(|it| format!("(!{it})")),
    ]
    .boxed()
}

fn comparison(below: &Level) -> Text {
    let of = |kind| below.mostly(kind);
    let alike = select(KINDS.to_vec()).prop_flat_map({
        let below = below.clone();
        move |kind| (below.of(kind), prop_oneof![5 => below.mostly(kind), 1 => below.any()])
    });
    let alike =
        (alike, select(vec!["==", "!="])).prop_map(|((one, other), by)| format!("({one} {by} {other})")).boxed();
    prop_oneof![
        4 => alike,
        3 => infix(&["<", "<=", ">", ">="], of(Kind::Long), of(Kind::Long)),
        1 => infix(&["<", "<=", ">", ">="], of(Kind::Datetime), of(Kind::Datetime)),
        1 => infix(&["<", "<="], of(Kind::Duration), of(Kind::Duration)),
    ]
    .boxed()
}

fn extensions(below: &Level) -> Text {
    let of = |kind| below.mostly(kind);
    let decimals = &["lessThan", "lessThanOrEqual", "greaterThan", "greaterThanOrEqual"];
    prop_oneof![
        3 => methods(decimals, of(Kind::Decimal), of(Kind::Decimal)),
        2 => methods(&["isInRange"], of(Kind::Ip), of(Kind::Ip)),
        2 => tests(&["isIpv4", "isIpv6", "isLoopback", "isMulticast"], of(Kind::Ip)),
    ]
    .boxed()
}

fn sets(below: &Level) -> Text {
    let of = |kind| below.mostly(kind);
    prop_oneof![
        2 => methods(&["contains"], of(Kind::Set), of(Kind::Long)),
        1 => methods(&["contains"], of(Kind::Entities), of(Kind::Entity)),
        2 => methods(&["containsAll", "containsAny"], of(Kind::Set), of(Kind::Set)),
        2 => methods(&["containsAll", "containsAny"], of(Kind::Entities), of(Kind::Entities)),
        2 => tests(&["isEmpty"], prop_oneof![3 => of(Kind::Set), 1 => below.any()].boxed()),
    ]
    .boxed()
}

/// Of an entity, of a set that is written, and of one that is only known when it is asked.
fn membership(below: &Level) -> Text {
    let of = |kind| below.mostly(kind);
    let is = |form: &'static str, target: Text| {
        (of(Kind::Entity), texts(&["User", "Role", "N::Folder"]), target)
            .prop_map(move |(of, name, target)| format!("({of} is {name}{form}{target})"))
            .boxed()
    };
    prop_oneof![
        4 => infix(&["in"], of(Kind::Entity), of(Kind::Entity)),
        3 => infix(&["in"], of(Kind::Entity), set(uid().boxed())),
        7 => infix(&["in"], of(Kind::Entity), of(Kind::Entities)),
        1 => infix(&["in"], of(Kind::Entity), of(Kind::Set)),
        2 => is("", Just(String::new()).boxed()),
        1 => is(" in ", of(Kind::Entity)),
        1 => is(" in ", of(Kind::Entities)),
    ]
    .boxed()
}

fn shape(below: &Level) -> Text {
    let of = |kind| below.mostly(kind);
    let holder = prop_oneof![of(Kind::Entity), of(Kind::Record)].boxed();
    prop_oneof![
        3 => pair(holder, texts(&NAMES), |of, name| format!("({of} has {name})")),
        2 => pair(of(Kind::String), texts(&PATTERNS), |of, like| format!("({of} like \"{like}\")")),
        1 => methods(&["hasTag"], of(Kind::Entity), of(Kind::String)),
    ]
    .boxed()
}

/// Conditions up to three operators deep.
pub(super) fn condition() -> Text {
    let leaves = Level(KINDS.map(leaf).into());
    let one = deeper(&leaves);
    let two = deeper(&one);
    prop_oneof![3 => one.of(Kind::Bool), 3 => two.of(Kind::Bool), 1 => deeper(&two).of(Kind::Bool)].boxed()
}
