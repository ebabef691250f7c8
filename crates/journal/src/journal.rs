//! The appending end.

use std::sync::Arc;

use magistrate_ledger::{Append, CommitFailed, Durable, PlacedRecord, SealedHeader};
use magistrate_model::DurabilityClass;
use tokio::sync::oneshot;

use crate::format::{Frame, SEGMENT_HEADER};
use crate::segment::Segment;
use crate::shared::{Position, Shared, told};

/// Appends to the segments of one stream.
///
/// An append is one write to a file whose space is there already: it takes about a microsecond, and is made by whoever
/// calls, without handing anything to another thread. What it wrote survives the end of the process.
#[derive(Debug)]
pub struct Journal {
    shared: Arc<Shared>,
    current: Arc<Segment>,
    seed: crc32fast::Hasher,
    offset: u64,
    /// Kept between appends for its memory.
    buffer: Vec<u8>,
}

/// What an append will write, if there is room for all of it.
#[derive(Debug)]
struct Plan {
    chunks: Vec<Chunk>,
    /// Bytes of room that are used up.
    used: u64,
}

/// Bytes of the buffer, and where they go.
#[derive(Debug)]
struct Chunk {
    segment: Arc<Segment>,
    at: u64,
    from: usize,
    to: usize,
}

impl Journal {
    pub(crate) fn new(shared: Arc<Shared>, first: Arc<Segment>) -> Self {
        let seed = first.id.seed();
        Self { shared, current: first, seed, offset: SEGMENT_HEADER as u64, buffer: Vec::new() }
    }

    /// Lays frames out behind what is there. Segments that were taken for it are given back if it does not fit.
    fn plan<'a>(&mut self, frames: impl Iterator<Item = Frame<'a>>) -> Result<Plan, String> {
        self.buffer.clear();
        let mut chunks = vec![Chunk { segment: Arc::clone(&self.current), at: self.offset, from: 0, to: 0 }];
        let mut seed = self.seed.clone();
        let (mut at, mut used) = (self.offset, 0);
        for frame in frames {
            let (size, last) = (frame.size() as u64, self.shared.last_for(frame.kind));
            if at + size > last {
                let fits = SEGMENT_HEADER as u64 + size <= last;
                let Some(segment) = fits.then(|| self.shared.take_spare()).flatten() else {
                    self.give_back(chunks);
                    return Err(self.no_room(size));
                };
                Frame::END.put(&mut self.buffer, &seed);
                used += self.shared.left_for_records(at);
                (seed, at) = (segment.id.seed(), SEGMENT_HEADER as u64);
                let from = self.buffer.len();
                if let Some(chunk) = chunks.last_mut() {
                    chunk.to = from;
                }
                chunks.push(Chunk { segment, at, from, to: from });
            }
            frame.put(&mut self.buffer, &seed);
            used += self.shared.left_for_records(at) - self.shared.left_for_records(at + size);
            at += size;
        }
        if let Some(chunk) = chunks.last_mut() {
            chunk.to = self.buffer.len();
        }
        Ok(Plan { chunks, used })
    }

    fn give_back(&self, chunks: Vec<Chunk>) {
        chunks.into_iter().skip(1).rev().for_each(|chunk| self.shared.give_back(chunk.segment));
    }

    fn no_room(&self, size: u64) -> String {
        if size > self.shared.capacity() {
            return format!("a record of {size} bytes does not fit a segment; raise `ledger.segment_bytes`");
        }
        self.shared.room.why().unwrap_or_else(|| "the journal has no room; it is being made".to_owned())
    }

    /// INVARIANT: what is written lies behind everything that was acknowledged, in space that nothing else uses. A write
    /// that fails all the same leaves a disk that is not to be trusted.
    fn write(&self, plan: &Plan) -> Result<(), String> {
        for chunk in &plan.chunks {
            let bytes = self.buffer.get(chunk.from..chunk.to).unwrap_or_default();
            if let Err(error) = chunk.segment.write(chunk.at, bytes) {
                let path = chunk.segment.path.display();
                let why = format!("cannot write to `{path}`: {error}; look at the disk and the kernel log");
                self.shared.fail(&why);
                return Err(why);
            }
        }
        Ok(())
    }

    fn accept(&mut self, plan: Plan, last: Option<u64>) -> Position {
        if let Some(chunk) = plan.chunks.into_iter().next_back() {
            self.offset = chunk.at + (chunk.to - chunk.from) as u64;
            if chunk.segment.id != self.current.id {
                self.seed = chunk.segment.id.seed();
                self.current = chunk.segment;
            }
        }
        self.shared.room.add(-i64::try_from(plan.used).unwrap_or(i64::MAX));
        let end = Position { number: self.current.id.number, offset: self.offset };
        self.shared.advance(end, last);
        end
    }

    /// What a store does not take is not begun where a store is to be waited for.
    fn check(&self, class: Option<DurabilityClass>) -> Result<(), String> {
        if let Some(why) = self.shared.room.closed() {
            return Err(why);
        }
        if class == Some(DurabilityClass::Database)
            && let Some(why) = self.shared.trouble()
        {
            return Err(why);
        }
        match self.current.is_linked() {
            true => Ok(()),
            false => {
                let why = format!(
                    "`{}` was removed while in use; restart, and find out who did",
                    self.current.path.display()
                );
                self.shared.refuse(&why);
                Err(why)
            }
        }
    }
}

impl Append for Journal {
    fn append(&mut self, batch: &[PlacedRecord]) -> Result<Durable, CommitFailed> {
        let failed = |why| CommitFailed { records: batch.len(), conflict: false, why };
        let class = batch.iter().map(|record| record.class).max();
        self.check(class).map_err(failed)?;
        let plan = self.plan(batch.iter().map(Frame::record)).map_err(failed)?;
        self.write(&plan).map_err(failed)?;
        let last = batch.last().map(|record| record.id.seq);
        let end = self.accept(plan, last);
        let (waiter, waiting) = oneshot::channel();
        match class {
            None | Some(DurabilityClass::Process) => return Ok(Durable::Already),
            Some(DurabilityClass::Disk) => self.shared.once_synced(end, waiter),
            Some(DurabilityClass::Database) => {
                self.shared.once_shipped(last.unwrap_or(0), waiter);
            }
        }
        // Closed meanwhile: whoever waits is told, but a waiter that came after that is told here.
        if let Some(why) = self.shared.room.closed() {
            self.shared.refuse(&why);
        }
        Ok(Durable::Once(Box::pin(told(batch.len(), waiting))))
    }

    fn append_header(&mut self, header: &SealedHeader) -> Result<(), CommitFailed> {
        let failed = |why| CommitFailed { records: 0, conflict: false, why };
        let plan = self.plan(std::iter::once(Frame::header(header))).map_err(failed)?;
        self.write(&plan).map_err(failed)?;
        self.accept(plan, None);
        Ok(())
    }
}
