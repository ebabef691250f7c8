//! Policies, entities and requests of every form, by chance: mostly well typed, so that a good share comes to
//! something, and now and then not.

mod crowd;
mod expressions;
mod literals;

use std::collections::{BTreeMap, BTreeSet};

use magistrate_model::{AttributeName, EntityUid, Record};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};

use crowd::{Crowd, crowd, member};
use expressions::condition;
use literals::{ATTRIBUTES, Kind, record, value};

#[cfg(test)]
pub(super) use literals::ends;

pub(super) const TYPES: [&str; 6] = ["User", "Group", "Role", "Doc", "N::Folder", SCOPE];
/// What exists by a declaration alone: nothing of it is stored.
pub(super) const SCOPE: &str = "Scope";
const IDS: [&str; 2] = ["a", "b"];
pub(super) const ACTIONS: [&str; 4] = ["read", "edit", "drop", "deep"];
/// `all` is above `writes`, and above a chain of groups, each in the next.
pub(super) const GROUPS: [&str; 9] = ["all", "writes", "g0", "g1", "g2", "g3", "g4", "g5", "g6"];

type Text = BoxedStrategy<String>;

pub(super) fn uid() -> impl Strategy<Value = String> + Clone {
    let stored = (select(TYPES[..5].to_vec()), select(IDS.to_vec())).prop_map(|(of, id)| format!("{of}::\"{id}\""));
    let scope = select(IDS.to_vec()).prop_map(|id| format!("{SCOPE}::\"{id}\""));
    prop_oneof![24 => stored, 1 => scope, 1 => (0..crowd::MOST).prop_map(member)]
}

fn texts(of: &'static [&'static str]) -> Text {
    select(of.to_vec()).prop_map(str::to_owned).boxed()
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
        1 => select(IDS.to_vec()).prop_map(move |id| (format!("{party} in {SCOPE}::\"{id}\""), false)),
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
        2 => vec(name(), 0..4).prop_map(|all| format!("action in [{}]", all.join(", "))),
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

impl Given {
    /// A policy without slots.
    pub(super) fn policy(text: String) -> Self {
        Self { text, principal: None, resource: None }
    }
}

fn policy() -> impl Strategy<Value = Given> {
    let effect = prop_oneof![3 => Just("permit"), 1 => Just("forbid")];
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

/// A request, and roles and scopes that the principal holds for it.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) principal: EntityUid,
    pub(super) action: &'static str,
    pub(super) resource: EntityUid,
    pub(super) context: Record,
    pub(super) held: Vec<EntityUid>,
}

/// A request, and which member of the crowd is its resource, if there is a crowd.
fn request() -> impl Strategy<Value = (Request, Option<Pick>)> {
    let held = (subsequence(IDS.to_vec(), 0..=2), subsequence(IDS.to_vec(), 0..=2), any::<bool>());
    let held = held.prop_map(|(roles, scopes, scoped)| {
        let of = |name: &'static str, ids: Vec<&str>| -> Vec<EntityUid> {
            ids.iter().map(|id| EntityUid::from_parts(name, id).unwrap()).collect()
        };
        [of("Role", roles), if scoped { of(SCOPE, scopes) } else { Vec::new() }].concat()
    });
    let action = prop_oneof![12 => select(ACTIONS.to_vec()), 1 => select(GROUPS.to_vec())];
    let pick = proptest::option::weighted(0.75, (any::<bool>(), any::<Index>()));
    (uid(), action, uid(), record(&ATTRIBUTES), held, pick).prop_map(
        |(principal, action, resource, context, held, pick)| {
            let (principal, resource) = (principal.parse().unwrap(), resource.parse().unwrap());
            (Request { principal, action, resource, context, held }, pick)
        },
    )
}

/// Whether one of those at the ends is meant, and which.
type Pick = (bool, Index);

/// Of a crowd of so many, the first, the last, those at the ends of what is searched one after the other, or any.
fn picked(size: usize, (at_the_ends, index): Pick) -> EntityUid {
    let ends = [0, 31, 32, 33, size - 1];
    let number = if at_the_ends { *index.get(&ends) } else { index.index(size) };
    member(number).parse().unwrap()
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
/// Of so many worlds one has a crowd: it costs as much as several that have none.
pub(super) const CROWDED: u32 = 60;

/// Mostly without a crowd.
pub(super) fn world() -> impl Strategy<Value = World> {
    world_of(CROWDED)
}

/// Of so many, one with a crowd.
pub(super) fn world_of(crowded: u32) -> impl Strategy<Value = World> {
    let tags = btree_map(select(vec!["a", "tag"]), value(Kind::Long), 0..2)
        .prop_map(|tags| tags.into_iter().map(|(name, value)| (AttributeName::new(name).unwrap(), value)).collect());
    let stored = (record(&ATTRIBUTES), tags, vec(any::<Index>(), 0..3));
    let stored = vec(proptest::option::weighted(0.8, stored), every_uid().len());
    let crowd = prop_oneof![crowded - 1 => Just(Crowd::default()), 1 => crowd()];
    (vec(policy(), 1..16), stored, crowd, vec(request(), REQUESTS)).prop_map(
        |(mut policies, stored, crowd, requests)| {
            let uids = every_uid();
            let one = |(at, stored): (usize, Option<(Record, Record, Vec<Index>)>)| {
                let (attributes, tags, above) = stored?;
                let later = &uids[at + 1..];
                let parents =
                    above.iter().filter(|_| !later.is_empty()).map(|index| index.get(later).clone()).collect();
                Some((uids[at].clone(), Stored { attributes, tags, parents }))
            };
            let mut entities: BTreeMap<_, _> = stored.into_iter().enumerate().filter_map(one).collect();
            let size = crowd.policies.len();
            policies.extend(crowd.policies);
            entities.extend(crowd.entities);
            let one = |(request, pick): (Request, Option<Pick>)| match pick {
                Some(pick) if size > 0 => Request { resource: picked(size, pick), ..request },
                Some(_) | None => request,
            };
            World { policies, entities, requests: requests.into_iter().map(one).collect() }
        },
    )
}

fn every_uid() -> Vec<EntityUid> {
    // Users and documents come first: they are members, and roles and groups are what they are members of.
    let types = ["User", "Doc", "N::Folder", "Group", "Role"];
    types.iter().flat_map(|of| IDS.map(|id| EntityUid::from_parts(of, id).unwrap())).collect()
}
