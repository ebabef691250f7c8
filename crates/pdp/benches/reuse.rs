//! What using earlier answers again costs and saves, by the class of question: `cargo bench -p magistrate-pdp --bench reuse`.
//!
//! Without door and record; the product's allocator; questions of a class are all different, and asked one after the other by
//! one thread. *Evaluated* is without reuse, *first* and *second* are the first and the second time that each is asked (it is
//! kept at the second), *used* is every time after that. Microseconds a question, median of the rounds; compare within a run.
#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "a benchmark reads the clock and prints")]
#![expect(clippy::unwrap_used, reason = "what it is given is its own")]

use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use magistrate_model::{EntityInput, EntityUid, Query, Span, json};
use magistrate_pdp::{Reuse, ReuseSettings, View};
use magistrate_testkit::{Scale, Scenario, World};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUNDS: usize = 15;
/// Questions of a class.
const QUESTIONS: usize = 1_000;
/// Roles of whoever holds many.
const ROLES: usize = 40;

const SCHEMA: &str = r#"
@source("role") entity Role;
@source("stored") entity Group in [Group];
@source("stored") entity User in [Group, Role] { level: Long };
@source("stored") entity Folder in [Folder];
@source("stored") entity Doc in [Folder] { owner: User };
@source("asserted") entity Order in [Folder] { total: Long, status: String, a: String, b: String, c: Long, buyer: User };
action read appliesTo { principal: User, resource: Doc, context: { n?: Long, a?: String, b?: String, c?: Long, at?: datetime } };
action buy appliesTo { principal: User, resource: Order, context: {} };
action visit appliesTo { principal: User, resource: Doc, context: { facts: Magistrate::Facts } };
action close appliesTo { principal: User, resource: Doc, context: { facts: Magistrate::Facts } };
"#;

const POLICIES: &str = r#"
@id("reader") permit (principal in Role::"r0", action in [Action::"read", Action::"visit"], resource);
@id("owner") permit (principal is User, action, resource is Doc) when { resource.owner == principal };
@id("level") forbid (principal is User, action, resource in Folder::"f0") when { principal.level > 3 };
@id("staff") permit (principal in Group::"g0", action == Action::"buy", resource) when { resource.total < 1000 };
@id("late") forbid (principal, action == Action::"read", resource) when { context has at && context.at > datetime("2030-01-01") };
@id("hours") permit (principal is User, action == Action::"close", resource) when { context.facts.now < datetime("2030-01-01") };
"#;

/// Questions of one kind.
struct Class {
    name: &'static str,
    view: Arc<View>,
    now: magistrate_model::Instant,
    queries: Vec<Query>,
    /// Whether its answers can be used again.
    is_kept: bool,
}

fn main() {
    println!(
        "{:>34} {:>12} {:>10} {:>10} {:>10} {:>14} {:>15}",
        "questions", "evaluated us", "first us", "second us", "used us", "used/evaluated", "first/evaluated"
    );
    for class in classes() {
        let [evaluated, first, second, used] = class.measure();
        let name = class.name;
        let (saved, added) = (used / evaluated, first / evaluated);
        println!("{name:>34} {evaluated:>12.2} {first:>10.2} {second:>10.2} {used:>10.2} {saved:>14.2} {added:>15.2}");
    }
}

impl Class {
    /// Without reuse, and the first, the second and the third time with it.
    fn measure(&self) -> [f64; 4] {
        let mut rounds = [const { Vec::new() }; 4];
        for _ in 0..ROUNDS {
            let reuse = Reuse::new(ReuseSettings::default());
            let evaluate = |query| self.view.answer(query, self.now, Span::ZERO).is_ok();
            let ask = |query| reuse.answer(&self.view, query, self.now, Span::ZERO).is_ok();
            let [evaluated, first, second, used] = &mut rounds;
            evaluated.push(self.took(evaluate));
            first.push(self.took(ask));
            second.push(self.took(ask));
            let before = reuse.vitals().used;
            used.push(self.took(ask));
            // Two that share a place with a third one may not be kept.
            let all = usize::try_from(reuse.vitals().used - before).unwrap();
            let expected = if self.is_kept { QUESTIONS - QUESTIONS / 100..=QUESTIONS } else { 0..=0 };
            assert!(expected.contains(&all), "{}: {all} were used", self.name);
        }
        rounds.map(|mut rounds| {
            rounds.sort_by(f64::total_cmp);
            rounds.get(ROUNDS / 2).copied().unwrap_or_default()
        })
    }

    /// Microseconds a question.
    #[expect(clippy::cast_precision_loss, reason = "a count of questions")]
    fn took(&self, ask: impl Fn(Query) -> bool) -> f64 {
        let queries = self.queries.clone();
        let started = Instant::now();
        for query in queries {
            assert!(black_box(ask(black_box(query))));
        }
        started.elapsed().as_secs_f64() * 1e6 / self.queries.len() as f64
    }
}

fn classes() -> Vec<Class> {
    let world = small();
    let view = Arc::new(View::offline(Arc::clone(world.snapshot()), world.dataset().clone()));
    let template = |who: &str, action: &str, what: &str| world.ask(who, action, what).query;
    let of =
        |name, queries: Vec<Query>| Class { name, view: Arc::clone(&view), now: world.now(), queries, is_kept: true };
    let of_docs = |name, who: &str, action: &str| {
        let asked = template(who, action, "Doc::d0");
        let doc = |n: usize| EntityInput::Reference(EntityUid::parse_shorthand(&format!("Doc::d{n}")).unwrap());
        of(name, (0..QUESTIONS).map(|n| Query { resource: doc(n), ..asked.clone() }).collect())
    };
    let context = template("User::few", "read", "Doc::d0");
    let with_context = |n: usize| {
        let given =
            serde_json::json!({ "n": n, "a": "some text of a caller", "b": "another", "c": 3, "at": "2029-01-01" });
        Query { context: json::record_from(&given, "context").unwrap(), ..context.clone() }
    };
    let order = template("User::few", "buy", "Order::o");
    let asserted = |n: usize| {
        let attributes = serde_json::json!({
            "total": n, "status": "open", "a": "some text of a caller", "b": "another", "c": 3,
            "buyer": { "__entity": { "type": "User", "id": "few" } },
        });
        let given =
            serde_json::json!({ "uid": "Order::\"o\"", "attributes": attributes, "parents": ["Folder::\"f3\""] });
        let resource = EntityInput::Asserted(json::entity_from(&given).unwrap());
        Query { resource, ..order.clone() }
    };
    vec![
        example(),
        of_docs("one role", "User::few", "read"),
        of_docs("no role", "User::none", "read"),
        of_docs("forty roles", "User::many", "read"),
        of("a context of five", (0..QUESTIONS).map(with_context).collect()),
        of("an asserted resource of six", (0..QUESTIONS).map(asserted).collect()),
        of_docs("facts that are not read", "User::few", "visit"),
        Class { is_kept: false, ..of_docs("the time is read: never kept", "User::few", "close") },
    ]
}

/// The shipped example, grown.
fn example() -> Class {
    let world = World::example();
    let scale = Scale { policies: 162, assignments: 1_000, entities: 3_000 };
    let (snapshot, dataset) = Scenario::generate(1, scale).build(world.now());
    let asked = world.ask("Company::User::mia", "readDocument", "Company::Document::welcome").query;
    let uid = |text: &str| EntityInput::Reference(EntityUid::parse_shorthand(text).unwrap());
    let query = |n: usize| Query {
        principal: uid(&format!("Company::User::user-{}", n * 7 % 1_000 * 3)),
        resource: uid(&format!("Company::Document::document-{}", n * 11 % 1_000 * 3 + 2)),
        ..asked.clone()
    };
    let queries = (0..QUESTIONS).map(query).collect();
    Class {
        name: "the example, 162 policies",
        view: Arc::new(View::offline(Arc::new(snapshot), dataset)),
        now: world.now(),
        queries,
        is_kept: true,
    }
}

/// Groups and folders four deep, and users that hold one role, none and many.
fn small() -> World {
    let mut entities = String::new();
    for n in 0..4 {
        for (of, name) in [("Group", "g"), ("Folder", "f")] {
            let parents: Vec<String> = (n > 0).then(|| format!("{of}::\"{name}{}\"", n - 1)).into_iter().collect();
            writeln!(entities, "{}", serde_json::json!({ "uid": format!("{of}::\"{name}{n}\""), "parents": parents }))
                .unwrap();
        }
    }
    for user in ["few", "none", "many"] {
        let attributes = serde_json::json!({ "level": 1 });
        let user = serde_json::json!({ "uid": format!("User::\"{user}\""), "attributes": attributes, "parents": ["Group::\"g3\""] });
        writeln!(entities, "{user}").unwrap();
    }
    for n in 0..QUESTIONS {
        let owner = serde_json::json!({ "owner": { "__entity": { "type": "User", "id": "none" } } });
        let doc =
            serde_json::json!({ "uid": format!("Doc::\"d{n}\""), "attributes": owner, "parents": ["Folder::\"f3\""] });
        writeln!(entities, "{doc}").unwrap();
    }
    let roles: Vec<String> = (0..ROLES).map(|n| serde_json::json!({ "role": format!("r{n}") }).to_string()).collect();
    let grant = |holder: &str, role: usize| {
        let holder_uid = format!("User::\"{holder}\"");
        serde_json::json!({
            "id": format!("{holder}-{role}"), "holder": holder_uid, "role": format!("r{role}"),
            "resource": "Folder::\"f1\"", "not_before": "-1h", "expires_at": "+1d", "reason": "x",
        })
        .to_string()
    };
    let grants: Vec<String> = (0..ROLES).map(|n| grant("many", n)).chain([grant("few", 0)]).collect();
    World::of(SCHEMA, POLICIES)
        .with("roles", &roles.join("\n"))
        .with("entities", &entities)
        .with("grants", &grants.join("\n"))
}
