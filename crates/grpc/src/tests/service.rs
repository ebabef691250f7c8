//! The door as a whole, over a real connection: replies, refusals, health and reflection.

use magistrate_client::{Client, asserted_entity, check_request, entity_ref, entity_uid, is_allowed};
use magistrate_model::Span;
use magistrate_proto::structure::Struct;
use magistrate_proto::v1::batch_result::Outcome;
use magistrate_proto::v1::{
    BatchItem, BatchSemantics, Cause, CheckBatchRequest, CheckRequest, Decision, DurabilityClass, Entity,
};
use tokio_stream::StreamExt;
use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::tests::served::{DEADLINE, Outcomes, Served, world};

fn reads(user: &str, note: &str) -> CheckRequest {
    check_request(entity_ref("User", user), "read", entity_ref("Note", note))
}

fn order(total: i32) -> Entity {
    let attributes = Struct::from_iter([("total", total)]);
    asserted_entity(entity_uid("Order", "o"), attributes, Vec::new())
}

#[tokio::test]
async fn allow_says_why_and_where_it_is_recorded() -> Outcomes {
    let served = Served::start().await?;
    let request = CheckRequest { explain: true, ..reads("ana", "n") };
    let answer = served.client.check(request, DEADLINE).await?;
    assert!(is_allowed(&answer));
    assert_eq!(answer.cause(), Cause::Permitted);
    assert_eq!(answer.determining_policies, ["owner"]);
    assert_eq!(answer.revision, 1);
    assert_eq!(answer.policy_set_digest, world().snapshot().digest().to_string());
    assert_eq!((answer.valid_until, answer.cache_for), (None, None));
    let advice: Vec<_> = answer.advice.iter().map(|it| (&*it.policy_id, &*it.name, &*it.value)).collect();
    assert_eq!(advice, [("owner", "reason", "own")]);
    let summary = answer.explanation.as_ref().map(|it| it.summary.as_str());
    assert_eq!(summary, Some("permitted by `owner`"));

    let records = served.running.sink.records();
    let recorded: Vec<_> = records.iter().map(|it| (it.id.to_string(), it.leaf.as_bytes().to_vec())).collect();
    let receipt = answer.receipt.clone().unwrap_or_default();
    assert_eq!(receipt.class(), DurabilityClass::Process);
    assert_eq!(format!("{}-{}", receipt.stream, receipt.seq), answer.decision_id);
    assert_eq!(recorded, [(answer.decision_id, receipt.leaf)]);
    served.stop().await
}

#[tokio::test]
async fn deny_says_why_and_explains_only_when_asked() -> Outcomes {
    let served = Served::start().await?;
    let nosy = |request| CheckRequest { context: Some(Struct::from_iter([("why", "nosy")])), ..request };
    let mut seen = Vec::new();
    for request in [nosy(reads("ana", "n")), reads("eve", "n"), reads("ana", "x")] {
        let answer = served.client.check(request, DEADLINE).await?;
        assert!(!is_allowed(&answer));
        assert_eq!(answer.explanation, None);
        seen.push((answer.cause(), answer.determining_policies.join(",")));
    }
    let expected = [(Cause::Forbidden, "nosy"), (Cause::UnknownPrincipal, ""), (Cause::UnknownResource, "")];
    assert_eq!(seen, expected.map(|(cause, policies)| (cause, policies.to_owned())));
    served.stop().await
}

#[tokio::test]
async fn grant_and_its_end_are_named() -> Outcomes {
    let mut served = Served::start().await?;
    let answer = served.client.check(reads("bo", "n"), DEADLINE).await?;
    assert_eq!((answer.decision(), answer.grants), (Decision::Allow, vec!["g".to_owned()]));
    let end = served.running.pdp.served().map(|_| world().now().plus(Span::hours(1)).micros() / 1_000_000);
    assert_eq!(answer.valid_until.map(|end| (end.seconds, end.nanos)), end.map(|end| (end, 0)));

    served.clock.advance(Span::hours(1));
    let polled = served.running.follower.poll(&world().now().plus(Span::hours(1))).await;
    assert!(polled.is_ok());
    let answer = served.client.check(reads("bo", "n"), DEADLINE).await?;
    assert_eq!((answer.decision(), answer.cause()), (Decision::Deny, Cause::NoPermit));
    served.stop().await
}

#[tokio::test]
async fn asserted_resource_counts_from_this_machine() -> Outcomes {
    let served = Served::start().await?;
    let ask = |total| check_request(entity_ref("User", "ana"), "read", order(total));
    let small = served.client.check(ask(9), DEADLINE).await?;
    let obligations: Vec<_> = small.obligations.iter().map(|it| (&*it.policy_id, &*it.name)).collect();
    assert_eq!((small.decision(), obligations), (Decision::Allow, vec![("small", "log")]));
    let large = served.client.check(ask(10), DEADLINE).await?;
    assert_eq!(large.decision(), Decision::Deny);
    served.stop().await
}

#[tokio::test]
async fn refusals_carry_their_details_and_no_record() -> Outcomes {
    let served = Served::start().await?;
    let malformed = served.refusal(CheckRequest::default()).await;
    let fields = malformed.as_ref().map(|it| it.fields.iter().map(|it| it.field.as_str()).collect::<Vec<_>>());
    assert_eq!(fields, Some(vec!["principal", "action", "resource"]));

    let token = CheckRequest { token: "t".to_owned(), ..reads("ana", "n") };
    let unknown = CheckRequest { action: "fly".to_owned(), ..reads("ana", "n") };
    let mut codes = vec![malformed.map(|it| it.code)];
    for request in [token, unknown] {
        codes.push(served.refusal(request).await.map(|it| it.code));
    }
    assert_eq!(codes, [Some(Code::InvalidArgument), Some(Code::Unimplemented), Some(Code::InvalidArgument)]);
    assert!(served.running.sink.records().is_empty());
    served.stop().await
}

#[tokio::test]
async fn what_cannot_be_recorded_is_not_answered() -> Outcomes {
    let served = Served::start().await?;
    served.running.sink.fail(true);
    let refusal = served.refusal(reads("ana", "n")).await;
    let seen = refusal.map(|it| (it.code, it.reason));
    assert_eq!(seen, Some((Code::Unavailable, Some("NOT_RECORDED".to_owned()))));
    served.running.sink.fail(false);
    assert!(is_allowed(&served.client.check(reads("ana", "n"), DEADLINE).await?));
    served.stop().await
}

fn batch(semantics: BatchSemantics) -> CheckBatchRequest {
    let item = |user: &str, note: &str| BatchItem {
        principal: Some(entity_ref("User", user)),
        resource: Some(entity_ref("Note", note)),
        ..BatchItem::default()
    };
    let twice = BatchItem { context: Some(Struct::from_iter([("why", "a"), ("why", "b")])), ..item("ana", "n") };
    CheckBatchRequest {
        action: "read".to_owned(),
        semantics: semantics.into(),
        items: vec![item("ana", "n"), twice, item("eve", "n"), item("bo", "n")],
        ..CheckBatchRequest::default()
    }
}

fn outcomes(answer: magistrate_proto::v1::CheckBatchResponse) -> Vec<String> {
    let describe = |outcome| match outcome {
        Some(Outcome::Response(answer)) => answer.decision().as_str_name().to_owned(),
        Some(Outcome::Error(error)) => error.message,
        None => "nothing".to_owned(),
    };
    answer.results.into_iter().map(|it| describe(it.outcome)).collect()
}

#[tokio::test]
async fn batch_answers_in_order_and_stops_when_told() -> Outcomes {
    let served = Served::start().await?;
    let wrong = "the request is malformed: `items[1].context.why`: stands twice; send each key once";
    let all = ["DECISION_ALLOW", wrong, "DECISION_DENY", "DECISION_ALLOW"];
    for (semantics, answered, recorded) in
        [(BatchSemantics::All, 4, 3), (BatchSemantics::StopOnDeny, 2, 4), (BatchSemantics::StopOnAllow, 1, 5)]
    {
        let answer = served.client.check_batch(batch(semantics), DEADLINE).await?;
        assert_eq!((answer.revision, answer.policy_set_digest.len()), (1, 64));
        let expected: Vec<_> = all.iter().take(answered).copied().collect();
        assert_eq!(outcomes(answer), expected);
        assert_eq!(served.running.sink.records().len(), recorded);
    }
    assert_eq!(served.running.sink.batches().len(), 3);
    served.stop().await
}

#[tokio::test]
async fn health_follows_readiness() -> Outcomes {
    let served = Served::start().await?;
    let mut client = HealthClient::new(served.channel().await?);
    for (ready, expected) in [(false, ServingStatus::NotServing), (true, ServingStatus::Serving)] {
        served.health.set(ready).await;
        for service in ["", "magistrate.v1.AuthorizationService"] {
            let service = service.to_owned();
            let answer: HealthCheckResponse = client.check(HealthCheckRequest { service }).await?.into_inner();
            assert_eq!(answer.status(), expected);
        }
    }
    drop(client);
    served.stop().await
}

#[tokio::test]
async fn reflection_describes_the_contract_in_both_versions() -> Outcomes {
    let served = Served::start().await?;
    let channel = served.channel().await?;
    let (v1, v1alpha) = {
        use tonic_reflection::pb::{v1, v1alpha};
        let listing = v1::server_reflection_request::MessageRequest::ListServices(String::new());
        let request = v1::ServerReflectionRequest { host: String::new(), message_request: Some(listing) };
        let mut client = v1::server_reflection_client::ServerReflectionClient::new(channel.clone());
        let mut answers = client.server_reflection_info(tokio_stream::once(request)).await?.into_inner();
        let newer = format!("{:?}", answers.next().await.transpose()?);

        let symbol = "magistrate.v1.CheckRequest".to_owned();
        let containing = v1alpha::server_reflection_request::MessageRequest::FileContainingSymbol(symbol);
        let request = v1alpha::ServerReflectionRequest { host: String::new(), message_request: Some(containing) };
        let mut client = v1alpha::server_reflection_client::ServerReflectionClient::new(channel);
        let mut answers = client.server_reflection_info(tokio_stream::once(request)).await?.into_inner();
        (newer, format!("{:?}", answers.next().await.transpose()?))
    };
    for service in ["magistrate.v1.AuthorizationService", "grpc.health.v1.Health"] {
        assert!(v1.contains(service), "{v1}");
    }
    assert!(v1alpha.contains("FileDescriptorResponse"), "{v1alpha}");
    served.stop().await
}

#[tokio::test]
async fn shutdown_turns_health_off_and_closes_the_door() -> Outcomes {
    let served = Served::start().await?;
    let address = served.address;
    served.health.set(true).await;
    served.stop().await?;
    assert!(Client::connect(&address.to_string()).await.is_err());
    Ok(())
}
