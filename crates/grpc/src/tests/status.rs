//! Errors to statuses, and deadlines from metadata.

use std::time::Duration;

use magistrate_model::{Malformed, Revision, Violation};
use magistrate_pdp::CheckError;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::deadline::DeadlineLayer;
use crate::status::{Refusal, status};
use crate::transport::Limits;

#[track_caller]
fn check(refusal: impl Into<Refusal>, code: Code, reason: &str, message: &str) -> Status {
    let status = status(&refusal.into());
    assert_eq!((status.code(), status.message()), (code, message));
    let info = status.get_details_error_info().map(|info| (info.reason, info.domain));
    assert_eq!(info, Some((reason.to_owned(), "magistrate".to_owned())));
    status
}

#[test]
fn malformed_names_its_fields() {
    let status = check(
        Malformed::at("action", "is required"),
        Code::InvalidArgument,
        "MALFORMED",
        "the request is malformed: `action`: is required",
    );
    let fields = status.get_details_bad_request().map(|it| it.field_violations);
    let fields = fields.unwrap_or_default().into_iter();
    let fields: Vec<_> = fields.map(|it| (it.field, it.description)).collect();
    assert_eq!(fields, [("action".to_owned(), "is required".to_owned())]);
}

#[test]
fn overloaded_says_when_to_retry() {
    let retry_after = Duration::from_millis(50);
    let status = check(
        CheckError::Overloaded { retry_after },
        Code::ResourceExhausted,
        "OVERLOADED",
        "too many decisions are under way; try again in 50ms",
    );
    assert_eq!(status.get_details_retry_info().and_then(|it| it.retry_delay), Some(retry_after));
}

#[test]
fn not_ready_and_not_recorded_are_unavailable() {
    let not_ready = CheckError::NotReady("no policy set was applied".to_owned());
    check(not_ready, Code::Unavailable, "NOT_READY", "not ready to decide: no policy set was applied");
    let not_recorded = CheckError::NotRecorded("the disk is full".to_owned());
    check(not_recorded, Code::Unavailable, "NOT_RECORDED", "the disk is full");
}

#[test]
fn revision_ahead_is_a_failed_precondition() {
    let ahead = CheckError::RevisionAhead { wanted: Revision::new(9), newest: Revision::new(4) };
    let message = ahead.to_string();
    let status = check(ahead, Code::FailedPrecondition, "REVISION_AHEAD", &message);
    let failures = status.get_details_precondition_failure().map(|it| it.violations);
    let subjects: Vec<_> = failures.unwrap_or_default().into_iter().map(|it| it.subject).collect();
    assert_eq!(subjects, ["at_least_revision"]);
}

#[test]
fn identity_is_unimplemented() {
    check(
        Refusal::Identity { field: "token" },
        Code::Unimplemented,
        "IDENTITY_UNSUPPORTED",
        "`token` is not supported yet: this server does not verify tokens; leave it empty and name the `principal`",
    );
}

#[test]
fn details_fit_into_headers_whatever_they_say() {
    let violation = || Violation { field: "é".repeat(5_000), description: "ü".repeat(5_000) };
    let many = Malformed::all((0..1_000).map(|_| violation()).collect());
    let status = many.map(|many| status(&many.into()));
    // On the wire each byte of a message may take three, and three bytes of details take four.
    let size = status.map(|status| status.message().len() * 3 + status.details().len() * 4 / 3);
    assert!(size.is_some_and(|size| size < 8 * 1024), "{size:?}");
}

#[track_caller]
fn waits(timeout: &str, expected: Duration) {
    let mut headers = http::HeaderMap::new();
    let value = timeout.parse().map(|value| headers.insert("grpc-timeout", value));
    assert!(value.is_ok(), "`{timeout}` is no metadata value");
    assert_eq!(DeadlineLayer::new(&Limits::default()).patience(&headers), expected, "{timeout}");
}

#[test]
fn patience_is_the_callers_deadline_and_ends() {
    waits("3H", Duration::from_mins(1));
    waits("2M", Duration::from_mins(1));
    waits("1S", Duration::from_secs(1));
    waits("250m", Duration::from_millis(250));
    waits("9999999u", Duration::from_micros(9_999_999));
    waits("7n", Duration::from_nanos(7));
    waits("99999999H", Duration::from_mins(1));
}

#[test]
fn without_a_readable_deadline_patience_is_ten_seconds() {
    let default = Duration::from_secs(10);
    assert_eq!(DeadlineLayer::new(&Limits::default()).patience(&http::HeaderMap::new()), default);
    for unreadable in ["", "S", "1", "1s", "-1S", "+1S", "123456789S", "1 S", "1.5S"] {
        waits(unreadable, default);
    }
}
