//! The one place where errors become statuses.

use magistrate_ledger::DecisionId;
use magistrate_model::{Malformed, Violation};
use magistrate_pdp::{CheckError, HistoryError, Reason};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt};

use crate::authenticate::Denied;
use crate::finding::{Findings, cut};

/// The domain of every reason.
const DOMAIN: &str = "magistrate";

/// Why a request gets no answer.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// It brings an identity, which this server cannot verify yet.
    Identity {
        /// The field that does.
        field: &'static str,
    },
    /// Its caller may not ask.
    Caller(Denied),
    /// It is longer than its method allows.
    TooLarge {
        /// The most bytes.
        most: usize,
    },
    /// Its connection is being closed.
    Leaving,
    /// The decision point gives none.
    Check(CheckError),
    /// History cannot be read.
    History(HistoryError),
    /// There is no such decision in it.
    NoSuchDecision(DecisionId),
    /// What is stored contradicts itself, or what was signed.
    Contradicted(String),
}

impl From<Malformed> for Refusal {
    fn from(malformed: Malformed) -> Self {
        Self::Check(CheckError::Malformed(malformed))
    }
}

impl From<HistoryError> for Refusal {
    fn from(error: HistoryError) -> Self {
        Self::History(error)
    }
}

impl From<CheckError> for Refusal {
    fn from(error: CheckError) -> Self {
        Self::Check(error)
    }
}

/// The status of a refusal: the table of design section 4.
pub(crate) fn status(refusal: &Refusal) -> Status {
    match refusal {
        Refusal::Identity { field } => {
            let message = format!(
                "`{field}` is not supported yet: this server does not verify tokens; leave it empty and name the \
                 `principal`"
            );
            with(Code::Unimplemented, Reason::IdentityUnsupported, &message, |_| {})
        }
        // One text for every cause: which keys exist is nobody's business.
        Refusal::Caller(Denied::Unauthenticated(_)) => {
            let message = "present an API key in force, as `authorization: Bearer mag_…`; an administrator makes one with \
                           `magistrate caller key new`";
            with(Code::Unauthenticated, Reason::Unauthenticated, message, |_| {})
        }
        Refusal::Caller(Denied::NotPermittedToAsk) => with(
            Code::PermissionDenied,
            Reason::NotPermittedToAsk,
            "the API key is not of the kind this call needs",
            |_| {},
        ),
        Refusal::TooLarge { most } => {
            let message = format!("the request is longer than the {most} bytes that its method takes; send less");
            with(Code::ResourceExhausted, Reason::TooLarge, &message, |_| {})
        }
        Refusal::Leaving => {
            with(Code::Unavailable, Reason::Leaving, "this connection is being closed; connect again", |_| {})
        }
        Refusal::Check(error) => check_error(error),
        Refusal::History(error @ HistoryError::Unreachable(_)) => {
            with(Code::Unavailable, Reason::HistoryUnreachable, &error.to_string(), |_| {})
        }
        Refusal::History(error @ HistoryError::Damaged { .. }) => {
            with(Code::DataLoss, Reason::Damaged, &error.to_string(), |_| {})
        }
        Refusal::Contradicted(why) => {
            let message =
                format!("{why}: what is stored does not prove it; `magistrate audit verify` tells what was done to it");
            with(Code::DataLoss, Reason::Contradicted, &message, |_| {})
        }
        Refusal::NoSuchDecision(id) => {
            let message = format!(
                "there is no decision `{id}` in this history; one that was just made may still be in the journal of its node"
            );
            with(Code::NotFound, Reason::NoSuchDecision, &message, |_| {})
        }
    }
}

fn check_error(error: &CheckError) -> Status {
    let message = error.to_string();
    match error {
        CheckError::Malformed(malformed) => {
            let violations = presentable(malformed.violations());
            let message = malformed_message(&violations);
            with(Code::InvalidArgument, Reason::Malformed, &message, |details| {
                let fields = violations.iter().map(|it| FieldViolation::new(&it.field, &it.description));
                details.set_bad_request(fields.collect::<Vec<_>>());
            })
        }
        CheckError::Overloaded { retry_after } => {
            with(Code::ResourceExhausted, Reason::Overloaded, &message, |details| {
                details.set_retry_info(Some(*retry_after));
            })
        }
        CheckError::NotReady(_) => with(Code::Unavailable, Reason::NotReady, &message, |_| {}),
        CheckError::NotRecorded(_) => with(Code::Unavailable, Reason::NotRecorded, &message, |_| {}),
        CheckError::DeadlineExceeded(_) => with(Code::DeadlineExceeded, Reason::DeadlineExceeded, &message, |_| {}),
        CheckError::RevisionAhead { .. } => {
            with(Code::FailedPrecondition, Reason::RevisionAhead, &message, |details| {
                details.add_precondition_failure_violation("REVISION", "at_least_revision", message.clone());
            })
        }
    }
}

fn with(code: Code, reason: Reason, message: &str, add: impl FnOnce(&mut ErrorDetails)) -> Status {
    let mut details = ErrorDetails::with_error_info(reason.name(), DOMAIN, []);
    add(&mut details);
    Status::with_error_details(code, cut(message, MESSAGE), details)
}

/// What is wrong, in one line, for clients that do not read details.
pub(crate) fn malformed_message(violations: &[Violation]) -> String {
    let each = violations.iter().map(|it| format!("`{}`: {}", it.field, it.description));
    let all = format!("the request is malformed: {}", each.collect::<Vec<_>>().join("; "));
    cut(&all, MESSAGE)
}

/// Violations short and few enough for the header they travel in.
pub(crate) fn presentable(violations: &[Violation]) -> Vec<Violation> {
    let short = |violation: &Violation| Violation {
        field: cut(&violation.field, FIELD),
        description: cut(&violation.description, DESCRIPTION),
    };
    violations.iter().take(Findings::LIMIT).map(short).collect()
}

/// Bytes of a message, a field and a description. All of them travel in one header, and common clients
/// accept 8 KiB.
const MESSAGE: usize = 400;
const FIELD: usize = 128;
const DESCRIPTION: usize = 240;
