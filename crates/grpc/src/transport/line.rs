//! What the calls of one connection share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use super::room::Room;
use super::stats::TransportStats;

/// A connection as its calls see it.
#[derive(Debug)]
pub(super) struct Line {
    /// Calls whose answer has not left, and whether one has begun since somebody looked.
    under_way: AtomicU32,
    waiting: Waiting,
    pub(super) room: Arc<Room>,
    pub(super) stats: Arc<TransportStats>,
    /// Whether the peer was told to go.
    leave: watch::Sender<bool>,
}

/// The lowest bit: a call has begun since somebody looked.
const BEGUN: u32 = 1;
/// What a call under way counts.
const CALL: u32 = 2;

impl Line {
    pub(super) fn new(room: Arc<Room>, stats: Arc<TransportStats>) -> Arc<Self> {
        let leave = watch::Sender::new(false);
        Arc::new(Self { under_way: AtomicU32::new(0), waiting: Waiting::default(), room, stats, leave })
    }

    /// Tells streams without an end of their own that this is it.
    pub(super) fn leave(&self) {
        self.leave.send_replace(true);
    }

    /// Completes once the peer was told to go.
    pub(super) async fn left(self: Arc<Self>) {
        let mut leave = self.leave.subscribe();
        drop(leave.wait_for(|left| *left).await);
    }

    /// Completes once no call was under way for `limit`.
    pub(super) async fn idle(&self, limit: Duration) {
        const LOOKS: u32 = 8;
        let mut quiet = 0;
        while quiet < LOOKS {
            tokio::time::sleep(limit / LOOKS).await;
            quiet = if self.is_quiet() { quiet + 1 } else { 0 };
        }
    }

    /// Whether no call is under way and none has begun since the last question.
    fn is_quiet(&self) -> bool {
        self.under_way.fetch_and(!BEGUN, Ordering::Relaxed) & !BEGUN == 0
    }

    /// Completes once the peer has left an answer alone for `limit`, or up to a quarter longer.
    pub(super) async fn stalled(&self, limit: Duration) {
        loop {
            tokio::time::sleep(limit / Waiting::PERIODS).await;
            if self.waiting.period_ends() {
                return;
            }
        }
    }
}

/// A call, from its headers to the last byte of its answer.
#[derive(Debug)]
pub(super) struct UnderWay(pub(super) Arc<Line>);

impl UnderWay {
    pub(super) fn begin(line: &Arc<Line>) -> Self {
        line.under_way.fetch_add(CALL, Ordering::Relaxed);
        line.under_way.fetch_or(BEGUN, Ordering::Relaxed);
        Self(Arc::clone(line))
    }

    /// A part of its answer waits until the peer has room for it.
    pub(super) fn hand_on(&self) -> Handed {
        Handed { line: Arc::clone(&self.0), period: self.0.waiting.begin() }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(CALL, Ordering::Relaxed);
    }
}

/// A part of an answer that waits for the peer, until dropped.
#[derive(Debug)]
pub(super) struct Handed {
    line: Arc<Line>,
    period: usize,
}

impl Drop for Handed {
    fn drop(&mut self) {
        self.line.waiting.end(self.period);
    }
}

/// How many parts of answers wait for the peer, by the period in which they began to: nothing is kept for each, and
/// the oldest is found in one step.
#[derive(Debug, Default)]
struct Waiting {
    now: AtomicUsize,
    /// A ring; what is older than one round was found long before.
    since: [AtomicU32; 8],
}

impl Waiting {
    /// Of so many periods consists the longest wait.
    const PERIODS: u32 = 4;

    fn slot(&self, period: usize) -> Option<&AtomicU32> {
        self.since.get(period % self.since.len())
    }

    fn begin(&self) -> usize {
        let now = self.now.load(Ordering::Relaxed);
        self.slot(now).inspect(|count| _ = count.fetch_add(1, Ordering::Relaxed));
        now
    }

    fn end(&self, period: usize) {
        self.slot(period).inspect(|count| _ = count.fetch_sub(1, Ordering::Relaxed));
    }

    /// A new period begins; whether anything has waited through all those of a wait that is too long.
    fn period_ends(&self) -> bool {
        let now = self.now.fetch_add(1, Ordering::Relaxed) + 1;
        let oldest = now.checked_sub(Self::PERIODS as usize + 1);
        oldest.and_then(|period| self.slot(period)).is_some_and(|count| count.load(Ordering::Relaxed) > 0)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(8);

    fn line() -> Arc<Line> {
        Line::new(Room::new(0), Arc::default())
    }

    async fn time<T>(of: impl Future<Output = T>) -> Duration {
        let begun = Instant::now();
        of.await;
        begun.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn answer_that_is_not_taken_is_found() {
        let line = line();
        let _waiting = UnderWay::begin(&line).hand_on();
        let taken = time(line.stalled(LIMIT)).await;
        assert!((LIMIT..=LIMIT * 5 / 4).contains(&taken), "{taken:?}");
    }

    /// One of many answers is left alone; that the others are taken does not hide it.
    #[tokio::test(start_paused = true)]
    async fn answers_that_are_taken_hide_none_that_is_not() {
        let line = line();
        let call = UnderWay::begin(&line);
        let others = async {
            loop {
                let handed = call.hand_on();
                tokio::time::sleep(LIMIT / 3).await;
                drop(handed);
            }
        };
        let found = tokio::select! {
            () = others => true,
            found = tokio::time::timeout(LIMIT * 20, line.stalled(LIMIT)) => found.is_ok(),
        };
        assert!(!found, "each was taken in time");
        let _left_alone = call.hand_on();
        assert!(tokio::time::timeout(LIMIT * 2, line.stalled(LIMIT)).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn call_is_under_way_until_its_answer_has_left() {
        let line = line();
        let call = UnderWay::begin(&line);
        assert!(tokio::time::timeout(LIMIT * 10, line.idle(LIMIT)).await.is_err());
        drop(call);
        assert!(tokio::time::timeout(LIMIT * 2, line.idle(LIMIT)).await.is_ok());
    }
}
