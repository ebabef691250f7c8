//! One message in, one message out, as gRPC frames them over HTTP/2: for the method that is called all the time.
//!
//! A service of tonic's serves every method through what streams need: a router, buffers of eight KiB in both directions and
//! several boxed futures. Here the message is decoded from the bytes that arrived and encoded into as many as it takes. Calls
//! that ask for more than that, such as compression, are tonic's to answer.

use std::future::poll_fn;
use std::pin::Pin;

use http::{HeaderMap, HeaderValue};
use hyper::body::{Body, Bytes, Frame};
use tonic::Status;

/// Bytes of the head that gRPC puts before a message: whether it is compressed, and its length.
const HEAD: usize = 5;

/// Whether a call can be served here: its messages are as they are.
pub(crate) fn is_plain(headers: &HeaderMap) -> bool {
    headers.get("grpc-encoding").is_none_or(|encoding| encoding == "identity")
}

/// Reads a body to its end, which is bounded by whoever hands it over.
pub(crate) async fn receive<B>(mut body: B) -> Result<Bytes, Status>
where
    B: Body<Data = Bytes, Error = Box<dyn std::error::Error + Send + Sync>> + Unpin,
{
    let mut arrived = Arrived::default();
    while let Some(frame) = poll_fn(|context| Pin::new(&mut body).poll_frame(context)).await {
        // What is no data are trailers, of which a request's say nothing.
        if let Ok(data) = frame.map_err(Status::from_error)?.into_data() {
            arrived.push(data);
        }
    }
    Ok(arrived.into_bytes())
}

/// Bytes that arrive in pieces, mostly one, which is not copied. Each byte of many is copied a few times at most, however small
/// the pieces are that a peer sends.
#[derive(Debug, Default)]
struct Arrived {
    first: Bytes,
    /// All of it, once there are more.
    all: Vec<u8>,
}

impl Arrived {
    fn push(&mut self, piece: Bytes) {
        if self.first.is_empty() && self.all.is_empty() {
            self.first = piece;
            return;
        }
        if self.all.is_empty() {
            self.all = Vec::from(std::mem::take(&mut self.first));
        }
        self.all.extend_from_slice(&piece);
    }

    fn into_bytes(self) -> Bytes {
        if self.all.is_empty() { self.first } else { self.all.into() }
    }
}

/// The one message of a body.
pub(crate) fn decode<M: prost::Message + Default>(mut arrived: Bytes) -> Result<M, Status> {
    if arrived.is_empty() {
        return Err(Status::internal("Missing request message."));
    }
    let cut_off = || Status::internal("the message was cut off");
    let &[flag, a, b, c, d] = arrived.first_chunk::<HEAD>().ok_or_else(cut_off)?;
    if flag != 0 {
        let why = "protocol error: received message with compressed-flag but no grpc-encoding was specified";
        return Err(Status::internal(why));
    }
    let length = u32::from_be_bytes([a, b, c, d]) as usize;
    let message = arrived.split_off(HEAD);
    match message.len().cmp(&length) {
        std::cmp::Ordering::Less => Err(cut_off()),
        std::cmp::Ordering::Equal => M::decode(message).map_err(|error| Status::internal(error.to_string())),
        // "Request cardinality violation" of the specification's list of status codes.
        std::cmp::Ordering::Greater => Err(Status::unimplemented("the method takes exactly one message")),
    }
}

/// A message on its way, and the status behind it, which is that all went well.
#[derive(Debug)]
pub(crate) struct Message {
    framed: Bytes,
    ended: bool,
}

impl Message {
    /// Encodes it.
    pub(crate) fn of(message: &impl prost::Message) -> Self {
        let length = message.encoded_len();
        let mut framed = Vec::with_capacity(HEAD + length);
        framed.push(0);
        // Answers are far smaller than that.
        framed.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
        message.encode_raw(&mut framed);
        Self { framed: framed.into(), ended: false }
    }

    /// The message, then its status, then nothing.
    pub(crate) fn next(&mut self) -> Option<Frame<Bytes>> {
        if !self.framed.is_empty() {
            return Some(Frame::data(std::mem::take(&mut self.framed)));
        }
        if std::mem::replace(&mut self.ended, true) {
            return None;
        }
        let mut trailers = HeaderMap::with_capacity(1);
        trailers.insert(Status::GRPC_STATUS, HeaderValue::from_static("0"));
        Some(Frame::trailers(trailers))
    }

    /// Whether there is nothing more.
    pub(crate) fn is_empty(&self) -> bool {
        self.ended
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::task::{Context, Poll};

    use magistrate_proto::v1::EntityRef;
    use prost::Message as _;
    use tonic::Code;

    use super::*;

    /// A body in these pieces.
    struct Pieces(VecDeque<Bytes>);

    impl Body for Pieces {
        type Data = Bytes;
        type Error = Box<dyn std::error::Error + Send + Sync>;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            Poll::Ready(self.0.pop_front().map(|piece| Ok(Frame::data(piece))))
        }
    }

    fn message() -> EntityRef {
        EntityRef { r#type: "Note".into(), id: "n".into() }
    }

    fn framed() -> Vec<u8> {
        let mut message = Message::of(&message());
        message.next().unwrap().into_data().unwrap().to_vec()
    }

    #[track_caller]
    fn check(bytes: &[u8], expected: &Result<EntityRef, Code>) {
        for piece in [1, 4, 7, 1_000] {
            let pieces = bytes.chunks(piece).map(Bytes::copy_from_slice).collect();
            let received = futures_util::FutureExt::now_or_never(receive(Pieces(pieces))).unwrap();
            let received = received.and_then(decode::<EntityRef>);
            assert_eq!(received.map_err(|status| status.code()), *expected, "in pieces of {piece}");
        }
    }

    #[test]
    fn one_whole_message_is_received() {
        check(&framed(), &Ok(message()));
        check(&[0; HEAD], &Ok(EntityRef::default()));
    }

    /// As many pieces as there are bytes, of the largest message: each byte is copied a few times, not once for every piece.
    #[test]
    fn pieces_are_put_together_in_linear_time() {
        let mut arrived = Arrived::default();
        let (mut moved, mut at) = (0, std::ptr::null());
        for piece in 0..256 * 1_024_u32 {
            arrived.push(Bytes::copy_from_slice(&[u8::try_from(piece % 251).unwrap()]));
            if arrived.all.as_ptr() != at {
                (moved, at) = (moved + arrived.all.len(), arrived.all.as_ptr());
            }
        }
        assert!(moved < 4 * 256 * 1_024, "{moved} bytes were moved");
        let whole = arrived.into_bytes();
        assert!(whole.len() == 256 * 1_024 && whole.iter().enumerate().all(|(n, byte)| n % 251 == usize::from(*byte)));
    }

    #[test]
    fn anything_else_is_refused() {
        let framed = framed();
        check(&[], &Err(Code::Internal));
        check(&framed[..3], &Err(Code::Internal));
        check(&framed[..framed.len() - 1], &Err(Code::Internal));
        check(&[&framed[..], &[0]].concat(), &Err(Code::Unimplemented));
        check(&[&framed[..], &framed].concat(), &Err(Code::Unimplemented));
        check(&[&[1], &framed[1..]].concat(), &Err(Code::Internal));
        check(&[0, 0, 0, 0, 1, 0xff], &Err(Code::Internal));
    }

    #[test]
    fn message_is_sent_with_its_status_behind_it() {
        let mut sent = Message::of(&message());
        let data = sent.next().unwrap().into_data().unwrap();
        assert_eq!((data[..HEAD].to_vec(), &data[HEAD..]), (vec![0, 0, 0, 0, 9], &message().encode_to_vec()[..]));
        assert!(!sent.is_empty(), "its status is to come");
        let trailers = sent.next().unwrap().into_trailers().unwrap();
        assert_eq!(trailers.get("grpc-status").unwrap(), "0");
        assert!(sent.is_empty() && sent.next().is_none());
    }

    /// A message without a byte of its own has a head all the same.
    #[test]
    fn empty_message_is_sent() {
        let mut sent = Message::of(&EntityRef::default());
        assert_eq!(sent.next().unwrap().into_data().unwrap(), Bytes::from_static(&[0; HEAD]));
    }
}
