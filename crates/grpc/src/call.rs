//! A call on its way through the layers: what is known of it goes with what arrives, and how it ended comes back with what
//! leaves. Neither is looked for in a bag of extensions, which would be built and searched for every call.

use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Response;
use hyper::body::{Body, Bytes, Frame, SizeHint};
use magistrate_model::{KeyId, TraceId};
use tonic::{Code, Status};

use crate::deadline::Deadline;
use crate::observe::{Decided, Method};
use crate::unary::Message;

/// What is known of a call.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    /// What it calls.
    pub(crate) method: Method,
    /// The peer's address; `None` only where there is no connection.
    pub(crate) address: Option<IpAddr>,
    /// The trace it belongs to.
    pub(crate) trace: Option<TraceId>,
    /// The key that was presented.
    pub(crate) caller: Option<KeyId>,
    /// When the caller stops waiting.
    pub(crate) deadline: Option<Deadline>,
}

impl Known {
    /// A call that nobody has looked into yet.
    pub(crate) const fn new(method: Method, address: Option<IpAddr>) -> Self {
        Self { method, address, trace: None, caller: None, deadline: None }
    }
}

/// What arrives, and what is known of its call.
#[derive(Debug)]
pub(crate) struct Inbound<B> {
    pub(crate) known: Known,
    pub(crate) body: B,
}

/// How a call ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// With decisions, each recorded.
    Decided(Decided),
    /// Well, with no decision.
    Other,
    /// With an error.
    Refused(Box<Status>),
}

/// What leaves, and how its call ended.
#[derive(Debug)]
pub(crate) struct Outbound {
    pub(crate) outcome: Outcome,
    /// Who called, where something was refused and that is known.
    pub(crate) caller: Option<KeyId>,
    pub(crate) reply: Reply,
}

/// The bytes of an answer.
#[derive(Debug)]
pub(crate) enum Reply {
    /// One message and its status.
    Message(Message),
    /// Whatever a service of tonic's gives.
    Routed(tonic::body::Body),
}

impl Outbound {
    /// The answer that is a status alone.
    pub(crate) fn refused(status: Status) -> Response<Self> {
        let headers: Response<tonic::body::Body> = status.into_http();
        Self::routed(headers)
    }

    /// One message.
    pub(crate) fn decided(message: Message, decided: Decided) -> Response<Self> {
        let reply = Reply::Message(message);
        let mut response = Response::new(Self { outcome: Outcome::Decided(decided), caller: None, reply });
        let grpc = http::HeaderValue::from_static("application/grpc");
        response.headers_mut().insert(http::header::CONTENT_TYPE, grpc);
        response
    }

    /// What a service of tonic's answered. How it ended stands in the extensions; where a layer of tonic's own refused, in
    /// the headers alone.
    pub(crate) fn routed(response: Response<tonic::body::Body>) -> Response<Self> {
        let (mut parts, body) = response.into_parts();
        let refused = |status: Status| match status.code() == Code::Ok {
            true => Outcome::Other,
            false => Outcome::Refused(Box::new(status)),
        };
        let outcome = match parts.extensions.remove::<Decided>() {
            Some(decided) => Outcome::Decided(decided),
            None => {
                let status = parts.extensions.remove::<Status>();
                status.or_else(|| Status::from_header_map(&parts.headers)).map_or(Outcome::Other, refused)
            }
        };
        Response::from_parts(parts, Self { outcome, caller: None, reply: Reply::Routed(body) })
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        match self.get_mut() {
            Self::Message(message) => Poll::Ready(message.next().map(Ok)),
            Self::Routed(body) => Pin::new(body).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Message(message) => message.is_empty(),
            Self::Routed(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Message(_) => SizeHint::default(),
            Self::Routed(body) => body.size_hint(),
        }
    }
}
