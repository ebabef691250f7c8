//! The part of `audit verify` that is about the global log and the keys of nodes.

use std::sync::Arc;

use magistrate_ledger::verify::{
    Enrolled, Enrolment, Erasures, Expired, ExpiredPlaces, Finding, HeaderChain, Kind, LogVerifier, Trusted, Verified,
    VerifiedLog,
};
use magistrate_ledger::{Act, ActRecord, Entry, LogId, NoteVerifier, Run, StreamId, Subtree};
use magistrate_model::{Digest, Revision};
use magistrate_pap::Changes as _;
use magistrate_pdp::GlobalLog as _;
use magistrate_pdp::history::stray_openings;

use super::super::acts;
use super::super::exported::Exported;
use crate::store::Store;

/// Where the log is read from.
#[derive(Clone, Copy)]
pub(crate) enum LogOf<'a> {
    /// A store, which has what the log is over as well.
    Store(&'a Store),
    /// Files, which have its entries; acts lie in those whole.
    Files(&'a Exported),
}

/// Entries and acts, and revisions, read at a time.
const PAGE: u32 = 1_000;
const REVISIONS: u32 = 20;
/// Roots read at a time.
const ROOTS: usize = 128;
/// Private values of no record that are told.
const STRAYS: usize = 100;
/// Private values looked at, at a time.
const OPENINGS: u32 = 10_000;

/// The log while it is verified.
pub(super) struct Global {
    /// Which log it is, if it began.
    pub(super) id: Option<LogId>,
    verifier: Option<LogVerifier>,
    /// What acts say of keys; nothing where there are none to be read.
    enrolled: Option<Enrolled>,
    /// What acts say was taken out.
    expired: Expired,
    /// The place of the last act that was read.
    acts_read: u64,
    /// Which acts of erasure are believed, and what those say that were read first.
    nothing_erased: Erasures,
    erasures: Arc<Erasures>,
    findings: Vec<Finding>,
}

/// Of how many decisions acts say that their private values were erased.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ErasedByActs {
    /// By acts that are believed.
    pub(super) decisions: u64,
    /// By those among them that nobody signed.
    pub(super) unsigned: u64,
}

/// What is compared of a stream with the log and with acts.
pub(super) struct OfStream {
    headers: u64,
    /// Over as many of them as the log has.
    root: Option<Digest>,
    stranger: Option<Finding>,
}

/// What was found of it.
pub(super) struct VerifiedGlobal {
    /// Nothing where no log began.
    pub(super) log: Option<VerifiedLog>,
    /// What acts say of keys.
    pub(super) enrolments: Vec<Enrolment>,
    /// About keys.
    pub(super) findings: Vec<Finding>,
}

impl Global {
    /// Reads every entry: first, so that all that they are over was in the store before.
    pub(super) async fn read(
        source: LogOf<'_>,
        trusted: &Trusted,
        (expired, nothing_erased): (Expired, Erasures),
    ) -> anyhow::Result<Self> {
        let mut global = Self {
            id: None,
            verifier: None,
            enrolled: None,
            expired,
            acts_read: 0,
            nothing_erased,
            erasures: Arc::default(),
            findings: Vec::new(),
        };
        match source {
            LogOf::Store(store) => global.stored(store, trusted).await?,
            LogOf::Files(files) => global.exported(files, trusted)?,
        }
        Ok(global)
    }

    async fn stored(&mut self, store: &Store, trusted: &Trusted) -> anyhow::Result<()> {
        self.erasures = Arc::new(erasures(store, self.nothing_erased.clone()).await?);
        self.id = store.log_id().await?;
        self.enrolled = Some(Enrolled::default());
        self.verifier = self.id.map(|id| LogVerifier::new(id, trusted));
        if let Some(verifier) = &mut self.verifier {
            let mut first = 0;
            loop {
                let page = store.entries(first, PAGE).await?;
                page.iter().for_each(|row| verifier.entry(row));
                let Some(last) = page.last() else { break };
                first = u64::try_from(last.index).unwrap_or(first).max(first) + 1;
            }
            verifier.entries_end();
            roots(store, verifier).await?;
        }
        let after = self.acts_read;
        self.acts_read = acts::each(store, None, after, |row| {
            self.verifier.iter_mut().for_each(|verifier| verifier.act(row));
            row.decode().iter().for_each(|act| self.act(&act.record));
            Ok(())
        })
        .await?;
        Ok(())
    }

    fn exported(&mut self, files: &Exported, trusted: &Trusted) -> anyhow::Result<()> {
        self.id = files.log_id()?;
        let Some(id) = self.id else { return Ok(()) };
        self.enrolled = Some(Enrolled::default());
        let mut verifier = LogVerifier::new(id, trusted);
        files.each_entry(id, |row| {
            verifier.entry(row);
            if let Ok(Entry::Act(sealed)) = row.decode() {
                self.act(&sealed.record);
            }
        })?;
        verifier.entries_end();
        verifier.entries_alone();
        self.verifier = Some(verifier);
        Ok(())
    }

    /// What an act says of keys, and of what was taken out.
    fn act(&mut self, record: &ActRecord) {
        self.enrolled.iter_mut().for_each(|known| known.take(record));
        self.expired.take(record);
    }

    /// What of a stream was taken out.
    pub(super) fn expired(&self, stream: StreamId) -> ExpiredPlaces {
        self.expired.of(stream)
    }

    /// How many headers of a stream the log has; the root over so many is compared.
    pub(super) fn logged(&self, id: StreamId) -> u64 {
        self.verifier.as_ref().map_or(0, |log| log.logged(id))
    }

    /// What is compared of a stream: its headers, and who opened it.
    pub(super) fn of_stream(&self, id: StreamId, chain: &HeaderChain) -> OfStream {
        let stranger = self.enrolled.as_ref().and_then(|known| known.stranger(id, chain));
        OfStream { headers: chain.headers(), root: chain.root(), stranger }
    }

    /// What acts say was erased.
    pub(super) fn erasures(&self) -> Arc<Erasures> {
        Arc::clone(&self.erasures)
    }

    /// Compares private values that are not there, or belong nowhere, with what acts say now; of files there is nothing to be
    /// compared. Tells as well of how many decisions acts say that they were erased.
    pub(super) async fn untold(
        &self,
        source: LogOf<'_>,
        streams: &[(StreamId, Verified)],
    ) -> anyhow::Result<(Vec<Finding>, ErasedByActs)> {
        let LogOf::Store(store) = source else { return Ok((Vec::new(), ErasedByActs::default())) };
        let erasures = erasures(store, self.nothing_erased.clone()).await?;
        let mut findings = erasures.judge(streams.iter().map(|(stream, verified)| (*stream, verified)));
        let stray = stray_openings(store, STRAYS, OPENINGS).await?;
        findings.extend(stray.iter().map(|id| {
            let why = "private values lie here that belong to no record".to_owned();
            Finding { kind: Kind::Altered, at: id.to_string(), records: 1, why }
        }));
        Ok((findings, ErasedByActs { decisions: erasures.decisions(), unsigned: erasures.unsigned() }))
    }

    /// Compares what the log has of a stream, and who opened it.
    pub(super) fn stream(&mut self, id: StreamId, OfStream { headers, root, stranger }: OfStream) {
        self.verifier.iter_mut().for_each(|log| log.headers(id, headers, root));
        self.findings.extend(stranger);
    }

    /// Takes what acts say was taken out since acts were read; whether there is any.
    pub(super) async fn more(&mut self, source: LogOf<'_>) -> anyhow::Result<bool> {
        let LogOf::Store(store) = source else { return Ok(false) };
        let mut found = false;
        self.acts_read = acts::each(store, None, self.acts_read, |row| {
            if let Ok(act) = row.decode() {
                found |= matches!(act.record.act, Act::Retention(_));
                self.expired.take(&act.record);
            }
            Ok(())
        })
        .await?;
        Ok(found)
    }

    /// Compares the change log, when every stream was compared.
    pub(super) async fn finish(mut self, source: LogOf<'_>, keys: &[NoteVerifier]) -> anyhow::Result<VerifiedGlobal> {
        if let (Some(verifier), LogOf::Store(store)) = (&mut self.verifier, source) {
            let mut after = Revision::ZERO;
            loop {
                let page = Box::pin(store.log(after, REVISIONS)).await?;
                verifier.changes(&page);
                let Some(last) = page.last() else { break };
                after = last.revision.max(after.next());
            }
        }
        if !keys.is_empty() {
            let not_pinned = self.enrolled.iter().flat_map(|known| known.not_pinned(keys));
            self.findings.extend(not_pinned);
        }
        Ok(VerifiedGlobal {
            log: self.verifier.map(LogVerifier::finish),
            enrolments: self.enrolled.iter().flat_map(Enrolled::all).cloned().collect(),
            findings: self.findings,
        })
    }
}

async fn erasures(store: &Store, mut erasures: Erasures) -> anyhow::Result<Erasures> {
    acts::each(store, None, 0, |row| {
        row.decode().iter().for_each(|act| erasures.take(&act.record));
        Ok(())
    })
    .await?;
    Ok(erasures)
}

/// The roots of complete groups, in runs; where one is missing, one by one.
async fn roots(store: &Store, verifier: &mut LogVerifier) -> anyhow::Result<()> {
    let groups = verifier.groups();
    for groups in groups.chunk_by(|one, next| one.level == next.level).flat_map(|level| level.chunks(ROOTS)) {
        let Some(first) = groups.first() else { continue };
        let run = Run { level: first.level, first: first.index, count: groups.len() as u64 };
        let stored = store.log_hashes(run).await?;
        if stored.len() == groups.len() {
            groups.iter().zip(&stored).for_each(|(group, root)| verifier.root(*group, Some(*root)));
            continue;
        }
        for Subtree { level, index } in groups.iter().copied() {
            let root = store.log_hashes(Run { level, first: index, count: 1 }).await?.first().copied();
            verifier.root(Subtree { level, index }, root);
        }
    }
    Ok(())
}
