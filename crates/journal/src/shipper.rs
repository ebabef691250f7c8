//! Bringing to a store what was appended.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use magistrate_ledger::{CommitFailed, Sink, StreamId};
use tracing::{error, info, warn};

use crate::format::SEGMENT_HEADER;
use crate::open::Unshipped;
use crate::openings::Openings;
use crate::reader::{Item, ReadError, Reader};
use crate::recover::{Backlog, Extent, Left};
use crate::sealing::{Sealing, Seals};
use crate::shared::{Position, Shared};
use crate::shipment::{MOST_RECORDS, Shipment, Shipped, Trouble, clear};

/// How long records gather before they are shipped, unless somebody waits for the store.
const GATHER: Duration = Duration::from_millis(20);
/// Before shipping again after the first failure, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Ships records in the order they were appended, those of earlier runs first.
///
/// Shipping is repeated until it succeeds, and what arrived twice is there once. Other bytes at a place are not
/// overcome: the journal then takes nothing more, and its segments stay.
#[derive(Debug)]
pub struct Shipper<S> {
    sink: S,
    shared: Arc<Shared>,
    backlog: VecDeque<Backlog>,
    /// Where the backlog is read, and the last record of its first run that arrived.
    extents: VecDeque<(Reader, u64)>,
    arrived: u64,
    live: Reader,
    /// What is being shipped; kept until it arrived.
    shipment: Shipment,
    /// What was told of the failure that lasts.
    told: Option<String>,
    pause: Duration,
    /// The store has failed since it was asked what it has.
    doubted: bool,
    seals: Seals,
    /// Segments of the running stream whose records are in the store, with the last of these, and earlier runs likewise; they
    /// go once a checkpoint covers them.
    done: Vec<(u32, u64)>,
    cleared: Vec<Backlog>,
    openings: Openings,
    /// The last record of the running stream that was read.
    read: u64,
    /// The segment that holds the newest header, or an earlier one. It stays: the next run finds there how the chain ended.
    headed: u32,
    /// Everything before this place is shipped again; until that is done nothing is covered by a checkpoint.
    again: Option<Position>,
    /// Records of a shipment that are committed at once: fewer after a failure, which may be that they took too long.
    most: usize,
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
            openings: Openings::default(),
            read: 0,
            headed: 0,
            again: None,
            most: MOST_RECORDS,
            sink,
            live: Reader::new(first, SEGMENT_HEADER as u64),
            extents: VecDeque::new(),
            arrived: 0,
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

    /// Makes so many shipments.
    #[cfg(test)]
    pub(crate) async fn ship_some(&mut self, shipments: usize) {
        for _ in 0..shipments {
            assert!(matches!(self.ship(false).await.unwrap(), Shipped::Records(_)));
        }
    }

    /// The same, and says that the stream has ended: nothing is appended after it.
    pub async fn close(&mut self) -> bool {
        self.shared.refuse("the server has stopped");
        if !self.finish().await {
            return false;
        }
        self.seals.close();
        self.finish().await
    }

    async fn wait(&self) {
        let idle = Duration::from_micros(u64::try_from(self.seals.idle().micros()).unwrap_or(0));
        if tokio::time::timeout(idle.max(GATHER), self.shared.news.notified()).await.is_err() {
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
                self.most = (self.most * 2).min(MOST_RECORDS);
            }
            Err(trouble) => {
                self.most = (self.most / 2).max(1);
                self.tell(trouble);
            }
        }
        shipped
    }

    async fn ship_next(&mut self, all: bool) -> Result<Shipped, Trouble> {
        if self.doubted {
            self.ask().await?;
        }
        if self.shipment.is_empty() {
            self.read().map_err(|error| Trouble::Hopeless(error.to_string()))?;
        }
        let count = self.shipment.records.len();
        if count > 0 {
            self.date();
            let committed = self.commit().await;
            self.judge(committed)?;
            self.tell_shipped();
        }
        // A header is made over what is in the store, and goes there at once.
        let live = self.backlog.is_empty();
        if live {
            self.seals.make(all && !self.shipment.is_full());
            self.write_headers();
        }
        let headers = [self.shipment.headers.as_slice(), if live { self.seals.unsent() } else { &[] }].concat();
        let checkpoint = if live && self.again.is_none() { self.seals.checkpoint(all) } else { None };
        if !headers.is_empty() || checkpoint.is_some() {
            let sealed = self.sink.seal(&headers, checkpoint.as_ref()).await;
            self.judge(sealed)?;
        }
        let nothing = self.shipment.is_empty() && headers.is_empty() && checkpoint.is_none() && live;
        self.arrived();
        let covered = if live { self.seals.arrived(checkpoint.as_ref()) } else { None };
        if let Some(at) = covered {
            self.shared.checkpoint_at.store(at.micros(), Ordering::Release);
            self.release();
        }
        Ok(if nothing { Shipped::Nothing } else { Shipped::Records(count) })
    }

    async fn commit(&mut self) -> Result<(), CommitFailed> {
        for records in self.shipment.records.chunks(self.most) {
            self.sink.commit(records).await?;
        }
        Ok(())
    }

    fn read(&mut self) -> Result<(), ReadError> {
        if self.backlog.is_empty() { self.read_live() } else { self.read_backlog() }
    }

    /// Headers lie behind this place, or at it.
    fn write_headers(&mut self) {
        let end = self.shared.end();
        if self.seals.write() {
            self.headed = end.number;
        }
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
            self.arrived = records.last().map_or(self.arrived, |last| last.id.seq);
        } else if let Some(last) = records.last() {
            shared.tell_shipped(last.id.seq);
        }
        if self.backlog.is_empty() && shared.shipped() >= shared.appended() {
            shared.oldest.store(0, Ordering::Release);
        }
    }

    /// The shipment is in the store: what it was the last of waits for a checkpoint.
    fn arrived(&mut self) {
        let Shipment { done, .. } = std::mem::take(&mut self.shipment);
        self.done.extend(done);
        if self.extents.is_empty() {
            self.cleared.extend(self.backlog.pop_front());
            self.arrived = 0;
        }
    }

    /// A checkpoint covers every record that is under a header: segments that hold no others can go, all but the one where
    /// the chain ends, if it could be written there.
    fn release(&mut self) {
        let (headed, covered, is_written) = (self.headed, self.seals.next_seq(), self.seals.is_written());
        let can_go = |(number, last): &(u32, u64)| *last < covered && (*number < headed || !is_written);
        let gone: Vec<(u32, u64)> = self.done.extract_if(.., |done| can_go(done)).collect();
        gone.into_iter().for_each(|(number, _)| self.shared.release(number));
        self.cleared.drain(..).for_each(|backlog| clear(&backlog, &self.shared));
        self.openings.overwrite(covered, &self.shared);
    }

    fn read_live(&mut self) -> Result<(), ReadError> {
        let end = self.shared.end();
        while !self.shipment.is_full() {
            match self.live.next(self.live.end(end))? {
                None => {
                    self.again = self.again.filter(|again| end < *again);
                    break;
                }
                Some(Item::Record(record, opening)) => {
                    self.read = record.id.seq;
                    self.openings.note(self.live.segment(), opening, &record, true);
                    self.seals.take(&record);
                    self.shipment.push(record);
                }
                // It went to the store when it was made.
                Some(Item::Header(header)) if self.again.is_some() => self.shipment.headers.push(header),
                Some(Item::Header(_)) => {}
                Some(Item::End) => {
                    let number = self.live.number();
                    self.shipment.done.push((number, self.read));
                    let next = self.shared.segment(number + 1).ok_or(ReadError::Gone(number + 1))?;
                    self.live = Reader::new(next, SEGMENT_HEADER as u64);
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
                Some(Item::Record(record, opening)) => {
                    self.openings.note(reader.segment(), opening, &record, false);
                    self.shipment.push(record);
                }
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
        let records = self.has(stream).await? < self.shared.shipped();
        let headers = self.sink.last_sealed(stream).await.map_err(Trouble::Store)?.unwrap_or(0) < self.seals.sent();
        let mut earlier = false;
        let first = self.backlog.front().map(|first| (first.left.stream, self.arrived));
        let cleared = self.cleared.iter().map(|it| (it.left.stream, it.left.last_seq));
        for (stream, last) in cleared.chain(first).collect::<Vec<_>>() {
            earlier |= self.has(stream).await? < last;
        }
        self.doubted = false;
        if records || headers || earlier {
            self.restart();
            error!(
                %stream,
                "the decision store lost what it had: it was restored, or failed over to a stale copy; what is still in the journal is shipped again"
            );
        }
        Ok(())
    }

    async fn has(&mut self, stream: StreamId) -> Result<u64, Trouble> {
        Ok(self.sink.last_committed(stream).await.map_err(Trouble::Store)?.unwrap_or(0))
    }

    /// Begins again with the oldest that is in the journal. INVARIANT: nothing goes before all of it has arrived again.
    fn restart(&mut self) {
        let kept = self.shared.space().used.first_key_value().map(|(_, segment)| Arc::clone(segment));
        if let Some(kept) = kept {
            self.live = Reader::new(kept, SEGMENT_HEADER as u64);
        }
        self.again = Some(self.shared.end());
        (self.shipment, self.read) = (Shipment::default(), 0);
        self.done.clear();
        self.openings.forget();
        self.extents.clear();
        self.arrived = 0;
        for backlog in self.cleared.drain(..).rev() {
            self.backlog.push_front(backlog);
        }
        let records = self.backlog.iter().map(|backlog| backlog.records).sum();
        self.shared.backlog.store(records, Ordering::Release);
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
