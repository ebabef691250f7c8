//! Requests, errors in words, and fail closed.

use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::structure::Struct;
use crate::v1::{CheckResponse, Decision, EntityRef};
use crate::{ClientError, asserted_entity, check_request, entity_ref, entity_uid, is_allowed, parse, within};

#[test]
fn only_an_allow_is_an_allow() {
    let answer = |decision| CheckResponse { decision, ..CheckResponse::default() };
    assert!(is_allowed(&answer(Decision::Allow.into())));
    for other in [-1, 0, 2, 3, i32::MAX] {
        assert!(!is_allowed(&answer(other)), "{other}");
    }
}

#[track_caller]
fn check(code: Code, message: &str, details: ErrorDetails, expected: &str) {
    let error = ClientError::from(Status::with_error_details(code, message, details));
    assert_eq!(error.to_string(), expected);
}

#[test]
fn refusals_read_well() {
    let info = || ErrorDetails::with_error_info("REASON", "magistrate", []);
    check(
        Code::Unavailable,
        "not ready to decide: no policies",
        info(),
        "unavailable: not ready to decide: no policies",
    );
    let mut fields = info();
    fields.add_bad_request_violation("action", "is required");
    fields.add_bad_request_violation("principal.uid.id", "it is empty");
    check(
        Code::InvalidArgument,
        "the request is malformed",
        fields,
        "invalid request:\n  action: is required\n  principal.uid.id: it is empty",
    );
    let mut retry = info();
    retry.set_retry_info(Some(Duration::from_millis(50)));
    check(
        Code::ResourceExhausted,
        "too much",
        retry,
        "overloaded, or a message too large: too much\n  try again in 50ms",
    );
    check(Code::Internal, "", ErrorDetails::new(), "internal error: ");
}

#[test]
fn overload_is_worth_a_retry_and_a_malformed_request_is_not() {
    let worth = |code, details| match ClientError::from(Status::with_error_details(code, "", details)) {
        ClientError::Refused(refusal) => refusal.is_worth_a_retry(),
        ClientError::Endpoint { .. } | ClientError::Key(_) | ClientError::Unreachable { .. } => false,
    };
    let retry = ErrorDetails::with_retry_info(Some(Duration::ZERO));
    assert!(worth(Code::ResourceExhausted, retry));
    assert!(worth(Code::Unavailable, ErrorDetails::new()));
    assert!(!worth(Code::InvalidArgument, ErrorDetails::new()));
}

#[test]
fn endpoints_are_checked_before_connecting() {
    let check = |endpoint: &str, expected: &str| match parse(endpoint) {
        Ok(parsed) => assert_eq!(parsed.uri().to_string(), expected),
        Err(error) => assert_eq!(error.to_string(), expected),
    };
    check("http://127.0.0.1:7700", "http://127.0.0.1:7700/");
    check("localhost:7700", "http://localhost:7700/");
    check("https://example.com", "https://example.com/");
    check(
        "unix:///tmp/x",
        "cannot connect to `unix:///tmp/x`: only `http` and `https` are spoken; write `http://127.0.0.1:7700`",
    );
    check("a b", "cannot connect to `a b`: it does not parse; write `http://127.0.0.1:7700`");
}

#[test]
fn no_deadline_is_too_long() {
    assert!(within((), Duration::MAX).metadata().contains_key("grpc-timeout"));
}

#[test]
fn reference_and_assertion_differ_by_attributes() {
    let uid = EntityRef { r#type: "Company::User".to_owned(), id: "ana".to_owned() };
    let reference = entity_ref("Company::User", "ana");
    assert_eq!((reference.uid.as_ref(), reference.attributes.as_ref()), (Some(&uid), None));
    let asserted = asserted_entity(entity_uid("Company::User", "ana"), Struct::default(), Vec::new());
    assert_eq!((asserted.uid.as_ref(), asserted.attributes.as_ref()), (Some(&uid), Some(&Struct::default())));
    let request = check_request(reference.clone(), "read", asserted);
    assert_eq!((request.principal, request.action.as_str()), (Some(reference), "read"));
}

#[tokio::test]
async fn nobody_listening_is_said_in_words() -> Result<(), Box<dyn std::error::Error>> {
    let free = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let error = crate::Client::connect(&free.to_string()).await.err();
    let error = error.map(|error| error.to_string()).unwrap_or_default();
    assert!(error.starts_with(&format!("cannot connect to `{free}`: Connection refused")), "{error}");
    assert!(error.ends_with("is the server running, and is this its address?"), "{error}");
    Ok(())
}

#[tokio::test]
async fn key_is_presented_and_never_shown() -> Result<(), ClientError> {
    let channel = tonic::transport::Endpoint::from_static("http://127.0.0.1:1").connect_lazy();
    let client = crate::Client::over(channel).with_api_key("mag_check_secret\n")?;
    let request = client.request((), crate::DEADLINE);
    assert_eq!(
        request.metadata().get("authorization").and_then(|it| it.to_str().ok()),
        Some("Bearer mag_check_secret")
    );
    let options = crate::Options { api_key: Some("mag_check_secret".into()), ..crate::Options::default() };
    assert!(!format!("{client:?} {request:?} {options:?}").contains("mag_check_secret"));
    Ok(())
}

/// Before anything is sent: a key in the clear is everybody's on the way.
#[tokio::test]
async fn key_is_presented_in_clear_on_this_machine_only() {
    let options = crate::Options { api_key: Some("mag_check_secret".into()), ..crate::Options::default() };
    for elsewhere in
        ["http://192.0.2.1:7700", "192.0.2.1:7700", "http://[2001:db8::1]:7700", "http://localhost.invalid:1"]
    {
        let error = crate::Client::connect_with(elsewhere, &options).await.err();
        let error = error.map(|error| error.to_string()).unwrap_or_default();
        assert!(error.starts_with("the API key cannot be presented: ") && error.contains("https://"), "{error}");
        assert!(!error.contains("mag_check_secret"), "{error}");
    }
    let channel = tonic::transport::Endpoint::from_static("http://192.0.2.1:1").connect_lazy();
    let later = crate::Client { exposed: Some("http://192.0.2.1:1".into()), ..crate::Client::over(channel) };
    assert!(matches!(later.with_api_key("mag_check_secret"), Err(ClientError::Key(_))));
    for here in ["http://127.0.0.1:1", "http://[::1]:1", "http://localhost:1"] {
        let refused = crate::Client::connect_with(here, &options).await.err();
        assert!(matches!(refused, Some(ClientError::Unreachable { .. })), "{refused:?}");
    }
}
