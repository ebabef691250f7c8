//! The service: parse, ask, reply.

use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Bytes, Incoming};
use magistrate_ledger::Asked;
use magistrate_model::{ActionUid, Caller, Channel, EntityUid, Instant, Query};
use magistrate_pdp::{CheckError, Clock, Pdp};
use magistrate_proto::v1::authorization_service_server::AuthorizationService;
use magistrate_proto::v1::{CheckBatchRequest, CheckBatchResponse, CheckRequest, CheckResponse, Entity};
use tonic::{Extensions, Request, Response, Status};

use crate::call::{Inbound, Known, Outbound};
use crate::deadline::Deadline;
use crate::observe::{Decided, Method};
use crate::query::Asking;
use crate::refuse::About;
use crate::routing::{CheckUnary, Checking};
use crate::status::{Refusal, status};
use crate::transport::Arriving;
use crate::unary::{self, Message};
use crate::{batch, deadline, query, reply};

/// The gRPC door of a decision point.
#[derive(Debug)]
pub struct Door<C> {
    pdp: Arc<Pdp>,
    clock: C,
    default_namespace: String,
}

impl<C: Clock> Door<C> {
    /// A door to `pdp`. Bare action ids belong to `default_namespace`; empty is the root.
    pub fn new(pdp: Arc<Pdp>, clock: C, default_namespace: String) -> Self {
        Self { pdp, clock, default_namespace }
    }

    fn asking(&self, known: &Known) -> Asking<'_> {
        Asking {
            caller: Caller {
                address: known.address,
                channel: Channel::Grpc,
                key: known.caller.clone(),
                trace: known.trace,
            },
            default_namespace: &self.default_namespace,
        }
    }

    /// The words of a question, as far as they are understood: what is no uid is not repeated.
    fn asked(&self, principal: Option<&Entity>, action: &str, resource: Option<&Entity>) -> Asked {
        let uid = |entity: Option<&Entity>| {
            let uid = entity?.uid.as_ref()?;
            Some(EntityUid::from_parts(&uid.r#type, &uid.id).ok()?.to_string())
        };
        Asked {
            principal: uid(principal),
            action: ActionUid::resolve(action, &self.default_namespace).ok().map(|action| action.to_string()),
            resource: uid(resource),
        }
    }

    /// The query of a request, when it came and how long is waited for its answer.
    fn read(&self, wire: &CheckRequest, known: &Known) -> Result<(Box<Query>, Instant, Duration), Refusal> {
        let now = self.clock.now();
        let patience = patience(known)?;
        let query = query::query(wire, &self.asking(known))?;
        Ok((Box::new(query), now, patience))
    }

    async fn answer_check(
        &self,
        (query, now, patience): (Box<Query>, Instant, Duration),
    ) -> Result<(CheckResponse, Decided), Refusal> {
        let explain = query.explain;
        let recorded = self.pdp.check(query, now, patience).await?;
        Ok((reply::check(&recorded, explain), Decided::one(&recorded)))
    }

    fn refuse(&self, wire: &CheckRequest, known: &Known, why: &Refusal) -> Status {
        let CheckRequest { principal, action, resource, .. } = wire;
        refusal(why, known, || self.asked(principal.as_ref(), action, resource.as_ref()))
    }

    async fn answer_batch(
        &self,
        wire: &CheckBatchRequest,
        known: &Known,
    ) -> Result<(CheckBatchResponse, Decided), Refusal> {
        let now = self.clock.now();
        let patience = patience(known)?;
        let batch = batch::batch(wire, &self.asking(known))?;
        let answer = self.pdp.check_batch(batch, now, patience).await?;
        Ok((reply::batch(&answer, wire.explain), Decided::batch(&answer)))
    }

    /// What a message asks, with a status for what is no question.
    fn read_plain(&self, message: Bytes, known: &Known) -> Result<(Box<Query>, Instant, Duration), Status> {
        let wire: CheckRequest = unary::decode(message)?;
        self.read(&wire, known).map_err(|why| self.refuse(&wire, known, &why))
    }

    /// What leaves. Whoever is refused is told of by what the message says, which is decoded again for that: seldom, and so
    /// nothing of it is kept while the answer is waited for.
    fn reply_plain(
        &self,
        message: Bytes,
        known: &Known,
        answered: Result<(CheckResponse, Decided), Refusal>,
    ) -> http::Response<Outbound> {
        match answered {
            Ok((response, decided)) => Outbound::decided(Message::of(&response), decided),
            Err(why) => {
                let status = unary::decode(message).map(|wire| self.refuse(&wire, known, &why));
                Outbound::refused(status.unwrap_or_else(|status| status))
            }
        }
    }
}

impl<C: Clock> CheckUnary for Door<C> {
    fn check(self: Arc<Self>, request: http::Request<Inbound<Arriving<Incoming>>>) -> Checking {
        let Inbound { known, body } = request.into_body();
        Box::pin(async move {
            let read = match unary::receive(body).await {
                Ok(message) => self.read_plain(message.clone(), &known).map(|asked| (asked, message)),
                Err(status) => Err(status),
            };
            match read {
                Ok((asked, message)) => {
                    let answered = self.answer_check(asked).await;
                    self.reply_plain(message, &known, answered)
                }
                Err(status) => Outbound::refused(status),
            }
        })
    }
}

#[tonic::async_trait]
impl<C: Clock> AuthorizationService for Door<C> {
    async fn check(&self, request: Request<CheckRequest>) -> Result<Response<CheckResponse>, Status> {
        let (wire, known) = (request.get_ref(), known(request.extensions()));
        let answered = match self.read(wire, &known) {
            Ok(asked) => self.answer_check(asked).await,
            Err(why) => Err(why),
        };
        answered.map(respond).map_err(|why| self.refuse(wire, &known, &why))
    }

    async fn check_batch(&self, request: Request<CheckBatchRequest>) -> Result<Response<CheckBatchResponse>, Status> {
        let known = known(request.extensions());
        let CheckBatchRequest { principal, action, resource, .. } = request.get_ref();
        let answered = self.answer_batch(request.get_ref(), &known).await;
        let asked = || self.asked(principal.as_ref(), action, resource.as_ref());
        answered.map(respond).map_err(|why| refusal(&why, &known, asked))
    }
}

/// What was decided goes with the response, for whoever watches; it is not sent.
fn respond<T>((message, decided): (T, Decided)) -> Response<T> {
    let mut response = Response::new(message);
    response.extensions_mut().insert(decided);
    response
}

/// What was asked goes with a refusal where it may be recorded; it is not sent.
fn refusal(refusal: &Refusal, known: &Known, asked: impl FnOnce() -> Asked) -> Status {
    let mut status = status(refusal);
    let is_malformed = matches!(refusal, Refusal::Check(CheckError::Malformed(_)));
    if !is_malformed && known.caller.is_some() {
        status.set_source(Arc::new(About(asked())));
    }
    status
}

/// How long the caller still waits; without a deadline, which the layer gives every call, not at all. Whoever waits
/// no longer is not asked about.
fn patience(known: &Known) -> Result<Duration, Refusal> {
    let patience = known.deadline.map_or(Duration::ZERO, Deadline::patience);
    match patience.is_zero() {
        true => Err(Refusal::Check(CheckError::DeadlineExceeded(deadline::LATE.to_owned()))),
        false => Ok(patience),
    }
}

/// What is known of a call that a service of tonic's was given.
pub(crate) fn known(extensions: &Extensions) -> Known {
    extensions.get::<Known>().cloned().unwrap_or(Known::new(Method::Unknown, None))
}
