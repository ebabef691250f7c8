//! A stream whose peer must get on with it.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// The preface of HTTP/2 and the head of the frame that must follow it (RFC 9113, section 3.4).
const HELLO: usize = 24 + 9;

/// Fails with `TimedOut` where the peer does not say hello in time, or takes no byte of what is sent to it.
#[derive(Debug)]
pub(super) struct Watched<S> {
    stream: S,
    /// Bytes of the hello that are missing, and until when they are waited for.
    missing: usize,
    hello: Pin<Box<Sleep>>,
    stall: Duration,
    /// Runs while a write waits for the peer.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl<S> Watched<S> {
    pub(super) fn new(stream: S, hello_until: Instant, stall: Duration) -> Self {
        let hello = Box::pin(tokio::time::sleep_until(hello_until));
        Self { stream, missing: HELLO, hello, stall, stalled: None }
    }

    /// What a write came to; while it waits, the peer's time runs.
    fn watch<T>(&mut self, context: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.stalled = None;
            return outcome;
        }
        let stall = self.stall;
        let stalled = self.stalled.get_or_insert_with(|| Box::pin(tokio::time::sleep(stall)));
        ready!(stalled.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, STALLED)))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut self.stream).poll_read(context, buffer);
        if self.missing == 0 {
            return outcome;
        }
        self.missing = self.missing.saturating_sub(buffer.filled().len() - before);
        if outcome.is_pending() && self.hello.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, NO_HELLO)));
        }
        outcome
    }
}

/// How a connection ends whose peer takes nothing.
pub(super) const STALLED: &str = "the peer takes nothing of what is sent to it";
/// How a connection without a hello ends.
pub(super) const NO_HELLO: &str = "the peer did not say hello in time";

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.watch(context, outcome)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.watch(context, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_flush(context);
        self.watch(context, outcome)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_shutdown(context);
        self.watch(context, outcome)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn peer_that_says_nothing_is_given_up() {
        let (near, mut far) = tokio::io::duplex(64);
        let mut watched = Watched::new(near, Instant::now() + Duration::from_secs(3), Duration::from_secs(10));
        far.write_all(b"PRI * HTTP/2.0").await.unwrap();
        let mut all = Vec::new();
        assert_eq!(watched.read_to_end(&mut all).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn peer_that_said_hello_may_take_its_time() {
        let (near, mut far) = tokio::io::duplex(64);
        let mut watched = Watched::new(near, Instant::now() + Duration::from_secs(3), Duration::from_secs(10));
        far.write_all(&[0; HELLO]).await.unwrap();
        let mut all = [0; HELLO];
        watched.read_exact(&mut all).await.unwrap();
        let late = tokio::time::timeout(Duration::from_mins(5), watched.read_u8()).await;
        assert!(late.is_err(), "it waits on");
    }

    #[tokio::test(start_paused = true)]
    async fn peer_that_reads_nothing_is_cut_off() {
        let (near, _far) = tokio::io::duplex(64);
        let mut watched = Watched::new(near, Instant::now() + Duration::from_secs(3), Duration::from_secs(10));
        let begun = Instant::now();
        let error = watched.write_all(&[0; 1_000]).await.unwrap_err();
        assert_eq!((error.kind(), begun.elapsed()), (io::ErrorKind::TimedOut, Duration::from_secs(10)));
    }
}
