//! Many policies that differ in little: enough for the forms that an index takes where there are many keys, for action
//! sets beyond one word of bits, and for entities that are found by hash.

use std::collections::BTreeMap;

use magistrate_model::{EntityUid, Record};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::expressions::condition;
use super::literals::{Kind, record};
use super::{ACTIONS, GROUPS, Given, Stored};

/// Members of a crowd that policies and requests name.
pub(super) const MOST: usize = 140;

/// Around the number of keys where a column is searched by hash, and the numbers of sets that begin a word.
const SIZES: [usize; 9] = [31, 32, 33, 34, 63, 65, 128, 129, 130];

/// A member of a crowd, by number.
pub(super) fn member(number: usize) -> String {
    format!("Doc::\"k{number}\"")
}

/// Policies, and entities that they are about.
#[derive(Debug, Clone, Default)]
pub(super) struct Crowd {
    pub(super) policies: Vec<Given>,
    pub(super) entities: BTreeMap<EntityUid, Stored>,
}

/// In what the policies of a crowd differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Differ {
    Resources,
    Actions,
    Both,
}

/// Of two that are chosen by a number, each pair once.
fn actions(number: usize) -> String {
    let all = [&ACTIONS[..], &GROUPS[..]].concat();
    let name = |at: usize| format!("Action::\"{}\"", all[at % all.len()]);
    match number % 7 {
        0 if number < all.len() * 7 => format!("action == {}", name(number / 7)),
        _ => format!("action in [{}, {}]", name(number), name(number / all.len())),
    }
}

fn resource(number: usize) -> String {
    let member = member(number);
    match number % 3 {
        0 => format!("resource == {member}"),
        1 => format!("resource in {member}"),
        _ => format!("resource is Doc in {member}"),
    }
}

fn policies() -> impl Strategy<Value = Vec<Given>> {
    let size = prop_oneof![3 => select(SIZES.to_vec()), 1 => 30..MOST];
    let differ = select(vec![Differ::Resources, Differ::Actions, Differ::Both]);
    let principal = select(vec!["principal", "principal is User", r#"principal in Group::"a""#]);
    let clauses = prop_oneof![
        3 => Just(String::new()),
        1 => condition().prop_map(|condition| format!(" when {{ {condition} }}")),
    ];
    let effect = prop_oneof![6 => Just("permit"), 1 => Just("forbid")];
    (size, differ, effect, principal, clauses).prop_map(|(size, differ, effect, principal, clauses)| {
        let policy = |number| {
            let action = if differ == Differ::Resources { "action".to_owned() } else { actions(number) };
            let resource = if differ == Differ::Actions { "resource".to_owned() } else { resource(number) };
            Given::policy(format!("{effect}({principal}, {action}, {resource}){clauses};"))
        };
        (0..size).map(policy).collect()
    })
}

/// Some members, each below some that come later.
fn entities() -> impl Strategy<Value = BTreeMap<EntityUid, Stored>> {
    let stored = (0..MOST, vec(any::<Index>(), 0..3), record(&[("n", Kind::Long), ("who", Kind::Entity)]));
    vec(stored, 0..24).prop_map(|members| {
        let one = |(number, above, attributes): (usize, Vec<Index>, Record)| {
            let later = |at: Index| number + 1 + at.index(MOST);
            let folder = (number % 4 == 0).then(|| r#"N::Folder::"a""#.to_owned());
            let parents = above.into_iter().map(later).filter(|it| *it < MOST).map(member).chain(folder);
            let parents = parents.map(|uid| uid.parse().unwrap()).collect();
            (member(number).parse().unwrap(), Stored { attributes, tags: Record::new(), parents })
        };
        members.into_iter().map(one).collect()
    })
}

pub(super) fn crowd() -> impl Strategy<Value = Crowd> {
    (policies(), entities()).prop_map(|(policies, entities)| Crowd { policies, entities })
}
