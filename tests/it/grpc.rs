//! The wire contract, against the real server.

use std::time::Duration;

use magistrate_client::structure::{Struct, Value};
use magistrate_client::v1::batch_result::Outcome;
use magistrate_client::v1::{
    BatchItem, BatchSemantics, Cause, CheckBatchRequest, CheckRequest, Decision, DurabilityClass, Environment,
};
use magistrate_client::{ClientError, Refusal, asserted_entity, check_request, entity_ref, entity_uid};
use magistrate_tests::{Running, Store, request};
use tonic::Code;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

const PATIENCE: Duration = Duration::from_mins(1);

fn read() -> CheckRequest {
    request(("User", "ana"), "readMessage", ("Message", "m-1001"))
}

async fn refusal(running: &Running, request: CheckRequest) -> Refusal {
    match running.client().await.check(request, PATIENCE).await {
        Err(ClientError::Refused(refusal)) => *refusal,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

#[tokio::test]
async fn answer_names_everything_it_was_made_of() {
    let store = Store::example();
    let running = Running::start(&store);
    let answer =
        running.client().await.check(CheckRequest { request_id: "r-1".into(), ..read() }, PATIENCE).await.unwrap();
    assert_eq!((answer.decision(), answer.cause()), (Decision::Allow, Cause::Permitted));
    assert_eq!(answer.determining_policies, ["messages.owner.read"]);
    assert_eq!((answer.revision, answer.policy_set_digest.len()), (1, 64));
    let receipt = answer.receipt.clone().unwrap();
    assert_eq!(answer.decision_id, format!("{}-{}", receipt.stream, receipt.seq));
    assert_eq!(receipt.class(), DurabilityClass::Database);
    assert_eq!(answer.explanation.unwrap().summary, "permitted by `messages.owner.read`");
    let shown = store.run(&["-o", "json", "audit", "show", &answer.decision_id]).code(0).json();
    assert_eq!(shown["request_id"], "r-1");
    let shown_leaf = shown["leaf"].as_str().unwrap();
    let byte = |digits: &[u8]| u8::from_str_radix(str::from_utf8(digits).unwrap(), 16).unwrap();
    assert_eq!(shown_leaf.as_bytes().chunks(2).map(byte).collect::<Vec<_>>(), receipt.leaf);
}

#[tokio::test]
async fn deny_is_found_in_history_by_its_determining_policy() {
    let store = Store::example();
    let running = Running::start(&store);
    let _allow = running.check(("User", "ana"), "readMessage", ("Message", "m-1001")).await;
    let deny = running.check(("Service", "payments"), "readMessage", ("Message", "m-1001")).await;
    assert_eq!((deny.decision(), deny.cause()), (Decision::Deny, Cause::Forbidden));
    let found = store.run(&["audit", "search", "--decision", "deny"]).code(0).out;
    assert!(found.contains("guardrails.payments.no-messages") && found.contains(&deny.decision_id));
    let ids = |arguments: &[&str]| {
        let ran = store.run(&[&["-o", "json", "audit", "search"], arguments].concat()).code(0).json();
        ran.as_array().unwrap().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&["--policy", "guardrails.payments.no-messages"]), std::slice::from_ref(&deny.decision_id));
    assert_eq!(
        ids(&["--principal", "Company::Service::payments", "--since", "1h"]),
        std::slice::from_ref(&deny.decision_id)
    );
    assert_eq!(ids(&["--action", "readMessage"]).len(), 2);
    assert_eq!(ids(&["--action", "readMessage", "--before", &deny.decision_id]).len(), 1);
    assert_eq!(ids(&["--cause", "scope_ceiling"]).len(), 0);
    let tail = store.run(&["audit", "tail", "-n", "1"]).code(0).out;
    assert!(tail.contains(&deny.decision_id) && tail.lines().count() == 1);
}

/// What is decided while somebody follows is told once, and nothing that was there before is told again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn followed_history_tells_each_new_decision_once() {
    use std::io::{BufRead as _, BufReader};
    let store = Store::example();
    let running = Running::start(&store);
    let ask = || running.check(("User", "ana"), "readMessage", ("Message", "m-1001"));
    let mut before = Vec::new();
    for _ in 0..3 {
        before.push(ask().await.decision_id);
    }
    let mut following = store.spawn(&["audit", "tail", "--follow", "-n", "1"]);
    let mut lines = BufReader::new(following.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.next().unwrap().contains(&before[2]), "the newest to begin with");
    for _ in 0..3 {
        let id = ask().await.decision_id;
        assert!(lines.next().unwrap().contains(&id), "then each as it is made");
    }
    following.kill().unwrap();
    following.wait().unwrap();
}

#[tokio::test]
async fn malformed_requests_name_their_fields_and_leave_no_record() {
    let store = Store::example();
    let running = Running::start(&store);
    let context = |record: Struct| CheckRequest { context: Some(record), ..read() };
    let cases = [
        (CheckRequest { principal: None, ..read() }, "principal"),
        (CheckRequest { action: "flyAway".into(), ..read() }, "action"),
        (CheckRequest { action: String::new(), ..read() }, "action"),
        (request(("Robot", "r"), "readMessage", ("Message", "m-1001")), "principal.uid.type"),
        (request(("User", "a\u{202E}b"), "readMessage", ("Message", "m-1001")), "principal.uid"),
        (request(("User", "a\0b"), "readMessage", ("Message", "m-1001")), "principal.uid"),
        (request(("User", &"x".repeat(257)), "readMessage", ("Message", "m-1001")), "principal.uid"),
        (context(Struct::from_iter([("mood", "good")])), "context.mood"),
        (context(Struct::from_iter([("n", 1), ("n", 2)])), "context.n"),
        (context(Struct::from_iter([("text", "x".repeat(20_000))])), "context"),
        (
            CheckRequest {
                environment: Some(Environment { source_ip: "nowhere".into(), ..Environment::default() }),
                ..read()
            },
            "environment",
        ),
    ];
    for (request, field) in cases {
        let refusal = refusal(&running, request).await;
        assert_eq!(refusal.code, Code::InvalidArgument, "{field}");
        assert!(refusal.fields.iter().any(|violation| violation.field.starts_with(field)), "{field}: {refusal}");
    }
    let half = asserted_entity(
        entity_uid("Company::Order", "o"),
        Struct::from_iter([("total_cents", Value { kind: Some(magistrate_client::structure::Kind::Number(1.5)) })]),
        Vec::new(),
    );
    let refused = refusal(&running, CheckRequest { resource: Some(half), action: "readOrder".into(), ..read() }).await;
    assert!(refused.to_string().contains("resource.attributes.total_cents"), "{refused}");
    assert!(store.history().is_empty(), "what is no question is no decision");
}

#[tokio::test]
async fn what_comes_later_is_unimplemented() {
    let store = Store::example();
    let running = Running::start(&store);
    let token = refusal(&running, CheckRequest { token: "secret-token".into(), ..read() }).await;
    assert_eq!(token.code, Code::Unimplemented);
    assert!(!token.to_string().contains("secret-token"));
    let actor = CheckRequest { actor: Some(entity_ref("Company::User", "ana")), ..read() };
    assert_eq!(refusal(&running, actor).await.code, Code::Unimplemented);
}

#[tokio::test]
async fn revision_nobody_committed_is_a_failed_precondition() {
    let store = Store::example();
    let running = Running::start(&store);
    let refused = refusal(&running, CheckRequest { at_least_revision: 99, ..read() }).await;
    assert_eq!(refused.code, Code::FailedPrecondition);
    assert!(refused.to_string().contains("99"));
}

#[tokio::test]
async fn asserted_resource_is_judged_by_its_attributes_and_recorded_with_them() {
    let store = Store::example();
    let running = Running::start(&store);
    let order = |partner: &str| {
        let attributes = Struct::from_iter([
            ("partner", Value::entity("Company::Partner", partner)),
            ("status", Value::from("open")),
            ("total_cents", Value::from(100)),
        ]);
        asserted_entity(entity_uid("Company::Order", "o-1"), attributes, Vec::new())
    };
    let ask = |partner: &str| check_request(entity_ref("Company::Partner", "acme-shop"), "readOrder", order(partner));
    let client = running.client().await;
    let own = client.check(ask("acme-shop"), PATIENCE).await.unwrap();
    assert_eq!(own.decision(), Decision::Allow);
    assert_eq!(own.grants.len(), 1, "the scope that opened it is named");
    let write = CheckRequest { action: "createOrder".into(), ..ask("acme-shop") };
    assert_eq!(client.check(write, PATIENCE).await.unwrap().cause(), Cause::ScopeCeiling);
    let shown = store.run(&["-o", "json", "audit", "show", &own.decision_id]).code(0).json();
    assert_eq!(shown["resource"]["attributes"]["total_cents"], 100);
}

#[tokio::test]
async fn batch_is_answered_in_order_by_one_state() {
    let store = Store::example();
    let running = Running::start(&store);
    let client = running.client().await;
    let item = |type_name: &str, id: &str| BatchItem {
        principal: Some(entity_ref(format!("Company::{type_name}"), id)),
        ..BatchItem::default()
    };
    let batch = |items: Vec<BatchItem>, semantics: BatchSemantics| CheckBatchRequest {
        action: "readMessage".into(),
        resource: Some(entity_ref("Company::Message", "m-1001")),
        items,
        semantics: semantics.into(),
        ..CheckBatchRequest::default()
    };
    let items = vec![item("User", "ana"), item("Robot", "r"), item("Service", "payments"), item("User", "ana")];
    let all = client.check_batch(batch(items.clone(), BatchSemantics::All), PATIENCE).await.unwrap();
    let decisions: Vec<Option<i32>> = all
        .results
        .into_iter()
        .map(|result| match result.outcome {
            Some(Outcome::Response(answer)) => Some(answer.decision),
            Some(Outcome::Error(error)) => {
                assert_eq!(error.code, Code::InvalidArgument as i32);
                assert!(error.violations[0].field.starts_with("items[1].principal"), "{error:?}");
                None
            }
            None => panic!("an outcome"),
        })
        .collect();
    assert_eq!(decisions, [Some(1), None, Some(2), Some(1)]);
    assert_eq!(store.history().len(), 3);
    let stopped = client.check_batch(batch(items, BatchSemantics::StopOnAllow), PATIENCE).await.unwrap();
    assert_eq!(stopped.results.len(), 1);
    assert_eq!(store.history().len(), 4, "what is not evaluated is not recorded");
    for items in [Vec::new(), vec![item("User", "ana"); 1_001]] {
        let refused = client.check_batch(batch(items, BatchSemantics::All), PATIENCE).await.unwrap_err();
        assert!(matches!(refused, ClientError::Refused(refusal) if refusal.code == Code::InvalidArgument));
    }
    let full =
        client.check_batch(batch(vec![item("User", "ana"); 1_000], BatchSemantics::All), PATIENCE).await.unwrap();
    assert_eq!(full.results.len(), 1_000);
}

#[tokio::test]
async fn health_follows_readiness() {
    let store = Store::example();
    let mut running = Running::start(&store);
    running.wait_for("\"ready\"");
    let channel = tonic::transport::Endpoint::from_shared(running.url()).unwrap().connect().await.unwrap();
    for service in ["", "magistrate.v1.AuthorizationService"] {
        let request = HealthCheckRequest { service: service.into() };
        let status = HealthClient::new(channel.clone()).check(request).await.unwrap().into_inner().status;
        assert_eq!(status, 1, "{service:?} serves");
    }
}
