//! A request as it arrives: no longer than its method allows, and no more at a time than there is room for.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hyper::body::{Body, Bytes, Frame, SizeHint};
use magistrate_pdp::CheckError;
use pin_project_lite::pin_project;
use tonic::Status;

use super::limits::Limits;
use super::room::Share;
use crate::observe::Method;
use crate::shed::RETRY_AFTER;
use crate::status::{Refusal, status};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A message's compression flag and length.
const HEAD: usize = 5;

pin_project! {
    /// The body of a request, counted.
    pub(crate) struct Arriving<B> {
        #[pin]
        body: B,
        count: Arrived,
    }
}

struct Arrived {
    most: usize,
    /// Bytes that every call has of its own, whatever others take.
    own: usize,
    bytes: usize,
    head: Vec<u8>,
    share: Arc<Share>,
}

impl<B> Arriving<B> {
    /// The body of a call of `method`. What it occupies is given back with the last clone of `share`.
    pub(super) fn new(body: B, method: Method, limits: &Limits, share: Arc<Share>) -> Self {
        let most = match method {
            Method::Check => limits.check_bytes,
            // A place in a feed names every stream there is.
            Method::CheckBatch | Method::TailDecisions => limits.batch_bytes,
            Method::SearchDecisions
            | Method::CountDecisions
            | Method::GetDecision
            | Method::ReplayDecision
            | Method::Prove
            | Method::ListCheckpoints
            | Method::Health
            | Method::Reflection
            | Method::Unknown => limits.other_bytes,
        };
        let count = Arrived { most, own: limits.own_bytes, bytes: 0, head: Vec::new(), share };
        Self { body, count }
    }
}

impl Arrived {
    fn admit(&mut self, data: &[u8]) -> Result<(), Status> {
        if self.head.len() < HEAD {
            self.head.extend(data.iter().take(HEAD - self.head.len()));
        }
        let announced = match self.head.as_slice() {
            &[_, a, b, c, d] => u32::from_be_bytes([a, b, c, d]) as usize,
            _ => 0,
        };
        let before = self.bytes;
        self.bytes += data.len();
        if announced.max(self.bytes.saturating_sub(HEAD)) > self.most {
            return Err(status(&Refusal::TooLarge { most: self.most }));
        }
        let more = self.bytes.saturating_sub(self.own) - before.saturating_sub(self.own);
        match more == 0 || self.share.grow(more) {
            true => Ok(()),
            false => Err(status(&Refusal::Check(CheckError::Overloaded { retry_after: RETRY_AFTER }))),
        }
    }
}

impl<B> Body for Arriving<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.project();
        let frame = ready!(this.body.poll_frame(context));
        Poll::Ready(frame.map(|frame| {
            let frame = frame.map_err(Into::into)?;
            if let Some(data) = frame.data_ref() {
                this.count.admit(data)?;
            }
            Ok(frame)
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;
    use crate::transport::room::Room;

    const LIMITS: fn() -> Limits = || Limits { check_bytes: 100, own_bytes: 40, ..Limits::default() };

    fn arrived(room: &Arc<Room>) -> Arrived {
        Arriving::new((), Method::Check, &LIMITS(), Arc::new(Share::new(room))).count
    }

    /// A message of so many bytes, of which so many arrive, in parts.
    #[track_caller]
    fn check(announced: u32, bytes: usize, room: &Arc<Room>, expected: Result<(), Code>) {
        let message = [&[0], &announced.to_be_bytes()[..], &vec![7; bytes]].concat();
        for part in [1, 3, 1_000] {
            let mut count = arrived(room);
            let outcome = message.chunks(part).try_for_each(|part| count.admit(part));
            assert_eq!(outcome.map_err(|status| status.code()), expected, "in parts of {part}");
        }
    }

    #[test]
    fn message_is_no_longer_than_its_method_allows() {
        let room = Room::new(1_000);
        check(100, 100, &room, Ok(()));
        check(101, 0, &room, Err(Code::ResourceExhausted));
        check(100, 101, &room, Err(Code::ResourceExhausted));
        check(0, 101, &room, Err(Code::ResourceExhausted));
        check(1 << 30, 1, &room, Err(Code::ResourceExhausted));
    }

    /// Small calls are let in whatever large ones take.
    #[test]
    fn what_a_call_has_of_its_own_is_never_refused() {
        let room = Room::new(10);
        check(50, 35, &room, Ok(()));
        check(50, 45, &room, Ok(()));
        check(50, 46, &room, Err(Code::ResourceExhausted));
        let mut large = arrived(&room);
        large.admit(&[0, 0, 0, 0, 50]).unwrap();
        large.admit(&[7; 45]).unwrap();
        check(50, 35, &room, Ok(()));
        check(50, 36, &room, Err(Code::ResourceExhausted));
        drop(large);
        check(50, 45, &room, Ok(()));
    }
}
