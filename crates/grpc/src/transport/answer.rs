//! An answer on its way: handed on piece by piece as the peer takes it, and never more than there is room for.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::HeaderMap;
use hyper::body::{Body, Bytes, Frame, SizeHint};
use magistrate_pdp::CheckError;
use pin_project_lite::pin_project;
use tonic::Status;

use super::line::{Handed, UnderWay};
use super::room::Share;
use crate::observe::Method;
use crate::shed::RETRY_AFTER;
use crate::status::{Refusal, status};

/// Bytes handed on at once: a frame. HTTP/2 takes a piece as soon as the peer has room for one byte of it, so this is
/// about what a peer without room makes it keep.
const PIECE: usize = 16 * 1024;
/// The last piece: after it nobody asks any more whether the peer has taken it.
const LAST: usize = 4 * 1024;

pin_project! {
    /// The body of an answer. INVARIANT: whoever asks for the next frame has had room for the one before.
    pub(super) struct Answer<B> {
        #[pin]
        body: B,
        call: UnderWay,
        share: Share,
        // What is left of a large message.
        rest: Bytes,
        handed: Option<Handed>,
        // For streams without an end of their own: completes when the peer was told to go.
        left: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
        ended: bool,
    }
}

impl<B> Answer<B> {
    pub(super) fn new(body: B, method: Method, call: UnderWay) -> Self {
        let left: Option<Pin<Box<dyn Future<Output = ()> + Send>>> = match method {
            Method::Health | Method::Reflection | Method::TailDecisions => {
                Some(Box::pin(std::sync::Arc::clone(&call.0).left()))
            }
            Method::Check
            | Method::CheckBatch
            | Method::SearchDecisions
            | Method::CountDecisions
            | Method::GetDecision
            | Method::ReplayDecision
            | Method::Prove
            | Method::ListCheckpoints
            | Method::Unknown => None,
        };
        let share = Share::new(&call.0.room);
        Self { body, call, share, rest: Bytes::new(), handed: None, left, ended: false }
    }
}

impl<B: Body<Data = Bytes>> Body for Answer<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        *this.handed = None;
        if *this.ended {
            return Poll::Ready(None);
        }
        if this.rest.is_empty() {
            match this.body.poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => *this.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                Poll::Ready(other) => return Poll::Ready(other),
                Poll::Pending if told_to_go(this.left, context) => {
                    *this.ended = true;
                    return Poll::Ready(Some(Ok(Frame::trailers(trailers(&status(&Refusal::Leaving))))));
                }
                Poll::Pending => return Poll::Pending,
            }
            if this.rest.len() > LAST && !this.share.grow(this.rest.len()) {
                this.call.0.stats.withhold();
                *this.rest = Bytes::new();
                *this.ended = true;
                let overloaded = Refusal::Check(CheckError::Overloaded { retry_after: RETRY_AFTER });
                return Poll::Ready(Some(Ok(Frame::trailers(trailers(&status(&overloaded))))));
            }
        }
        let piece = this.rest.split_to(next(this.rest.len()));
        this.share.shrink(piece.len());
        *this.handed = Some(this.call.hand_on());
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.ended || self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.is_end_stream() { SizeHint::with_exact(0) } else { SizeHint::default() }
    }
}

/// The length of the next piece of so many bytes.
fn next(left: usize) -> usize {
    if left <= LAST { left } else { PIECE.min(left - LAST) }
}

fn told_to_go(left: &mut Option<Pin<Box<dyn Future<Output = ()> + Send>>>, context: &mut Context<'_>) -> bool {
    left.as_mut().is_some_and(|left| left.as_mut().poll(context).is_ready())
}

fn trailers(status: &Status) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    // Only a message that is no header value fails; these are ours.
    if status.add_header(&mut trailers).is_err() {
        trailers.insert(Status::GRPC_STATUS, http::HeaderValue::from(status.code() as i32));
    }
    trailers
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Arc;

    use super::*;
    use crate::transport::line::Line;
    use crate::transport::room::Room;
    use crate::transport::stats::TransportStats;

    /// Data frames, then nothing for ever or trailers.
    struct Frames(VecDeque<Bytes>, bool);

    impl Body for Frames {
        type Data = Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            match self.0.pop_front() {
                Some(data) => Poll::Ready(Some(Ok(Frame::data(data)))),
                None if self.1 => Poll::Ready(Some(Ok(Frame::trailers(HeaderMap::new())))),
                None => Poll::Pending,
            }
        }
    }

    fn answer(frames: &[usize], ends: bool, method: Method, line: &Arc<Line>) -> Pin<Box<Answer<Frames>>> {
        let frames = frames.iter().map(|length| Bytes::from(vec![7; *length])).collect();
        Box::pin(Answer::new(Frames(frames, ends), method, UnderWay::begin(line)))
    }

    /// The lengths of data frames that come at once, and the code of the trailers if there are some.
    fn frames(answer: &mut Pin<Box<Answer<Frames>>>) -> (Vec<usize>, Option<String>) {
        let mut context = Context::from_waker(std::task::Waker::noop());
        let mut lengths = Vec::new();
        while let Poll::Ready(Some(Ok(frame))) = answer.as_mut().poll_frame(&mut context) {
            match frame.into_data() {
                Ok(data) => lengths.push(data.len()),
                Err(trailers) => {
                    let trailers = trailers.into_trailers().ok().unwrap();
                    let code = trailers.get("grpc-status").map_or("", |code| code.to_str().unwrap());
                    return (lengths, Some(code.to_owned()));
                }
            }
        }
        (lengths, None)
    }

    fn line(room: usize) -> (Arc<Line>, Arc<TransportStats>) {
        let stats = Arc::<TransportStats>::default();
        (Line::new(Room::new(room), Arc::clone(&stats)), stats)
    }

    #[test]
    fn large_answer_is_handed_on_in_pieces_that_end_small() {
        let (line, _) = line(1 << 20);
        let check = |length: usize, expected: &[usize]| {
            let (lengths, trailers) = frames(&mut answer(&[length], true, Method::Check, &line));
            assert_eq!((lengths.as_slice(), trailers.as_deref()), (expected, Some("")));
        };
        check(300, &[300]);
        check(LAST, &[LAST]);
        check(LAST + 1, &[1, LAST]);
        check(PIECE, &[PIECE - LAST, LAST]);
        check(2 * PIECE + LAST + 5, &[PIECE, PIECE, 5, LAST]);
    }

    /// What there is no room for is told as overload; small answers always have room.
    #[test]
    fn answer_without_room_is_withheld() {
        let (line, stats) = line(100_000);
        let ask = |length| frames(&mut answer(&[length], true, Method::CheckBatch, &line));
        assert_eq!(ask(100_001), (Vec::new(), Some("8".to_owned())));
        assert_eq!(stats.withheld(), 1);
        let mut kept = answer(&[100_000], true, Method::CheckBatch, &line);
        let mut context = Context::from_waker(std::task::Waker::noop());
        assert!(kept.as_mut().poll_frame(&mut context).is_ready());
        assert_eq!(ask(PIECE + 1), (Vec::new(), Some("8".to_owned())));
        assert_eq!(ask(LAST).0, [LAST]);
        drop(kept);
        assert!(ask(100_000).0.len() > 6);
    }

    /// A stream that waits ends when the peer is told to go, and an answer that is awaited does not.
    #[test]
    fn stream_without_an_end_ends_when_the_peer_is_to_go() {
        let (line, _) = line(0);
        let mut stream = answer(&[10], false, Method::Health, &line);
        let mut call = answer(&[10], false, Method::Check, &line);
        assert_eq!(frames(&mut stream), (vec![10], None));
        assert_eq!(frames(&mut call), (vec![10], None));
        line.leave();
        assert_eq!(frames(&mut stream), (Vec::new(), Some("14".to_owned())));
        assert_eq!(frames(&mut call), (Vec::new(), None));
        assert!(stream.is_end_stream());
    }
}
