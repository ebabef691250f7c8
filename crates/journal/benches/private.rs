//! What private values cost: `cargo bench -p magistrate-journal`.
//!
//! A verdict's record made, numbered and appended to a journal, as the thread that answers does it at class `process`: without
//! and with three private values. Wall time of one thread, median of the rounds; compare within a run.
#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::cast_precision_loss,
    reason = "a benchmark reads the clock, prints, and ends when something is wrong"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use magistrate_journal::{Opened, Options, open};
use magistrate_ledger::{Nonce, PrivateFields, StreamId, Writer};
use magistrate_model::{
    ActionUid, AttributeName, Caller, Cause, Channel, Digest, DurabilityClass, EntityInput, EntityUid, Environment,
    Facts, GrantInForce, Query, Question, Revision, Span, Value, Verdict,
};
use magistrate_testkit::instant;

const ROUNDS: usize = 9;
const RECORDS: usize = 30_000;
const PRIVATE: [&str; 3] = ["context.email", "environment.user_agent", "context.telephone"];

fn main() {
    let (question, verdict) = asked();
    let [plain, private] = [&PRIVATE[..0], &PRIVATE].map(|fields| {
        let mut took: Vec<f64> = (0..ROUNDS).map(|_| round(fields, &question, &verdict)).collect();
        took.sort_by(f64::total_cmp);
        *took.get(ROUNDS / 2).unwrap()
    });
    println!("{:>16} {:>16} {:>8}", "none, us", "three, us", "ratio");
    println!("{plain:>16.2} {private:>16.2} {:>8.2}", private / plain);
}

/// Microseconds for each of some records.
fn round(fields: &[&str], question: &Question, verdict: &Verdict) -> f64 {
    let home = tempfile::tempdir().unwrap();
    let options = Options { segment_bytes: 1 << 28, ..Options::of(home.path().to_owned()) };
    let stream = StreamId::new(random());
    let Opened { journal, keeper, .. } = open(&options, stream, || instant("2026-06-01T12:00:00Z")).unwrap();
    let writer = Writer::new(journal, keeper.room(), stream, random);
    let writer = writer.keeping_private(PrivateFields::parse(fields).unwrap());
    let began = Instant::now();
    for _ in 0..RECORDS {
        let _receipts = writer.append(vec![writer.draft(question, verdict)]).unwrap();
    }
    began.elapsed().as_secs_f64() * 1e6 / RECORDS as f64
}

/// As the server does it.
fn random() -> Nonce {
    *uuid::Uuid::new_v4().as_bytes()
}

/// A question as a policy point asks it: of a user with two grants, with four values of context.
fn asked() -> (Question, Verdict) {
    let uid = |text: &str| EntityUid::parse_shorthand(text).unwrap();
    let attribute = |(name, text): (&str, &str)| (AttributeName::new(name).unwrap(), Value::String(text.into()));
    let context = [
        ("email", "somebody@example.org"),
        ("telephone", "+49 30 5550100"),
        ("channel", "web"),
        ("reason", "a ticket was opened"),
    ];
    let query = Query {
        principal: EntityInput::Reference(uid("Company::User::somebody")),
        action: ActionUid::resolve("readDocument", "Company").unwrap(),
        resource: EntityInput::Reference(uid("Company::Document::a-document")),
        context: context.into_iter().map(attribute).collect(),
        environment: Environment::new("192.0.2.7", "Mozilla/5.0 (X11; Linux x86_64)", [].into_iter()).unwrap(),
        at_least_revision: None,
        request_id: Some("0198f7a2-5d0e".parse().unwrap()),
        explain: false,
        caller: Caller { address: Some("192.0.2.9".parse().unwrap()), channel: Channel::Grpc, key: None, trace: None },
    };
    let grant = |id: &str, role| GrantInForce { id: id.parse().unwrap(), confers: BTreeSet::from([uid(role)]) };
    let facts = Facts {
        instant: instant("2026-06-01T12:00:00Z"),
        entities: Vec::new(),
        roles: Vec::new(),
        direct_roles: BTreeSet::from([uid("Company::Role::viewer")]),
        scopes: BTreeMap::new(),
        grants: vec![grant("g-1", "Company::Role::viewer"), grant("g-2", "Company::Role::auditor")],
        supplied: None,
        missing: None,
        next_change: None,
    };
    let verdict = Verdict {
        cause: Cause::Permitted,
        determining: vec!["documents.viewer.read".parse().unwrap()],
        errored: Vec::new(),
        grants: vec!["g-1".parse().unwrap()],
        advice: Vec::new(),
        obligations: Vec::new(),
        revision: Revision::new(4),
        policy_set_digest: Digest::new([9; 32]),
        valid_until: None,
        cache_for: Span::ZERO,
        class: DurabilityClass::Process,
        explanation: None,
    };
    (Question { query, facts }, verdict)
}
