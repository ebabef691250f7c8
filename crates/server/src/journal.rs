//! The node's journal: opened before anything is answered, shipped to the store while the server runs, and emptied as far
//! as that is possible when it stops.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use magistrate_journal::{Keeper, Left, Lies, Opened, Options, Shipper, Unshipped, Vitals, open};
use magistrate_ledger::{PrivateFields, Sink, StreamId, Writer};
use magistrate_model::{DurabilityClass, Instant, Span};
use magistrate_pdp::Clock as _;
use tokio::sync::oneshot;
use tracing::{error, info, warn};

use crate::os::{self, SystemClock};

/// A lag of shipping that is worth a remark.
const LATE: Span = Span::seconds(5);
/// How long is tried to ship what is left when the server stops. What is not shipped stays in the journal.
const LAST_TRY: Duration = Duration::from_secs(5);

/// A journal that is open.
#[derive(Debug)]
pub(crate) struct Journal {
    pub(crate) writer: Arc<Writer>,
    pub(crate) keeper: Keeper,
    pub(crate) unshipped: Unshipped,
    pub(crate) watch: Watch,
}

/// How a journal is, for whoever does not own it.
#[derive(Clone)]
pub(crate) struct Watch {
    vitals: Arc<dyn Fn() -> Vitals + Send + Sync>,
    /// Where it lies, if that matters: what waits for the store does not.
    lies: Option<Lies>,
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch").field("lies", &self.lies).finish_non_exhaustive()
    }
}

impl Watch {
    pub(crate) fn vitals(&self) -> Vitals {
        (self.vitals)()
    }

    /// What whoever operates the server should know, although it can decide.
    pub(crate) fn remarks(&self, now: Instant) -> Vec<String> {
        let lag = self.vitals().lag(now);
        let late = (lag >= LATE).then(|| {
            let seconds = lag.micros() / 1_000_000;
            format!("decisions are in the journal and not in the store: the oldest since {seconds} s")
        });
        let lies = self.lies.and_then(Lies::warning).map(ToOwned::to_owned);
        lies.into_iter().chain(late).collect()
    }
}

impl Journal {
    /// Opens the journal for a new stream, and tells what earlier runs left. Every record is durable at least at `class`, and
    /// has private values beside it.
    pub(crate) async fn open(
        options: &Options,
        stream: StreamId,
        class: DurabilityClass,
        private: PrivateFields,
    ) -> anyhow::Result<Self> {
        let wanted = options.clone();
        let opened = tokio::task::spawn_blocking(move || open(&wanted, stream, || SystemClock.now())).await;
        let Opened { journal, keeper, unshipped, left } = opened.context("opening the journal was cut off")??;
        left.iter().for_each(tell_left);
        let lies = (class < DurabilityClass::Database).then(|| keeper.lies());
        if let Some(warning) = lies.and_then(Lies::warning) {
            warn!(journal = %options.dir.display(), "{warning}");
        }
        let watch = Watch { vitals: Arc::new(keeper.watch()), lies };
        let writer = Writer::new(journal, keeper.room(), stream, os::nonce).keeping_private(private);
        let writer = Arc::new(writer);
        Ok(Self { writer, keeper, unshipped, watch })
    }
}

fn tell_left(left: &Left) {
    let Left { stream, began, last_seq, cut, lost, damage, closed, .. } = left;
    if !closed {
        info!(%stream, %began, last_seq, "an earlier run did not end in peace; what it left in the journal is shipped");
    }
    if *cut > 0 {
        warn!(%stream, last_seq, bytes = cut, "its end was written half, and is cut off: nobody was answered by it");
    }
    if !damage.is_empty() {
        let lost: Vec<String> = lost.iter().map(|it| format!("{} to {}", it.start(), it.end())).collect();
        error!(
            %stream,
            damage = damage.join("; "),
            lost = lost.join(", "),
            "the journal was damaged, or changed; what is whole is shipped, and its segments are kept as `.damaged`"
        );
    }
}

/// Ships until told to stop; then what is left, as far as the store takes it.
pub(crate) async fn ship<S: Sink>(mut shipper: Shipper<S>, stop: oneshot::Receiver<()>) {
    tokio::select! {
        () = shipper.run() => {}
        _ = stop => {}
    }
    match tokio::time::timeout(LAST_TRY, shipper.close()).await {
        Ok(true) => {}
        Ok(false) | Err(_) => {
            warn!("the store does not have everything; what is left stays in the journal for the next run");
        }
    }
}
