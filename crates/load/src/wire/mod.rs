//! Connections to servers, as thin as they can be: what asks must cost less than what answers.

mod grpc;
mod rest;

use std::net::SocketAddr;

use anyhow::Context as _;
use bytes::Bytes;
use tokio::net::TcpStream;

pub(crate) use grpc::framed;

/// How a server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// Unary gRPC without TLS, at this path.
    Grpc(&'static str),
    /// JSON over HTTP/1.1, posted to this path, one call at a time on each connection.
    Rest(&'static str),
}

/// Why a call came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The server said so: a name of a gRPC status, or an HTTP status.
    Status(String, String),
    /// There was no answer.
    Broken(String),
}

/// A connection. Calls run side by side on clones of it.
#[derive(Debug, Clone)]
pub(crate) enum Connection {
    Grpc(grpc::Grpc),
    Rest(rest::Rest),
}

impl Connection {
    /// Connects. `key` is an API key to send along.
    pub(crate) async fn open(address: SocketAddr, protocol: Protocol, key: Option<&str>) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await.with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        Ok(match protocol {
            Protocol::Grpc(path) => Self::Grpc(grpc::Grpc::over(stream, address, path, key).await?),
            Protocol::Rest(path) => Self::Rest(rest::Rest::over(stream, address, path).await?),
        })
    }

    /// Sends a message and waits for the answer to it.
    pub(crate) async fn call(&self, message: Bytes) -> Result<Bytes, Failure> {
        match self {
            Self::Grpc(connection) => connection.call(message).await,
            Self::Rest(connection) => connection.call(message).await,
        }
    }
}
