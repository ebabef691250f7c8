//! Unary gRPC over HTTP/2, without what a client library adds to each call.

use std::net::SocketAddr;

use anyhow::Context as _;
use bytes::{BufMut as _, Bytes, BytesMut};
use h2::client::SendRequest;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue, TE};
use http::{HeaderMap, Method, Request, Uri, Version};
use prost::Message;
use tokio::net::TcpStream;

use super::Failure;

/// How long the server is told a call may take: longer than any answer takes that is worth having.
const TIMEOUT: HeaderValue = HeaderValue::from_static("30S");
/// Bytes a server may send ahead, on a stream and on a connection: a batch of 1,000 answers fits.
const WINDOW: u32 = 4 * 1024 * 1024;
const HEAD: usize = 5;

#[derive(Debug, Clone)]
pub(crate) struct Grpc {
    send: SendRequest<Bytes>,
    uri: Uri,
    headers: HeaderMap,
}

impl Grpc {
    /// Greets; the connection is then driven by a task of this thread until it ends.
    pub(super) async fn over(
        stream: TcpStream,
        address: SocketAddr,
        path: &str,
        key: Option<&str>,
    ) -> anyhow::Result<Self> {
        let mut builder = h2::client::Builder::new();
        builder.initial_window_size(WINDOW).initial_connection_window_size(WINDOW).enable_push(false);
        let greeted = builder.handshake(stream).await;
        let (send, connection) = greeted.with_context(|| format!("{address} does not speak HTTP/2"))?;
        // It ends when the last clone of `send` is dropped, or with the thread's runtime.
        let _driven = tokio::task::spawn_local(connection);
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.insert(HeaderName::from_static("grpc-timeout"), TIMEOUT);
        if let Some(key) = key {
            let mut value = HeaderValue::try_from(format!("Bearer {key}")).context("the API key is no header")?;
            value.set_sensitive(true);
            headers.insert(AUTHORIZATION, value);
        }
        Ok(Self { send, uri: Uri::try_from(format!("http://{address}{path}"))?, headers })
    }

    pub(super) async fn call(&self, message: Bytes) -> Result<Bytes, Failure> {
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.version_mut() = Version::HTTP_2;
        request.uri_mut().clone_from(&self.uri);
        request.headers_mut().clone_from(&self.headers);
        let mut ready = self.send.clone().ready().await.map_err(broken)?;
        let (response, mut stream) = ready.send_request(request, false).map_err(broken)?;
        stream.send_data(message, true).map_err(broken)?;
        let (head, mut body) = response.await.map_err(broken)?.into_parts();
        if !head.status.is_success() {
            return Err(Failure::Status(format!("HTTP {}", head.status.as_u16()), String::new()));
        }
        let mut answer = Bytes::new();
        while let Some(chunk) = body.data().await {
            let chunk = chunk.map_err(broken)?;
            let _closed = body.flow_control().release_capacity(chunk.len());
            answer = joined(&answer, chunk);
        }
        // A call that failed at once tells its status in the head.
        let trailers = body.trailers().await.map_err(broken)?.unwrap_or(head.headers);
        told(&trailers)?;
        unframed(answer)
    }
}

/// A message with the head that gRPC puts before it.
pub(crate) fn framed(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut bytes = BytesMut::with_capacity(HEAD + length);
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    // The buffer grows: there is always room.
    let _never_full = message.encode(&mut bytes);
    bytes.freeze()
}

fn unframed(mut answer: Bytes) -> Result<Bytes, Failure> {
    let wrong = || Failure::Broken("the answer is not one uncompressed message".to_owned());
    let head = answer.get(..HEAD).ok_or_else(wrong)?;
    let [0, length @ ..] = head else { return Err(wrong()) };
    let length = length.iter().fold(0_usize, |length, byte| length << 8 | usize::from(*byte));
    let message = answer.split_off(HEAD);
    if message.len() == length { Ok(message) } else { Err(wrong()) }
}

/// Most answers come in one piece.
fn joined(before: &Bytes, chunk: Bytes) -> Bytes {
    match before.is_empty() {
        true => chunk,
        false => {
            let mut both = BytesMut::with_capacity(before.len() + chunk.len());
            both.extend_from_slice(before);
            both.extend_from_slice(&chunk);
            both.freeze()
        }
    }
}

fn told(trailers: &HeaderMap) -> Result<(), Failure> {
    let text = |name: &str| trailers.get(name).and_then(|value| value.to_str().ok());
    match text("grpc-status") {
        Some("0") => Ok(()),
        Some(code) => {
            let message = text("grpc-message").unwrap_or_default().to_owned();
            Err(Failure::Status(status_name(code).to_owned(), message))
        }
        None => Err(Failure::Broken("the answer has no status".to_owned())),
    }
}

/// The name of a gRPC status.
fn status_name(code: &str) -> &'static str {
    let known = code.parse::<usize>().ok().and_then(|code| STATUSES.get(code));
    known.copied().unwrap_or("UNKNOWN")
}

const STATUSES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

#[expect(clippy::needless_pass_by_value, reason = "as `map_err` hands it over")]
fn broken(error: h2::Error) -> Failure {
    Failure::Broken(error.to_string())
}

#[cfg(test)]
mod tests {
    use magistrate_proto::v1::EntityRef;

    use super::*;

    #[test]
    fn messages_are_framed_and_unframed() {
        let message = EntityRef { r#type: "T".into(), id: "i".into() };
        let framed = framed(&message);
        assert_eq!(framed[..HEAD], [0, 0, 0, 0, 6]);
        assert_eq!(unframed(framed.clone()), Ok(Bytes::from(message.encode_to_vec())));
        assert_eq!(unframed(joined(&framed.slice(..3), framed.slice(3..))), Ok(framed.slice(HEAD..)));
        for broken in [framed.slice(..3), framed.slice(..8), Bytes::from_static(&[1, 0, 0, 0, 0])] {
            assert!(unframed(broken).is_err());
        }
    }

    #[test]
    fn statuses_have_names() {
        assert_eq!((status_name("0"), status_name("14"), status_name("99")), ("OK", "UNAVAILABLE", "UNKNOWN"));
        assert!(told(&HeaderMap::new()).is_err(), "an answer that was cut off is none");
    }
}
