//! Records over a midnight, under headers that a checkpoint of the log covers.

use std::collections::BTreeSet;
use std::sync::Arc;

use magistrate_ledger::verify::{Asked, Erasures, Expired, Finding, Kind, StreamVerifier, Trusted};
use magistrate_ledger::{
    Act, Entry, Expiry, NoteSigner, Opening, SealedHeader, SealedRecord, Sealer, Sequencer, Sink, Tree,
};
use magistrate_model::{Instant, Span};
use magistrate_pdp::history::{chained, give_headers};
use magistrate_pdp::retention::{Covering, DayExpiry, DayPlan, Keeping, NotCovered, Retention, covering, plan_day};
use magistrate_pdp::{Evidence, LogError, Sequencing, Unlogged};

use super::super::StoreUnderTest;
use super::super::sample::{Decided, sealed, stream};
use super::{AGO, DAY, LOG, act, at};

pub(super) fn node() -> NoteSigner {
    NoteSigner::new("node-1", &[1; 32])
}

/// Whoever erases.
pub(super) fn eraser() -> NoteSigner {
    NoteSigner::new("eraser", &[6; 32])
}

pub(super) fn keeper() -> NoteSigner {
    NoteSigner::new("records", &[5; 32])
}

pub(super) fn now() -> Instant {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap();
    Instant::from_micros(i64::try_from(since.as_micros()).unwrap()).unwrap()
}

/// The first day of which there are records.
pub(super) fn first_day() -> i64 {
    now().day() - AGO
}

/// Ten records over midnight: six before, four after.
pub(super) fn decided() -> Vec<Decided> {
    let midnight = Instant::from_micros((first_day() + 1) * DAY).unwrap();
    (0..10).map(|n| Decided::at(midnight.plus(Span::millis(n - 6)))).collect()
}

/// A store with ten records over midnight, under headers of four, four and two; the log has these, and a checkpoint covers it.
pub(super) struct Past<S> {
    pub(super) subject: S,
    pub(super) records: Vec<SealedRecord>,
    pub(super) sequencer: Sequencer,
    pub(super) term: u64,
    pub(super) note: String,
}

pub(super) fn headers(records: &[SealedRecord]) -> Vec<SealedHeader> {
    let (signer, at) = (node(), decided()[0].at);
    let opening = Opening { node: "node-1".to_owned(), key: signer.verifier().key(), left: Vec::new() };
    let (mut sealer, first) = Sealer::begin(stream(1), signer, opening, at);
    let mut headers = vec![first];
    for record in records {
        sealer.take(record, at);
        if record.id.seq % 4 == 0 || record.id.seq == 10 {
            headers.extend(sealer.seal_now(at));
        }
    }
    headers
}

impl<S: StoreUnderTest> Past<S> {
    pub(super) async fn begin() -> Self {
        Self::of(&decided()).await
    }

    pub(super) async fn of(decided: &[Decided]) -> Self {
        let subject = S::fresh().await;
        let records = sealed(stream(1), decided);
        let mut sink = subject.sink().await;
        sink.commit(&records).await.unwrap();
        let headers = headers(&records);
        sink.seal(&headers, None).await.unwrap();
        let term = subject.store().lease(stream(9), LOG, Span::seconds(60)).await.unwrap().term;
        let sequencer = Sequencer::new(LOG, Tree::default(), 0, None);
        let mut past = Self { subject, records, sequencer, term, note: String::new() };
        past.log(headers.into_iter().map(Entry::Header).collect()).await;
        past
    }

    /// The log takes entries, and a checkpoint covers all of it.
    pub(super) async fn log(&mut self, entries: Vec<Entry>) {
        let batch = self.sequencer.batch(entries);
        self.store().append_log(self.term, &batch).await.unwrap();
        self.sequencer.appended(batch);
        let signed = self.sequencer.checkpoint(&node(), now(), true).unwrap();
        self.subject.sink().await.seal(&[], Some(&signed)).await.unwrap();
        self.sequencer.kept(&signed, now());
        self.note = signed.note;
    }

    pub(super) fn store(&self) -> &S::Store {
        self.subject.store()
    }

    pub(super) fn trusted(&self) -> Trusted {
        Trusted::of(std::iter::once(self.note.as_str()), &[node().verifier()])
    }

    pub(super) async fn covering(&self) -> Covering {
        let notes = std::iter::once(self.note.as_str());
        covering(self.store(), notes, &[node().verifier()]).await.unwrap().unwrap()
    }

    pub(super) async fn plan(&self, day: i64, with_uncovered: bool) -> Result<DayPlan, NotCovered> {
        self.plan_believing(&eraser(), day, with_uncovered).await
    }

    /// As somebody who pinned a key of whoever may erase.
    pub(super) async fn plan_believing(
        &self,
        by: &NoteSigner,
        day: i64,
        with_uncovered: bool,
    ) -> Result<DayPlan, NotCovered> {
        let (covering, trusted, expired) = (&self.covering().await, &self.trusted(), &self.expired().await);
        let mut erasures = Erasures::new(&[by.verifier()], true, BTreeSet::new());
        let acts = self.store().acts(Some("erasure"), 0, 100).await.unwrap();
        acts.iter().for_each(|row| erasures.take(&row.decode().unwrap().record));
        let erasures = &Arc::new(erasures);
        let keeping = Keeping { covering, trusted, expired, erasures, with_uncovered, now: now() };
        plan_day(self.store(), day, &keeping, &mut |_| ()).await.unwrap()
    }

    pub(super) async fn expiry(&self, plan: DayPlan) -> DayExpiry {
        let DayPlan { day, records, places, kept } = plan;
        let Covering { note, checkpoint } = self.covering().await;
        let (reason, actor) = ("400 days".to_owned(), "os/mia".parse().unwrap());
        let expiry = Expiry { day, records, places, checkpoint: note, reason, actor, at: at() };
        DayExpiry {
            day,
            records,
            acts: vec![act(Act::Retention(expiry.sign(&keeper())))],
            covered: checkpoint.size,
            kept,
        }
    }

    pub(super) async fn expire(&self, day: i64) -> Result<(), LogError> {
        let expiry = self.expiry(self.plan(day, false).await.unwrap()).await;
        self.store().expire(&expiry).await
    }

    pub(super) async fn expired(&self) -> Expired {
        let mut expired = Expired::new(&[keeper().verifier()], true);
        let acts = self.store().acts(Some("retention"), 0, 100).await.unwrap();
        acts.iter().for_each(|row| expired.take(&row.decode().unwrap().record));
        expired
    }

    pub(super) async fn days(&self) -> Vec<(i64, bool)> {
        let days = self.store().days().await.unwrap();
        days.iter().map(|it| (it.day - first_day(), it.held)).collect()
    }

    pub(super) async fn places(&self) -> Vec<u64> {
        let rows = self.store().records(stream(1), 0, 100).await.unwrap();
        rows.iter().map(magistrate_ledger::StoredDecision::seq).collect()
    }

    /// What is found when the stream is verified.
    pub(super) async fn verified(&self) -> Vec<Finding> {
        let store = self.store();
        let chain = chained(store, stream(1), &self.trusted(), Asked::default()).await.unwrap();
        let mut verifier = StreamVerifier::new(chain);
        let mut expired = self.expired().await.of(stream(1));
        store.kept_leaves(stream(1)).await.unwrap().into_iter().for_each(|(seq, leaf)| expired.keep(seq, leaf));
        verifier.expired(expired);
        let rows = store.records(stream(1), 0, 100).await.unwrap();
        for row in &rows {
            give_headers(store, &mut verifier, row.seq(), 2).await.unwrap();
            verifier.record(row);
        }
        give_headers(store, &mut verifier, u64::MAX, 2).await.unwrap();
        verifier.finish(store.last_place(stream(1)).await.unwrap(), now()).findings
    }

    pub(super) async fn expect_expired(&self, records: u64) {
        let findings = self.verified().await;
        assert!(!findings.iter().any(|it| it.kind.is_failure()), "{findings:?}");
        let expired = findings.iter().find(|it| it.kind == Kind::Expired);
        assert_eq!(expired.map_or(0, |it| it.records), records);
    }
}
