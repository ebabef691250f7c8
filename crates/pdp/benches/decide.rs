//! What one decision costs in process, by the number of policies: `cargo bench -p magistrate-pdp`.
//!
//! Over the example grown to so many policies, 1,000 assignments and as many entities as policies (1,000 at least), so
//! that as many policies concern one folder everywhere; up to 10,000 policies, or what is given; without door and record: the
//! query typed, facts gathered, policies evaluated; evaluation alone on what was gathered; and the same by Cedar's own
//! authorizer. Wall time of one thread, median of the rounds; compare within a run.
#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "a benchmark reads the clock and prints")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "what it is given is its own")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use magistrate_engine::{Evaluator, Known, Snapshot, respond};
use magistrate_model::{EntityData, EntityUid, Query, Question, Span};
use magistrate_pdp::View;
use magistrate_testkit::{Scale, Scenario, World};

const ROUNDS: usize = 7;
const SIZES: [usize; 4] = [62, 1_000, 10_000, 100_000];

fn main() {
    let world = World::example();
    let most = std::env::args().find_map(|it| it.parse().ok()).unwrap_or(10_000);
    println!(
        "{:>9} {:>10} {:>12} {:>12} {:>14}",
        "policies", "admit us", "decision us", "evaluate us", "authorizer us"
    );
    for policies in SIZES.into_iter().filter(|policies| *policies <= most) {
        let scale = Scale { policies, assignments: 1_000, entities: policies.max(1_000) };
        let (snapshot, dataset) = Scenario::generate(1, scale).build(world.now());
        let view = View::offline(Arc::new(snapshot), dataset);
        let queries = queries(&world);
        let now = world.now();
        let prepared: Vec<(Question, Known)> = queries
            .iter()
            .map(|query| {
                let (question, _) = view.answer(query.clone(), now, Span::ZERO).unwrap();
                let known = known(&view.snapshot, &question);
                (question, known)
            })
            .collect();
        let admit = median(20_000, |n| black_box(view.snapshot.admit(query(&queries, n).clone())).is_ok());
        let decide = median(20_000, |n| black_box(view.answer(query(&queries, n).clone(), now, Span::ZERO)).is_ok());
        let evaluate = median(50_000, |n| {
            let Some((question, known)) = prepared.get(n % prepared.len()) else { return false };
            black_box(respond(&view.snapshot, question, view.head.revision, || Ok(Evaluator::Rules(known)))).is_ok()
        });
        let authorizer = median(1 + 200_000 / policies.max(100), |n| {
            let Some((question, _)) = prepared.get(n % prepared.len()) else { return false };
            black_box(respond(&view.snapshot, question, view.head.revision, || Ok(Evaluator::Authorizer))).is_ok()
        });
        println!("{policies:>9} {admit:>10.2} {decide:>12.2} {evaluate:>12.2} {authorizer:>14.1}");
    }
}

fn query(queries: &[Query], n: usize) -> &Query {
    &queries[n % queries.len()]
}

/// Questions that come to something: allowed and denied, by role, attribute and folder.
fn queries(world: &World) -> Vec<Query> {
    let asked = [
        ("Company::User::mia", "readDocument", "Company::Document::welcome"),
        ("Company::User::user-0", "readDocument", "Company::Document::document-2"),
        ("Company::User::user-3", "readDocument", "Company::Document::document-5"),
        ("Company::User::user-30", "readDocument", "Company::Document::document-101"),
        ("Company::User::user-300", "readDocument", "Company::Document::document-500"),
        ("Company::User::user-6", "readDocument", "Company::Document::document-8"),
    ];
    asked.map(|(principal, action, resource)| world.ask(principal, action, resource).query).into()
}

/// What the decision point keeps prepared for a question.
fn known(snapshot: &Snapshot, question: &Question) -> Known {
    let facts = &question.facts;
    let find = |uid: &EntityUid| facts.entities.iter().chain(&facts.roles).find(|entity| entity.uid == *uid);
    let prepare = |of: &EntityData| {
        let mut above: Vec<_> = of.parents.iter().collect();
        let mut at = 0;
        while let Some(uid) = above.get(at).copied() {
            above.extend(find(uid).into_iter().flat_map(|entity| &entity.parents));
            at += 1;
        }
        Arc::new(snapshot.prepare(of, above.into_iter()).unwrap())
    };
    let party = |uid: &EntityUid| prepare(find(uid).unwrap());
    let roles = facts.roles.iter().filter(|role| facts.direct_roles.contains(&role.uid));
    Known {
        principal: party(question.query.principal.uid()),
        resource: party(question.query.resource.uid()),
        others: facts.entities.iter().map(|entity| prepare(entity)).collect(),
        held: roles.map(|role| prepare(role)).collect(),
    }
}

/// Microseconds a turn, over rounds of so many.
#[expect(clippy::cast_precision_loss, reason = "a count of turns")]
fn median(turns: usize, mut turn: impl FnMut(usize) -> bool) -> f64 {
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let started = Instant::now();
            (0..turns).for_each(|n| assert!(turn(n)));
            started.elapsed().as_secs_f64() * 1e6 / turns as f64
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds.get(ROUNDS / 2).copied().unwrap_or_default()
}
