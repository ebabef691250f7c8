//! What is refused is told to the lane of refusals, by whom, from where and why; what is answered is not.

use magistrate_client::{check_request, entity_ref};
use magistrate_identity::{ApiKey, KeyKind, KeyRing, RANDOM_BYTES, Secret};
use magistrate_ledger::{Act, RecordedDecision, RefusedCall};
use magistrate_model::{Instant, Span};
use magistrate_proto::v1::audit_service_client::AuditServiceClient;
use magistrate_proto::v1::authorization_service_client::AuthorizationServiceClient;
use magistrate_proto::v1::{BatchItem, CheckBatchRequest, CheckRequest, ListCheckpointsRequest};
use tonic::transport::Channel;
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::tests::served::{Outcomes, Served};

fn reads(user: &str) -> CheckRequest {
    check_request(entity_ref("User", user), "read", entity_ref("Note", "n"))
}

fn secret(kind: KeyKind) -> Secret {
    let chance = KeyKind::ALL.iter().position(|it| *it == kind).unwrap();
    Secret::of_random(kind, &[u8::try_from(chance).unwrap(); RANDOM_BYTES]).unwrap()
}

/// A key of each kind, which is in force.
fn keys() -> KeyRing {
    KeyRing::of(KeyKind::ALL.map(|kind| {
        let secret = secret(kind);
        ApiKey {
            id: secret.id().clone(),
            caller: "c".into(),
            kind,
            hash: secret.hash(),
            created_at: Instant::EPOCH,
            expires_at: Instant::EPOCH.plus(Span::hours(1_000_000)),
            revoked_at: None,
        }
    }))
}

/// A message, with a key.
fn by<T>(kind: KeyKind, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {}", secret(kind).reveal()).parse().unwrap());
    request
}

/// Everything that was told: acts of their own, and `CAUSE from SOURCE: COUNT` of what was summed up.
fn told(served: &Served) -> (Vec<RefusedCall>, Vec<String>) {
    let (mut alone, mut summed) = (Vec::new(), Vec::new());
    for (_, act) in served.refusals.take(Instant::EPOCH, true) {
        match act {
            Act::Refused(call) => alone.push(*call),
            Act::Refusal { cause, source, count, .. } => summed.push(format!("{cause} from {source}: {count}")),
            Act::Access { .. }
            | Act::Enrolment { .. }
            | Act::Retention(_)
            | Act::Hold { .. }
            | Act::Erasure(_)
            | Act::UnsignedErasure { .. }
            | Act::Difference(_) => {
                panic!("{act:?}")
            }
        }
    }
    summed.sort();
    (alone, summed)
}

async fn code<T>(call: impl Future<Output = Result<T, tonic::Status>>) -> Code {
    call.await.map_or_else(|status| status.code(), |_| Code::Ok)
}

#[tokio::test]
async fn refusal_of_a_known_caller_tells_what_was_asked() -> Outcomes {
    let served = Served::known_by(keys()).await?;
    let mut client = AuthorizationServiceClient::new(served.channel().await?);
    served.running.sink.fail(true);
    assert_eq!(code(client.check(by(KeyKind::Check, reads("ana")))).await, Code::Unavailable);
    served.running.sink.fail(false);
    let (alone, summed) = told(&served);
    let [call] = alone.as_slice() else { panic!("{alone:?}") };
    assert_eq!((call.cause.as_str(), &call.caller), ("NOT_RECORDED", secret(KeyKind::Check).id()));
    assert_eq!(call.address, Some([127, 0, 0, 1].into()));
    assert_eq!(call.method, "magistrate.v1.AuthorizationService/Check");
    let asked = [&call.asked.principal, &call.asked.action, &call.asked.resource].map(|it| it.clone().unwrap());
    assert_eq!(asked, [r#"User::"ana""#, r#"Action::"read""#, r#"Note::"n""#]);
    assert!(!call.why.is_empty() && summed.is_empty(), "{call:?} {summed:?}");
    // What is no uid is not repeated; what is an answer is no refusal.
    let token =
        CheckRequest { token: "secret".to_owned(), principal: Some(entity_ref("no type", "x")), ..reads("ana") };
    assert_eq!(code(client.check(by(KeyKind::Check, token))).await, Code::Unimplemented);
    assert_eq!(code(client.check(by(KeyKind::Check, reads("eve")))).await, Code::Ok);
    let (alone, _) = told(&served);
    let [call] = alone.as_slice() else { panic!("{alone:?}") };
    assert_eq!((call.cause.as_str(), &call.asked.principal), ("IDENTITY_UNSUPPORTED", &None));
    assert!(!format!("{call:?}").contains("secret"), "{call:?}");
    served.stop().await
}

/// Refused by a layer, before any handler: who called is told all the same.
#[tokio::test]
async fn refusal_by_a_layer_tells_who_called() -> Outcomes {
    let served = Served::known_by(keys()).await?;
    let channel = served.channel().await?;
    let mut client = AuthorizationServiceClient::new(channel.clone());
    assert_eq!(code(client.check(by(KeyKind::Audit, reads("ana")))).await, Code::PermissionDenied);
    let mut other = AuditServiceClient::new(channel);
    let list = by(KeyKind::Audit, ListCheckpointsRequest::default());
    assert_eq!(code(other.list_checkpoints(list)).await, Code::Unimplemented);
    let large = CheckRequest { request_id: "x".repeat(1 << 22), ..reads("ana") };
    assert_eq!(code(client.check(by(KeyKind::Check, large))).await, Code::ResourceExhausted);
    let (alone, summed) = told(&served);
    let seen: Vec<_> = alone.iter().map(|call| (call.cause.as_str(), call.caller.clone())).collect();
    let [check, audit] = [KeyKind::Check, KeyKind::Audit].map(|kind| secret(kind).id().clone());
    let expected = [("NOT_PERMITTED_TO_ASK", audit.clone()), ("UNIMPLEMENTED", audit), ("TOO_LARGE", check)];
    assert_eq!((seen.as_slice(), summed.len()), (&expected[..], 0));
    served.stop().await
}

/// A message that says that it is as it is goes the same way as one that says nothing; one that is compressed is refused, and
/// told like any other refusal.
#[tokio::test]
async fn messages_are_taken_as_they_are_or_not_at_all() -> Outcomes {
    let served = Served::known_by(keys()).await?;
    let mut client = AuthorizationServiceClient::new(served.channel().await?);
    for (encoding, expected) in [("identity", Code::Ok), ("gzip", Code::Unimplemented)] {
        let mut call = by(KeyKind::Check, reads("ana"));
        call.metadata_mut().insert("grpc-encoding", encoding.parse()?);
        assert_eq!(code(client.check(call)).await, expected, "{encoding}");
    }
    let records = served.running.sink.records();
    assert_eq!(records.len(), 1);
    let record = RecordedDecision::decode(records[0].id, &records[0].bytes)?.record;
    let check = secret(KeyKind::Check).id().clone();
    assert_eq!(record.query.caller.key, Some(check.clone()));
    let (alone, _) = told(&served);
    let seen: Vec<_> = alone.iter().map(|call| (call.cause.as_str(), call.caller.clone())).collect();
    assert_eq!(seen, [("UNIMPLEMENTED", check)]);
    served.stop().await
}

/// What is malformed, and what comes from nobody in particular, is summed up; items of a batch that are none count each.
#[tokio::test]
async fn what_is_malformed_or_of_nobody_is_summed_up() -> Outcomes {
    let served = Served::known_by(keys()).await?;
    let channel = served.channel().await?;
    let mut client = AuthorizationServiceClient::new(channel.clone());
    for _ in 0..3 {
        assert_eq!(code(client.check(CheckRequest::default())).await, Code::InvalidArgument);
    }
    assert_eq!(code(client.check(by(KeyKind::Check, CheckRequest::default()))).await, Code::InvalidArgument);
    let items = vec![BatchItem::default(); 5];
    let batch = CheckBatchRequest { items, ..CheckBatchRequest::default() };
    assert_eq!(code(client.check_batch(by(KeyKind::Check, batch.clone()))).await, Code::Ok);
    assert_eq!(code(client.check_batch(batch)).await, Code::Ok);
    let mut wrong = Request::new(reads("ana"));
    wrong.metadata_mut().insert("authorization", "Bearer mag_check_x".parse()?);
    assert_eq!(code(client.check(wrong)).await, Code::Unauthenticated);
    assert_eq!(code(unknown_health(channel)).await, Code::NotFound);
    served.running.sink.fail(true);
    assert_eq!(code(client.check(reads("ana"))).await, Code::Unavailable);
    let key = secret(KeyKind::Check).id().clone();
    let (alone, summed) = told(&served);
    let expected = [
        "MALFORMED from 127.0.0.1: 8".to_owned(),
        format!("MALFORMED from key:{key}: 6"),
        "NOT_RECORDED from 127.0.0.1: 1".to_owned(),
        "OTHER from 127.0.0.1: 1".to_owned(),
        "UNAUTHENTICATED from 127.0.0.1: 1".to_owned(),
    ];
    assert_eq!((alone.as_slice(), summed), (&[][..], expected.to_vec()));
    served.stop().await
}

async fn unknown_health(channel: Channel) -> Result<(), tonic::Status> {
    let asked = HealthCheckRequest { service: "nobody's".to_owned() };
    HealthClient::new(channel).check(asked).await.map(drop)
}
