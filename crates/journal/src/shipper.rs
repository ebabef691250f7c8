//! Bringing to a store what was appended.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use magistrate_ledger::{CommitFailed, SealedHeader, SealedRecord, Sink};
use tracing::{error, info, warn};

use crate::format::SEGMENT_HEADER;
use crate::open::Unshipped;
use crate::reader::{Item, ReadError, Reader};
use crate::recover::{Backlog, Extent, Left};
use crate::sealing::{Sealing, Seals};
use crate::shared::{Shared, remove};

/// Records of a shipment, and about how many bytes they have.
const MOST_RECORDS: usize = 2_000;
const MOST_BYTES: usize = 4 << 20;
/// How long records gather before they are shipped, unless somebody waits for the store.
const GATHER: Duration = Duration::from_millis(20);
/// Before shipping again after the first failure, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// What a shipper did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shipped {
    /// Nothing was there to be shipped.
    Nothing,
    /// A shipment of so many records arrived.
    Records(usize),
}

/// Why a shipment did not arrive.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    /// Trying again may help.
    #[error("{0}")]
    Store(CommitFailed),
    /// Trying again does not help.
    #[error("{0}")]
    Hopeless(String),
}

/// Ships records in the order they were appended, those of earlier runs first.
///
/// Shipping is repeated until it succeeds, and what arrived twice is there once. Other bytes at a place are not
/// overcome: the journal then takes nothing more, and its segments stay.
#[derive(Debug)]
pub struct Shipper<S> {
    sink: S,
    shared: Arc<Shared>,
    backlog: VecDeque<Backlog>,
    /// Where the backlog is read.
    extents: VecDeque<(Reader, u64)>,
    live: Reader,
    /// What is being shipped; kept until it arrived.
    shipment: Shipment,
    /// What was told of the failure that lasts.
    told: Option<String>,
    pause: Duration,
    /// The store has failed since it was asked what it has.
    doubted: bool,
    seals: Seals,
    /// Segments of the running stream whose records are in the store, and earlier runs likewise; they go once a checkpoint
    /// covers them.
    done: Vec<u32>,
    cleared: Vec<Backlog>,
    /// The segment that holds the newest header that was read. It stays: the next run must find how the chain ended.
    headed: u32,
}

#[derive(Debug, Default)]
struct Shipment {
    records: Vec<SealedRecord>,
    bytes: usize,
    headers: Vec<SealedHeader>,
    /// Segments of the running stream that hold nothing behind these records.
    done: Vec<u32>,
    /// The segment of the last header.
    headed: Option<u32>,
    /// Whoever waits for these records was told.
    told: bool,
}

impl Shipment {
    fn is_empty(&self) -> bool {
        self.records.is_empty() && self.headers.is_empty() && self.done.is_empty()
    }

    fn is_full(&self) -> bool {
        self.records.len() >= MOST_RECORDS || self.bytes >= MOST_BYTES
    }

    fn push(&mut self, record: SealedRecord) {
        self.bytes += record.bytes.len();
        self.records.push(record);
    }
}

impl<S: Sink> Shipper<S> {
    /// Ships to this store.
    pub fn new(sink: S, unshipped: Unshipped, sealing: Sealing) -> Self {
        let Unshipped { shared, first, backlog } = unshipped;
        let left = backlog.iter().map(|backlog| &backlog.left).filter(|left| left.is_worth_telling());
        let seals = Seals::begin(sealing, left.map(Left::told).collect());
        Self {
            seals,
            done: Vec::new(),
            cleared: Vec::new(),
            headed: 0,
            sink,
            live: Reader::new(first, SEGMENT_HEADER as u64),
            extents: VecDeque::new(),
            backlog: backlog.into(),
            shared,
            shipment: Shipment::default(),
            told: None,
            pause: FIRST_PAUSE,
            doubted: false,
        }
    }

    /// Ships whatever is appended, without end. It may be dropped at any time: what was not shipped is in the journal.
    pub async fn run(&mut self) {
        loop {
            match self.ship(false).await {
                Ok(Shipped::Nothing) => self.wait().await,
                Ok(Shipped::Records(_)) => {}
                Err(Trouble::Store(_)) => tokio::time::sleep(self.pause).await,
                Err(Trouble::Hopeless(_)) => std::future::pending().await,
            }
        }
    }

    /// Ships and seals what is there, and says whether all of it arrived; gives up at the first failure.
    pub async fn finish(&mut self) -> bool {
        loop {
            match self.ship(true).await {
                Ok(Shipped::Nothing) => return true,
                Ok(Shipped::Records(_)) => {}
                Err(_) => return false,
            }
        }
    }

    /// Ships what is there, and seals only what is due.
    #[cfg(test)]
    pub(crate) async fn settle(&mut self) {
        while self.ship(false).await.unwrap() != Shipped::Nothing {}
        assert_eq!(self.ship(false).await.unwrap(), Shipped::Nothing);
    }

    /// The same, and says that the stream has ended. Nothing may be appended after it.
    pub async fn close(&mut self) -> bool {
        if !self.finish().await {
            return false;
        }
        self.seals.close();
        self.finish().await
    }

    async fn wait(&self) {
        let idle = Duration::from_micros(u64::try_from(self.seals.idle().micros()).unwrap_or(0));
        if tokio::time::timeout(idle, self.shared.news.notified()).await.is_err() {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(GATHER) => {}
            () = self.shared.hurry.notified() => {}
        }
    }

    async fn ship(&mut self, all: bool) -> Result<Shipped, Trouble> {
        let shipped = self.ship_next(all).await;
        match &shipped {
            Ok(_) => {
                if self.told.take().is_some() {
                    self.shared.tell_no_trouble();
                    info!("the decision store takes records again");
                }
                self.pause = FIRST_PAUSE;
            }
            Err(trouble) => self.tell(trouble),
        }
        shipped
    }

    async fn ship_next(&mut self, all: bool) -> Result<Shipped, Trouble> {
        if self.doubted {
            self.ask().await?;
        }
        let wrote = self.shipment.is_empty() && self.read(all)?;
        let count = self.shipment.records.len();
        if count > 0 {
            self.date();
            let committed = self.sink.commit(&self.shipment.records).await;
            self.judge(committed)?;
            self.tell_shipped();
        }
        let shipped = self.shipment.headers.iter().filter(|it| it.header.stream == self.shared.stream);
        let shipped = shipped.map(|it| it.header.number).max().unwrap_or(0);
        let checkpoint = if self.backlog.is_empty() { self.seals.checkpoint(shipped, all) } else { None };
        if !self.shipment.headers.is_empty() || checkpoint.is_some() {
            let sealed = self.sink.seal(&self.shipment.headers, checkpoint.as_ref()).await;
            self.judge(sealed)?;
        }
        let nothing = self.shipment.is_empty() && checkpoint.is_none() && self.backlog.is_empty() && !wrote;
        self.arrived();
        if let Some(at) = self.seals.arrived(shipped, checkpoint.as_ref()) {
            self.shared.checkpoint_at.store(at.micros(), Ordering::Release);
            self.release();
        }
        Ok(if nothing { Shipped::Nothing } else { Shipped::Records(count) })
    }

    /// Fills the shipment; says whether a header was written that is read next.
    fn read(&mut self, all: bool) -> Result<bool, Trouble> {
        let hopeless = |error: ReadError| Trouble::Hopeless(error.to_string());
        if !self.backlog.is_empty() {
            return self.read_backlog().map_err(hopeless).map(|()| false);
        }
        self.read_live().map_err(hopeless)?;
        Ok(self.seals.write(all && !self.shipment.is_full()))
    }

    fn judge(&mut self, outcome: Result<(), CommitFailed>) -> Result<(), Trouble> {
        outcome.map_err(|failed| {
            self.doubted = true;
            match failed.conflict {
                true => Trouble::Hopeless(failed.to_string()),
                false => Trouble::Store(failed),
            }
        })
    }

    /// Notes since when the oldest record waits.
    fn date(&self) {
        let oldest = self.shipment.records.first().map_or(0, |record| record.recorded_at.micros());
        self.shared.oldest.store(oldest, Ordering::Release);
    }

    /// The records of the shipment are in the store: whoever waits for them is told.
    fn tell_shipped(&mut self) {
        if std::mem::replace(&mut self.shipment.told, true) {
            return;
        }
        let (records, shared) = (&self.shipment.records, &self.shared);
        if !self.backlog.is_empty() {
            shared.backlog.fetch_sub(records.len() as u64, Ordering::AcqRel);
        } else if let Some(last) = records.last() {
            shared.tell_shipped(last.id.seq);
        }
        if self.backlog.is_empty() && shared.shipped() >= shared.appended() {
            shared.oldest.store(0, Ordering::Release);
        }
    }

    /// The shipment is in the store: what it was the last of waits for a checkpoint.
    fn arrived(&mut self) {
        let Shipment { done, headed, .. } = std::mem::take(&mut self.shipment);
        self.done.extend(done);
        self.headed = headed.map_or(self.headed, |headed| self.headed.max(headed));
        if self.extents.is_empty() {
            self.cleared.extend(self.backlog.pop_front());
        }
    }

    /// A checkpoint covers what was shipped: segments can go, all but the one where the chain ends.
    fn release(&mut self) {
        let headed = self.headed;
        self.done.extract_if(.., |number| *number < headed).for_each(|number| self.shared.release(number));
        self.cleared.drain(..).for_each(|backlog| clear(&backlog, &self.shared));
    }

    fn read_live(&mut self) -> Result<(), ReadError> {
        let end = self.shared.end();
        while !self.shipment.is_full() {
            match self.live.next(self.live.end(end))? {
                None => break,
                Some(Item::Record(record)) => {
                    self.seals.take(&record);
                    self.shipment.push(record);
                }
                Some(Item::Header(header)) => {
                    self.shipment.headed = Some(self.live.number());
                    self.shipment.headers.push(header);
                }
                Some(Item::End) => {
                    self.shipment.done.push(self.live.number());
                    // The next one is there before the frame that leads to it.
                    if let Some(next) = self.shared.segment(self.live.number() + 1) {
                        self.live = Reader::new(next, SEGMENT_HEADER as u64);
                    }
                }
            }
        }
        Ok(())
    }

    fn read_backlog(&mut self) -> Result<(), ReadError> {
        if self.extents.is_empty()
            && let Some(backlog) = self.backlog.front()
        {
            let reader = |it: &Extent| (Reader::new(Arc::clone(&it.segment), it.from), it.to);
            self.extents = backlog.extents.iter().map(reader).collect();
        }
        while let Some((reader, to)) = self.extents.front_mut() {
            match reader.next(*to)? {
                None => drop(self.extents.pop_front()),
                Some(Item::Record(record)) => self.shipment.push(record),
                Some(Item::Header(header)) => self.shipment.headers.push(header),
                Some(Item::End) => {}
            }
            if self.shipment.is_full() {
                break;
            }
        }
        Ok(())
    }

    /// Asks a store that has failed what it has: one that was restored, or failed over to a stale copy, may lack what it
    /// said it had. What is still in the journal is shipped again.
    async fn ask(&mut self) -> Result<(), Trouble> {
        let stream = self.shared.stream;
        let last = self.sink.last_committed(stream).await.map_err(Trouble::Store)?.unwrap_or(0);
        self.doubted = false;
        let shipped = self.shared.shipped();
        if last >= shipped {
            return Ok(());
        }
        let kept = self.shared.space().used.first_key_value().map(|(_, segment)| Arc::clone(segment));
        if let Some(kept) = kept {
            self.live = Reader::new(kept, SEGMENT_HEADER as u64);
            self.shipment = Shipment::default();
        }
        error!(
            %stream, last, shipped,
            "the decision store lost records that it had: it was restored, or failed over to a stale copy; those that are still in the journal are shipped again"
        );
        Ok(())
    }

    fn tell(&mut self, trouble: &Trouble) {
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        let why = trouble.to_string();
        self.shared.tell_trouble(&why);
        if self.told.as_ref() == Some(&why) {
            return;
        }
        match trouble {
            Trouble::Store(_) => warn!(why, "decisions are kept in the journal: the decision store does not take them"),
            Trouble::Hopeless(_) => {
                error!(why, "decisions cannot be shipped, and none is made any more; the journal is kept");
                self.shared.refuse(&format!("decisions cannot be shipped: {why}"));
            }
        }
        self.told = Some(why);
    }
}

/// Removes the segments of a run whose records are in the store; those that were damaged are kept under another name.
fn clear(backlog: &Backlog, shared: &Shared) {
    let is_damaged = !backlog.left.damage.is_empty();
    for segment in &backlog.segments {
        if is_damaged {
            let kept = segment.path.with_extension("damaged");
            if let Err(error) = std::fs::rename(&segment.path, &kept) {
                warn!(path = %segment.path.display(), %error, "a damaged segment of the journal cannot be set aside");
            }
        } else {
            remove(segment);
        }
    }
    let bytes: u64 = backlog.segments.iter().map(|segment| segment.size).sum();
    let mut space = shared.space();
    space.bytes = space.bytes.saturating_sub(bytes);
    shared.space_changed().notify_all();
}
