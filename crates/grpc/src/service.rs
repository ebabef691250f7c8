//! The service: parse, ask, reply.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use magistrate_ledger::Asked;
use magistrate_model::{ActionUid, Caller, Channel, EntityUid, TraceId};
use magistrate_pdp::{CheckError, Clock, Pdp};
use magistrate_proto::v1::authorization_service_server::AuthorizationService;
use magistrate_proto::v1::{CheckBatchRequest, CheckBatchResponse, CheckRequest, CheckResponse, Entity};
use tonic::transport::server::TcpConnectInfo;
use tonic::{Extensions, Request, Response, Status};

use crate::authenticate::Authenticated;
use crate::deadline::Deadline;
use crate::observe::Decided;
use crate::query::Asking;
use crate::refuse::About;
use crate::status::{Refusal, status};
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

    fn asking(&self, extensions: &Extensions) -> Asking<'_> {
        Asking {
            caller: Caller {
                address: address(extensions),
                channel: Channel::Grpc,
                key: extensions.get::<Authenticated>().map(|caller| caller.key.clone()),
                trace: extensions.get::<TraceId>().copied(),
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

    async fn answer_check(&self, request: &Request<CheckRequest>) -> Result<(CheckResponse, Decided), Refusal> {
        let now = self.clock.now();
        let patience = patience(request.extensions())?;
        let query = query::query(request.get_ref(), &self.asking(request.extensions()))?;
        let explain = query.explain;
        let recorded = self.pdp.check(query, now, patience).await?;
        Ok((reply::check(&recorded, explain), Decided::one(&recorded)))
    }

    async fn answer_batch(
        &self,
        request: &Request<CheckBatchRequest>,
    ) -> Result<(CheckBatchResponse, Decided), Refusal> {
        let now = self.clock.now();
        let patience = patience(request.extensions())?;
        let batch = batch::batch(request.get_ref(), &self.asking(request.extensions()))?;
        let explain = request.get_ref().explain;
        let answer = self.pdp.check_batch(batch, now, patience).await?;
        Ok((reply::batch(&answer, explain), Decided::batch(&answer)))
    }
}

#[tonic::async_trait]
impl<C: Clock> AuthorizationService for Door<C> {
    async fn check(&self, request: Request<CheckRequest>) -> Result<Response<CheckResponse>, Status> {
        let outcome = self.answer_check(&request).await;
        respond(outcome, request.extensions(), || {
            let CheckRequest { principal, action, resource, .. } = request.get_ref();
            self.asked(principal.as_ref(), action, resource.as_ref())
        })
    }

    async fn check_batch(&self, request: Request<CheckBatchRequest>) -> Result<Response<CheckBatchResponse>, Status> {
        let outcome = self.answer_batch(&request).await;
        respond(outcome, request.extensions(), || {
            let CheckBatchRequest { principal, action, resource, .. } = request.get_ref();
            self.asked(principal.as_ref(), action, resource.as_ref())
        })
    }
}

/// What was decided goes with the response, for whoever watches, and with a refusal what was asked, where it may be
/// recorded; neither is sent.
fn respond<T>(
    outcome: Result<(T, Decided), Refusal>,
    extensions: &Extensions,
    asked: impl FnOnce() -> Asked,
) -> Result<Response<T>, Status> {
    match outcome {
        Ok((message, decided)) => {
            let mut response = Response::new(message);
            response.extensions_mut().insert(decided);
            Ok(response)
        }
        Err(refusal) => {
            let mut status = status(&refusal);
            let is_malformed = matches!(refusal, Refusal::Check(CheckError::Malformed(_)));
            if !is_malformed && extensions.get::<Authenticated>().is_some() {
                status.set_source(Arc::new(About(asked())));
            }
            Err(status)
        }
    }
}

/// How long the caller still waits; without a deadline, which the layer gives every call, not at all. Whoever waits
/// no longer is not asked about.
fn patience(extensions: &Extensions) -> Result<Duration, Refusal> {
    let patience = extensions.get::<Deadline>().map_or(Duration::ZERO, |deadline| deadline.patience());
    match patience.is_zero() {
        true => Err(Refusal::Check(CheckError::DeadlineExceeded(deadline::LATE.to_owned()))),
        false => Ok(patience),
    }
}

/// The peer's address; `None` only where there is no connection. A peer whose address cannot be told is
/// not taken for this machine.
pub(crate) fn address(extensions: &Extensions) -> Option<IpAddr> {
    let connection = extensions.get::<TcpConnectInfo>()?;
    let unknown = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
    Some(connection.remote_addr().map_or(unknown, |address| address.ip()))
}
