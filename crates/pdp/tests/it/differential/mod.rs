//! A whole world, asked as production is asked, against Cedar's authorizer that is given all of that world: what is
//! gathered for a question is enough, and what somebody holds is what they were granted.
//!
//! The second opinion is given every entity, and grants are looked for among all of them; nothing of `facts` and of the
//! directory is used for it. `DIFFERENTIAL_CASES=1000000` asks fifty times as many as otherwise.

mod generate;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use magistrate_engine::{self as engine, Evaluator, Snapshot, Source};
use magistrate_model::{
    Cause, Conferred, Dataset, EntityData, EntityInput, EntityUid, Facts, GrantInForce, KnownEntity, Missing, Query,
    Question, Span, Verdict,
};
use magistrate_pdp::View;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, TestRunner};

use generate::{QUERIES, SCHEMA, World, now, world};

/// Everything that is stored or asserted.
struct Everything<'a> {
    dataset: &'a Dataset,
    query: &'a Query,
    entities: BTreeMap<&'a EntityUid, &'a EntityData>,
}

impl<'a> Everything<'a> {
    fn of(dataset: &'a Dataset, query: &'a Query) -> Self {
        let asserted = [&query.principal, &query.resource].into_iter().filter_map(EntityInput::asserted);
        let entities = dataset.entities.iter().chain(asserted).map(|entity| (&entity.uid, entity)).collect();
        Self { dataset, query, entities }
    }

    /// An entity and everything above it, stored or not.
    fn up_from(&self, uid: &EntityUid) -> BTreeSet<EntityUid> {
        let mut found = BTreeSet::from([uid.clone()]);
        loop {
            let above = found.iter().filter_map(|uid| self.entities.get(uid)).flat_map(|it| it.parents.iter().cloned());
            let more: BTreeSet<_> = above.filter(|uid| !found.contains(uid)).collect();
            if more.is_empty() {
                return found;
            }
            found.extend(more);
        }
    }

    fn exists(&self, uid: &EntityUid) -> bool {
        self.entities.contains_key(uid) || uid.type_name().as_str() == "Color"
    }

    /// Whether anything is missing that policies which make so many hops can come to.
    fn lacks_anything(&self, hops: u32) -> bool {
        let query = self.query;
        let mut reached = BTreeSet::from([query.principal.uid().clone(), query.resource.uid().clone()]);
        query.context.values().for_each(|value| value.each_entity(&mut |uid| reached.extend([uid.clone()])));
        for _ in 1..hops.max(1) {
            let mut next = BTreeSet::new();
            let known = reached.iter().filter_map(|uid| self.entities.get(uid));
            known.for_each(|entity| entity.each_reference(&mut |uid| next.extend([uid.clone()])));
            reached.extend(next);
        }
        reached.iter().flat_map(|uid| self.up_from(uid)).any(|uid| !self.exists(&uid))
    }

    /// What the principal is granted for this question.
    fn grants(&self, facts: &mut Facts) {
        let (holders, places) = (self.up_from(self.query.principal.uid()), self.up_from(self.query.resource.uid()));
        let holds: &[&str] = match self.query.principal.uid().type_name().as_str() {
            "User" => &["Role", "Scope"],
            "Client" => &["Scope"],
            _ => &[],
        };
        for grant in &self.dataset.grants {
            let applies = holders.contains(grant.holder()) && grant.resource().is_none_or(|at| places.contains(at));
            if !applies || !grant.term().in_force(now()) {
                continue;
            }
            let confers: BTreeSet<EntityUid> = match grant.conferred() {
                Conferred::Role { role, .. } if holds.contains(&"Role") => {
                    facts.direct_roles.insert(role.clone());
                    self.up_from(role)
                }
                Conferred::Scope(pattern) if holds.contains(&"Scope") => {
                    let covered = self.dataset.scopes.iter().filter(|scope| pattern.covers(&scope.name));
                    let covered = covered.map(|scope| (scope.name.clone(), scope.action_group.clone()));
                    let covered: BTreeMap<_, _> = covered.collect();
                    facts.scopes.extend(covered.clone());
                    covered.keys().map(|name| EntityUid::from_parts("Scope", name.as_str()).unwrap()).collect()
                }
                Conferred::Role { .. } | Conferred::Scope(_) => BTreeSet::new(),
            };
            if !confers.is_empty() {
                facts.grants.push(GrantInForce { id: grant.id().clone(), confers });
            }
        }
    }

    /// The question with all of the world in it. What is missing is the same, and so is the time.
    fn question(&self, gathered: &Question) -> Question {
        let known = |of: &&EntityData| Arc::new(KnownEntity::new((*of).clone()));
        let (roles, entities): (Vec<_>, Vec<_>) =
            self.entities.values().copied().partition(|entity| entity.uid.type_name().as_str() == "Role");
        let mut facts = Facts {
            entities: entities.iter().map(known).collect(),
            roles: roles.iter().map(known).collect(),
            direct_roles: BTreeSet::new(),
            scopes: BTreeMap::new(),
            grants: Vec::new(),
            ..gathered.facts.clone()
        };
        self.grants(&mut facts);
        facts.grants.sort_by(|one, other| one.id.cmp(&other.id));
        Question { query: gathered.query.clone(), facts }
    }
}

fn view(world: &World) -> Option<View> {
    let source = |name: &str, text: String| Source { name: name.into(), text };
    let policies = world.policies.iter().enumerate().map(|(at, text)| format!("@id(\"p{at}\") {text}\n"));
    let snapshot = Snapshot::compile(&source("schema", SCHEMA.to_owned()), &[source("policies", policies.collect())]);
    Some(View::offline(Arc::new(snapshot.ok()?), world.dataset.clone()))
}

/// What is answered, and what Cedar's authorizer says of everything.
fn both(view: &View, world: &World, query: &Query) -> (Question, Verdict, Verdict) {
    let (question, answered) = view.answer(query.clone(), now(), Span::ZERO).unwrap_or_else(|error| panic!("{error}"));
    let everything = Everything::of(&world.dataset, query);
    let missing = question.facts.missing.is_some();
    assert_eq!(missing, everything.lacks_anything(view.snapshot.dereferences()), "{:?}", question.facts.missing);
    if let Some(Missing::Principal(uid) | Missing::Resource(uid) | Missing::Other(uid)) = &question.facts.missing {
        assert!(!everything.exists(uid), "{uid}");
    }
    let whole = everything.question(&question);
    let second = engine::respond(&view.snapshot, &whole, view.head.revision, || Ok(Evaluator::Authorizer));
    (question, answered, second.unwrap_or_else(|error| panic!("{error}")).verdict)
}

fn cases() -> u32 {
    std::env::var("DIFFERENTIAL_CASES").ok().map_or(20_000, |given| given.parse().unwrap())
}

#[test]
fn answers_are_those_of_cedars_authorizer_given_everything() {
    let worlds = cases().div_ceil(160);
    let config = Config { cases: worlds, failure_persistence: None, max_shrink_iters: 10_000, ..Config::default() };
    let outcome = TestRunner::new(config).run(&world(), |world| {
        // Some policies are refused: such as those whose condition is never true.
        let Some(view) = view(&world) else { return Ok(()) };
        for query in &world.queries {
            let (_, answered, second) = both(&view, &world, query);
            prop_assert!(answered.says_as(&second), "{:?}\n{:?}\nby Cedar's authorizer: {:?}", query, answered, second);
        }
        Ok(())
    });
    outcome.unwrap_or_else(|failure| panic!("{failure}"));
}

/// What is generated comes to every cause, is asked with everything that can be held, and makes every number of hops.
#[test]
fn what_is_generated_covers_what_can_be_gathered() {
    const WORLDS: usize = 80;
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let (mut runner, worlds) = (TestRunner::deterministic(), world());
    let mut accepted = 0;
    for _ in 0..WORLDS {
        let world = worlds.new_tree(&mut runner).unwrap().current();
        let Some(view) = view(&world) else { continue };
        accepted += 1;
        let mut add = |name: &str, is: bool| *seen.entry(name.to_owned()).or_default() += usize::from(is);
        add(&format!("{} hops", view.snapshot.dereferences()), true);
        for query in &world.queries {
            let (question, answered, _) = both(&view, &world, query);
            let facts = &question.facts;
            add(answered.cause.name(), true);
            add("errored", !answered.errored.is_empty());
            add("role held", !facts.direct_roles.is_empty());
            add("role above a held one", facts.roles.len() > facts.direct_roles.len());
            add("scope held", !facts.scopes.is_empty());
            add("grant used", !answered.grants.is_empty());
            add("asserted principal", query.principal.asserted().is_some());
            add("asserted resource", query.resource.asserted().is_some());
            add("many entities", facts.entities.len() > 16);
            add("few entities", facts.entities.len() <= 16);
        }
    }
    assert!(accepted * 10 >= WORLDS * 7, "{accepted} of {WORLDS} are accepted");
    let hops = (1..=4).map(|hops| format!("{hops} hops"));
    let causes = Cause::ALL.map(|cause| cause.name().to_owned());
    let others = [
        "errored",
        "role held",
        "role above a held one",
        "scope held",
        "grant used",
        "asserted principal",
        "asserted resource",
        "many entities",
        "few entities",
    ];
    let wanted = hops.chain(causes).chain(others.map(str::to_owned));
    let rare: Vec<_> = wanted.filter(|name| seen.get(name).is_none_or(|times| *times < 3)).collect();
    assert!(rare.is_empty(), "hardly or never: {rare:?}, of {seen:?} ({QUERIES} of each)");
}
