//! Every exit of every call is told to whoever watches, in one place: answered, refused or abandoned.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::HeaderMap;
use magistrate_ledger::DecisionId;
use magistrate_model::{Cause, TraceId, Verdict};
use magistrate_pdp::Recorded;
use pin_project_lite::pin_project;
use tonic::Code;
use tonic_types::StatusExt as _;
use tower_layer::Layer;
use tower_service::Service;

use crate::call::{Inbound, Outbound, Outcome};

/// Watches calls. What it returns for a call travels with the call and comes back with its end.
pub trait Observe: Clone + Send + Sync + 'static {
    /// What is kept while a call is under way.
    type Call: Send + 'static;

    /// A call has begun, and belongs to this trace, if it belongs to one. The headers are those of a caller nobody has
    /// authenticated yet.
    fn begin(&self, method: Method, headers: &HeaderMap) -> (Self::Call, Option<TraceId>);

    /// It has ended.
    fn end(&self, call: Self::Call, exit: Exit<'_>);
}

/// Which method was called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Method {
    /// One question.
    Check,
    /// Up to 1,000 questions.
    CheckBatch,
    /// Finding decisions.
    SearchDecisions,
    /// Counting decisions.
    CountDecisions,
    /// One decision.
    GetDecision,
    /// Decisions as they are made.
    TailDecisions,
    /// Deciding again.
    ReplayDecision,
    /// A proof of a decision.
    Prove,
    /// The checkpoints that are kept.
    ListCheckpoints,
    /// The health of the server, asked once or watched.
    Health,
    /// The description of the services.
    Reflection,
    /// There is no such method here.
    Unknown,
}

impl Method {
    /// Every method.
    pub const ALL: [Self; 12] = [
        Self::Check,
        Self::CheckBatch,
        Self::SearchDecisions,
        Self::CountDecisions,
        Self::GetDecision,
        Self::TailDecisions,
        Self::ReplayDecision,
        Self::Prove,
        Self::ListCheckpoints,
        Self::Health,
        Self::Reflection,
        Self::Unknown,
    ];

    /// The method a path names.
    pub fn of_path(path: &str) -> Self {
        match path {
            "/magistrate.v1.AuthorizationService/Check" => Self::Check,
            "/magistrate.v1.AuthorizationService/CheckBatch" => Self::CheckBatch,
            "/magistrate.v1.AuditService/SearchDecisions" => Self::SearchDecisions,
            "/magistrate.v1.AuditService/CountDecisions" => Self::CountDecisions,
            "/magistrate.v1.AuditService/GetDecision" => Self::GetDecision,
            "/magistrate.v1.AuditService/TailDecisions" => Self::TailDecisions,
            "/magistrate.v1.AuditService/ReplayDecision" => Self::ReplayDecision,
            "/magistrate.v1.AuditService/Prove" => Self::Prove,
            "/magistrate.v1.AuditService/ListCheckpoints" => Self::ListCheckpoints,
            "/grpc.health.v1.Health/Check" | "/grpc.health.v1.Health/Watch" => Self::Health,
            path if path.starts_with("/grpc.reflection.") => Self::Reflection,
            _ => Self::Unknown,
        }
    }

    /// The name in metrics and traces: `rpc.method` of the semantic conventions, `_OTHER` where it is none of ours.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Check => "magistrate.v1.AuthorizationService/Check",
            Self::CheckBatch => "magistrate.v1.AuthorizationService/CheckBatch",
            Self::SearchDecisions => "magistrate.v1.AuditService/SearchDecisions",
            Self::CountDecisions => "magistrate.v1.AuditService/CountDecisions",
            Self::GetDecision => "magistrate.v1.AuditService/GetDecision",
            Self::TailDecisions => "magistrate.v1.AuditService/TailDecisions",
            Self::ReplayDecision => "magistrate.v1.AuditService/ReplayDecision",
            Self::Prove => "magistrate.v1.AuditService/Prove",
            Self::ListCheckpoints => "magistrate.v1.AuditService/ListCheckpoints",
            Self::Health => "grpc.health.v1.Health",
            Self::Reflection => "grpc.reflection",
            Self::Unknown => "_OTHER",
        }
    }
}

/// How a call ended.
#[derive(Debug)]
pub enum Exit<'a> {
    /// With decisions, each recorded.
    Decided(&'a Decided),
    /// Well, with no decision, as a question after health does.
    Other,
    /// With an error.
    Refused {
        /// Its code.
        code: Code,
        /// The stable reason, such as `NOT_READY`.
        reason: &'a str,
    },
    /// By the caller, who has gone away before it was answered.
    Abandoned,
}

/// The decisions of a call.
#[derive(Debug, Clone)]
pub struct Decided {
    /// The cause of each decision.
    pub causes: Causes,
    /// The id of the first decision; `None` for a batch of which no item was a question.
    pub decision_id: Option<DecisionId>,
    /// The revision that answered.
    pub revision: u64,
}

/// One cause, or a batch's, without a list for the one.
#[derive(Debug, Clone)]
pub enum Causes {
    /// Of a Check.
    One(Cause),
    /// Of a batch, and how many of its items were no question.
    Batch {
        /// In the batch's order.
        causes: Vec<Cause>,
        /// Items without a decision.
        malformed: usize,
    },
}

impl Decided {
    pub(crate) fn one(recorded: &Recorded<Verdict>) -> Self {
        let verdict = recorded.answer();
        Self {
            causes: Causes::One(verdict.cause),
            decision_id: Some(recorded.receipt().id()),
            revision: verdict.revision.number(),
        }
    }

    pub(crate) fn batch(answer: &magistrate_pdp::BatchAnswer) -> Self {
        let recorded: Vec<_> = answer.results.iter().filter_map(|result| result.as_ref().ok()).collect();
        Self {
            causes: Causes::Batch {
                causes: recorded.iter().map(|recorded| recorded.answer().cause).collect(),
                malformed: answer.results.len() - recorded.len(),
            },
            decision_id: recorded.first().map(|recorded| recorded.receipt().id()),
            revision: answer.revision.number(),
        }
    }
}

/// Watches nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unobserved;

impl Observe for Unobserved {
    type Call = ();

    fn begin(&self, _method: Method, _headers: &HeaderMap) -> ((), Option<TraceId>) {
        ((), None)
    }

    fn end(&self, (): (), _exit: Exit<'_>) {}
}

/// Puts a watch around a service.
#[derive(Debug, Clone)]
pub(crate) struct ObserveLayer<O>(pub(crate) O);

impl<O: Clone, S> Layer<S> for ObserveLayer<O> {
    type Service = Observed<O, S>;

    fn layer(&self, inner: S) -> Self::Service {
        Observed { observer: self.0.clone(), inner }
    }
}

/// A service that is watched.
#[derive(Debug, Clone)]
pub(crate) struct Observed<O, S> {
    observer: O,
    inner: S,
}

impl<O, S, B> Service<http::Request<Inbound<B>>> for Observed<O, S>
where
    O: Observe,
    S: Service<http::Request<Inbound<B>>, Response = http::Response<Outbound>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = Watched<O, S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: http::Request<Inbound<B>>) -> Self::Future {
        let (call, trace) = self.observer.begin(request.body().known.method, request.headers());
        request.body_mut().known.trace = trace;
        Watched { end: Ending { observer: self.observer.clone(), call: Some(call) }, inner: self.inner.call(request) }
    }
}

/// Tells of the end of a call exactly once: a call that is dropped was abandoned.
struct Ending<O: Observe> {
    observer: O,
    call: Option<O::Call>,
}

impl<O: Observe> Ending<O> {
    fn tell(&mut self, exit: Exit<'_>) {
        if let Some(call) = self.call.take() {
            self.observer.end(call, exit);
        }
    }
}

impl<O: Observe> Drop for Ending<O> {
    fn drop(&mut self) {
        self.tell(Exit::Abandoned);
    }
}

pin_project! {
    pub(crate) struct Watched<O: Observe, F> {
        end: Ending<O>,
        #[pin]
        inner: F,
    }
}

impl<O, F, E> Future for Watched<O, F>
where
    O: Observe,
    F: Future<Output = Result<http::Response<Outbound>, E>>,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let outcome = std::task::ready!(this.inner.poll(context));
        match &outcome {
            Ok(response) => tell_outcome(this.end, &response.body().outcome),
            Err(_) => this.end.tell(Exit::Refused { code: Code::Internal, reason: "INTERNAL" }),
        }
        Poll::Ready(outcome)
    }
}

fn tell_outcome<O: Observe>(end: &mut Ending<O>, outcome: &Outcome) {
    match outcome {
        Outcome::Decided(decided) => end.tell(Exit::Decided(decided)),
        Outcome::Other => end.tell(Exit::Other),
        Outcome::Refused(status) => {
            let info = status.get_details_error_info();
            let reason = info.as_ref().map_or_else(|| code_name(status.code()), |info| info.reason.as_str());
            end.tell(Exit::Refused { code: status.code(), reason });
        }
    }
}

/// The name of a code as the gRPC specification writes it: `rpc.response.status_code`.
pub const fn code_name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
