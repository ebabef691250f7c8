//! Errors a person can act on.

use std::fmt;
use std::time::Duration;

use tonic::{Code, Status};
use tonic_types::StatusExt;

/// Why there is no answer. Never an allow.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// The endpoint is not one.
    #[error("cannot connect to `{endpoint}`: {why}; write `http://127.0.0.1:7700`")]
    Endpoint {
        /// What was given.
        endpoint: String,
        /// What is wrong with it.
        why: String,
    },
    /// Nobody answers there.
    #[error("cannot connect to `{endpoint}`: {why}; is the server running, and is this its address?")]
    Unreachable {
        /// Where.
        endpoint: String,
        /// What the network said.
        why: String,
    },
    /// The API key cannot be presented.
    #[error("the API key cannot be presented: {0}")]
    Key(String),
    /// The server, or the way to it, refused.
    #[error("{0}")]
    Refused(Box<Refusal>),
}

impl ClientError {
    /// Whether asking again, a little later or elsewhere, may succeed.
    pub fn is_worth_a_retry(&self) -> bool {
        match self {
            Self::Endpoint { .. } | Self::Key(_) => false,
            Self::Unreachable { .. } => true,
            Self::Refused(refusal) => refusal.is_worth_a_retry(),
        }
    }

    /// A key would be readable on the way.
    pub(crate) fn in_clear(endpoint: &str) -> Self {
        Self::Key(format!("on the way to `{endpoint}` everybody could read it; write `https://…`"))
    }

    pub(crate) fn unreachable(endpoint: &str, error: &tonic::transport::Error) -> Self {
        let mut cause: &dyn std::error::Error = error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        Self::Unreachable { endpoint: endpoint.to_owned(), why: cause.to_string() }
    }
}

impl From<Status> for ClientError {
    fn from(status: Status) -> Self {
        Self::Refused(Box::new(Refusal::of(&status)))
    }
}

/// One field that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// Where, such as `resource.uid.type`.
    pub field: String,
    /// What is wrong with it and what to send instead.
    pub description: String,
}

/// A refusal with its details. Displays over several lines when there are details.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The gRPC code.
    pub code: Code,
    /// What is wrong.
    pub message: String,
    /// The stable reason, such as `MALFORMED`, if the server gave one.
    pub reason: Option<String>,
    /// The fields that are wrong, if any.
    pub fields: Vec<FieldError>,
    /// When to try again, if that is worth it.
    pub retry_after: Option<Duration>,
}

impl Refusal {
    fn of(status: &Status) -> Self {
        let details = status.get_error_details();
        let fields = details.bad_request().map(|it| it.field_violations.as_slice());
        Self {
            code: code(status),
            message: status.message().to_owned(),
            reason: details.error_info().map(|info| info.reason.clone()),
            fields: fields.unwrap_or_default().iter().map(FieldError::of).collect(),
            retry_after: details.retry_info().and_then(|info| info.retry_delay),
        }
    }

    /// Whether asking again, a little later, may succeed.
    pub fn is_worth_a_retry(&self) -> bool {
        self.retry_after.is_some() || self.code == Code::Unavailable
    }
}

/// The code of a status, or what it is where the server never said anything: tonic calls a connection that broke
/// CANCELLED or UNKNOWN, and a deadline that passed here CANCELLED.
fn code(status: &Status) -> Code {
    let mut source = std::error::Error::source(status);
    if source.is_none() {
        return status.code();
    }
    while let Some(cause) = source {
        if cause.is::<tonic::TimeoutExpired>() {
            return Code::DeadlineExceeded;
        }
        source = cause.source();
    }
    let broken = matches!(status.code(), Code::Cancelled | Code::Unknown | Code::Internal);
    if broken { Code::Unavailable } else { status.code() }
}

impl FieldError {
    fn of(violation: &tonic_types::FieldViolation) -> Self {
        Self { field: violation.field.clone(), description: violation.description.clone() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", name(self.code))?;
        // With fields the message says the same in one long line.
        if self.fields.is_empty() {
            write!(f, " {}", self.message)?;
        }
        for FieldError { field, description } in &self.fields {
            write!(f, "\n  {field}: {description}")?;
        }
        match self.retry_after {
            Some(delay) => write!(f, "\n  try again in {delay:?}"),
            None => Ok(()),
        }
    }
}

/// The code as a person reads it.
fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "no error",
        Code::Cancelled => "cancelled",
        Code::Unknown => "unknown error",
        Code::InvalidArgument => "invalid request",
        Code::DeadlineExceeded => "deadline passed",
        Code::NotFound => "not found",
        Code::AlreadyExists => "already exists",
        Code::PermissionDenied => "not permitted to ask",
        Code::ResourceExhausted => "overloaded, or a message too large",
        Code::FailedPrecondition => "not possible in the present state",
        Code::Aborted => "aborted",
        Code::OutOfRange => "out of range",
        Code::Unimplemented => "not supported by this server",
        Code::Internal => "internal error",
        Code::Unavailable => "unavailable",
        Code::DataLoss => "data loss",
        Code::Unauthenticated => "not authenticated",
    }
}
