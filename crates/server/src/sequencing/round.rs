//! One round: the lease, what is not in the log, a checkpoint.

use std::collections::BTreeMap;

use magistrate_ledger::{
    Entry, LogBatch, LogId, SealedHeader, Sequencer, Sink as _, StoredEntry, open_note, read_note, resume, runs_of,
};
use magistrate_model::Span;
use magistrate_pap::Changes as _;
use magistrate_pdp::{GlobalLog as _, Lease, LogError, PolicySource as _, Sequencing as _, Unlogged as _};
use tracing::{info, warn};

use super::{Held, LEASE, RENEW, Sequencing, Setback};
use crate::os;
use crate::signing;

/// Headers and acts, and revisions, that go into the log at a time.
const MOST: u32 = 1_000;
const MOST_REVISIONS: u32 = 20;

impl Sequencing {
    /// Asks for the log if it is not held, appends all that it lacks, and signs it where that is due, or if `all`.
    pub(super) async fn round(&mut self, held: &mut Option<Held>, all: bool) -> Result<(), Setback> {
        if !self.lease(held).await? {
            self.watch.change(|vitals| vitals.holds = false);
            return Ok(());
        }
        let Some(Held { term, sequencer, .. }) = held else { return Ok(()) };
        loop {
            let looked_at = Self::now();
            let entries = self.lacking(sequencer).await?;
            if entries.is_empty() {
                self.watch.change(|vitals| vitals.caught_up_at = Some(looked_at));
                break;
            }
            let batch = sequencer.batch(entries);
            self.append(*term, &batch).await?;
            sequencer.appended(batch);
        }
        self.sign(sequencer, all).await?;
        let (entries, covered) = (sequencer.size(), sequencer.covered());
        self.watch.change(|vitals| (vitals.holds, vitals.entries, vitals.covered) = (true, entries, covered));
        Ok(())
    }

    /// Lets another node have the log.
    pub(super) async fn release(&self) -> Result<Lease, LogError> {
        self.store.lease(self.holder, LogId::new(os::random()), Span::ZERO).await
    }

    /// Whether the log is held, and known as it is in this term.
    async fn lease(&self, held: &mut Option<Held>) -> Result<bool, Setback> {
        let now = Self::now();
        if held.as_ref().is_some_and(|held| now.since(held.asked_at) < RENEW && now >= held.asked_at) {
            return Ok(true);
        }
        let lease = self.store.lease(self.holder, LogId::new(os::random()), LEASE).await?;
        match held {
            Some(known) if lease.held && known.term == lease.term => known.asked_at = now,
            _ if lease.held => {
                self.admit_key().await?;
                let sequencer = self.resume(lease.log).await?;
                info!(log = %lease.log, term = lease.term, size = sequencer.size(), "this node sequences the global log");
                *held = Some(Held { term: lease.term, sequencer, asked_at: now });
            }
            _ => *held = None,
        }
        Ok(lease.held)
    }

    /// The log as it is stored, if it goes on from what was signed: the newest checkpoint that the store has, and those that
    /// this node made.
    async fn resume(&self, log: LogId) -> Result<Sequencer, Setback> {
        let mut known = self.exported(log)?;
        let newest = self.store.newest_checkpoint(log).await?;
        // Whoever signed it: one that is over something else is a reason to stop.
        let newest = newest.map(|it| read_note(&it.note)).transpose().map_err(|why| Setback::Alarm(why.to_string()))?;
        let covered = newest.as_ref().map_or(0, |it| it.size);
        known.extend(newest);
        let size = self.store.log_size().await?;
        let mut stored = BTreeMap::new();
        for run in runs_of(size, &known) {
            stored.insert(run, self.store.log_hashes(run).await?);
        }
        let tree = resume(size, &stored, &known).map_err(|why| Setback::Alarm(why.to_string()))?;
        let change = match self.store.newest_entry("change").await?.as_ref().map(StoredEntry::decode).transpose() {
            Ok(Some(Entry::Change(sealed))) => Some(sealed.record),
            Ok(_) => None,
            Err(why) => return Err(Setback::Alarm(format!("the newest change in the log is damaged: {why}"))),
        };
        Ok(Sequencer::new(log, tree, covered, change.as_ref()))
    }

    /// Checkpoints of the log that this node made, by the file that it keeps.
    fn exported(&self, log: LogId) -> Result<Vec<magistrate_ledger::Checkpoint>, Setback> {
        let keys = [self.signer.verifier()];
        let notes = signing::notes_in(&self.checkpoints).map_err(|error| Setback::Again(error.to_string()))?;
        let own = notes.iter().filter_map(|note| open_note(note, &keys).ok());
        let logs: Vec<_> = own.filter(|it| LogId::of_origin(&it.origin).is_some()).collect();
        match logs.iter().find(|it| it.origin != log.origin()) {
            None => Ok(logs),
            Some(other) => Err(Setback::Alarm(format!(
                "this node signed `{}`, and the store has `{}`; if the store was made anew, take the old line out of `{}`",
                other.origin,
                log.origin(),
                self.checkpoints.display()
            ))),
        }
    }

    async fn append(&self, term: u64, batch: &LogBatch) -> Result<(), Setback> {
        Ok(self.store.append_log(term, batch).await?)
    }

    /// What the log lacks: headers, then revisions, then acts.
    async fn lacking(&self, sequencer: &mut Sequencer) -> Result<Vec<Entry>, Setback> {
        let mut entries = self.headers(sequencer).await?;
        if self.store.standing().await?.head.revision > sequencer.revision() {
            let log = self.store.log(sequencer.revision(), MOST_REVISIONS).await?;
            entries.extend(sequencer.changes(&log).into_iter().map(Entry::Change));
        }
        let logged = self.store.last_logged_act().await?;
        for row in self.store.acts(None, logged, MOST).await? {
            match row.decode() {
                Ok(act) => entries.push(Entry::Act(act)),
                Err(why) => {
                    self.tell_once(format!("act {} is damaged: {why}", row.place));
                    break;
                }
            }
        }
        Ok(entries)
    }

    /// Headers that follow what the log has of their stream. One that does not holds up its stream alone.
    async fn headers(&self, sequencer: &mut Sequencer) -> Result<Vec<Entry>, Setback> {
        let (mut entries, mut held_up) = (Vec::new(), None);
        for row in self.store.unlogged_headers(MOST).await? {
            if held_up.as_ref() == Some(&row.stream) {
                continue;
            }
            let follows = match row.decode() {
                Ok(header) => {
                    self.follows(sequencer, &header).await?.then_some(header).ok_or("it does not follow".to_owned())
                }
                Err(why) => Err(why),
            };
            match follows {
                Ok(header) => {
                    sequencer.expect(&header);
                    entries.push(Entry::Header(header));
                }
                Err(why) => {
                    self.tell_once(format!("header {} of a stream does not go into the log: {why}", row.number));
                    held_up = Some(row.stream);
                }
            }
        }
        Ok(entries)
    }

    async fn follows(&self, sequencer: &mut Sequencer, header: &SealedHeader) -> Result<bool, Setback> {
        if let Some(follows) = sequencer.follows(header) {
            return Ok(follows);
        }
        let (stream, number) = (header.header.stream, header.header.number - 1);
        let before = self.store.find_entry("header", &format!("{stream}/{number}")).await?;
        let Some(Ok(Entry::Header(before))) = before.as_ref().map(StoredEntry::decode) else { return Ok(false) };
        sequencer.know(stream, number, before.hash);
        Ok(sequencer.follows(header).unwrap_or(false))
    }

    /// Signs the log where that is due.
    async fn sign(&mut self, sequencer: &mut Sequencer, all: bool) -> Result<(), Setback> {
        let Some(signed) = sequencer.checkpoint(&self.signer, Self::now(), all) else { return Ok(()) };
        self.sink.seal(&[], Some(&signed)).await?;
        let now = Self::now();
        sequencer.kept(&signed, now);
        (self.export)(&signed);
        self.watch.change(|vitals| vitals.checkpoint_at = Some(now));
        Ok(())
    }

    fn tell_once(&self, why: String) {
        if self.watch.vitals().held_up.as_ref() != Some(&why) {
            warn!(why, "something is held up from the global log; `magistrate audit verify` tells what was done to it");
            self.watch.change(|vitals| vitals.held_up = Some(why));
        }
    }
}
