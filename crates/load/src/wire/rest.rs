//! JSON over HTTP/1.1, for servers that speak nothing else.

use std::net::SocketAddr;
use std::rc::Rc;

use anyhow::Context as _;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, HeaderValue};
use http::{Method, Request, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use super::Failure;

#[derive(Debug, Clone)]
pub(crate) struct Rest {
    send: Rc<Mutex<SendRequest<Full<Bytes>>>>,
    uri: Uri,
    host: HeaderValue,
}

impl Rest {
    /// The connection is driven by a task of this thread until it ends.
    pub(super) async fn over(stream: TcpStream, address: SocketAddr, path: &str) -> anyhow::Result<Self> {
        let (send, connection) = handshake(TokioIo::new(stream)).await.context("no HTTP is spoken there")?;
        let _driven = tokio::task::spawn_local(connection);
        let host = HeaderValue::try_from(address.to_string())?;
        Ok(Self { send: Rc::new(Mutex::new(send)), uri: Uri::try_from(path)?, host })
    }

    pub(super) async fn call(&self, message: Bytes) -> Result<Bytes, Failure> {
        let mut request = Request::new(Full::new(message));
        *request.method_mut() = Method::POST;
        request.uri_mut().clone_from(&self.uri);
        request.headers_mut().insert(HOST, self.host.clone());
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let mut send = self.send.lock().await;
        send.ready().await.map_err(broken)?;
        let response = send.send_request(request).await.map_err(broken)?;
        let status = response.status();
        let body = response.into_body().collect().await.map_err(broken)?.to_bytes();
        match status.is_success() {
            true => Ok(body),
            false => Err(Failure::Status(format!("HTTP {}", status.as_u16()), String::from_utf8_lossy(&body).into())),
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "as `map_err` hands it over")]
fn broken(error: hyper::Error) -> Failure {
    Failure::Broken(error.to_string())
}
