//! Whether a day may go, and what stays for the sake of others: everything in it is verified once more before.

use std::collections::BTreeMap;

use magistrate_ledger::verify::{Expired, Finding, Kind, StreamVerifier, Trusted};
use magistrate_ledger::{
    Checkpoint, Covered, DecisionId, LeftStream, NoteVerifier, Path, Places, SealedHeader, StoredHeader, StreamId,
    is_included, open_note, resume, runs_of,
};
use magistrate_model::Instant;

use super::{Retention, StreamOfDay};
use crate::history::{Evidence, HistoryError, by_place, in_log};
use crate::log::GlobalLog;

/// A checkpoint of the global log that was kept outside the store, and that the store's log goes on from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Covering {
    /// The signed note.
    pub note: String,
    /// What it says.
    pub checkpoint: Checkpoint,
}

/// What is known when days are planned.
#[derive(Debug)]
pub struct Keeping<'a> {
    /// The checkpoint that must cover them.
    pub covering: &'a Covering,
    /// Checkpoints that are believed.
    pub trusted: &'a Trusted,
    /// What went before.
    pub expired: &'a Expired,
    /// Whether records may go that nothing covers: what a node left that never came back.
    pub with_uncovered: bool,
    /// The clock.
    pub now: Instant,
}

/// What goes with a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DayPlan {
    /// The day, counted from 1970-01-01.
    pub day: i64,
    /// How many records.
    pub records: u64,
    /// Where they are.
    pub places: Vec<Places>,
    /// Those whose leaves stay.
    pub kept: Vec<DecisionId>,
}

/// A day must not go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotCovered {
    /// What is stored of it is not what was sealed.
    Touched(Finding),
    /// The checkpoint does not cover it, or nothing does.
    Uncovered(String),
}

/// The newest of these notes that a pinned key signed and that is over the store's global log, if that goes on from it.
pub async fn covering<'a, S: GlobalLog>(
    store: &S,
    notes: impl Iterator<Item = &'a str>,
    keys: &[NoteVerifier],
) -> Result<Result<Covering, String>, HistoryError> {
    let Some(log) = store.log_id().await? else {
        return Ok(Err("the global log did not begin yet: no server ran on this store".to_owned()));
    };
    let signed = notes.filter_map(|note| Some((note, open_note(note, keys).ok()?)));
    let Some((note, checkpoint)) = signed.filter(|(_, it)| it.origin == log.origin()).max_by_key(|(_, it)| it.size)
    else {
        return Ok(Err("none of the checkpoints is one of this store's global log, signed by a pinned key".to_owned()));
    };
    let size = store.log_size().await?;
    let mut stored = BTreeMap::new();
    for run in runs_of(size, std::slice::from_ref(&checkpoint)) {
        stored.insert(run, store.log_hashes(run).await?);
    }
    Ok(match resume(size, &stored, std::slice::from_ref(&checkpoint)) {
        Ok(_) => Ok(Covering { note: note.to_owned(), checkpoint }),
        Err(why) => Err(format!("the store's log is not the one that the checkpoint is over: {why}")),
    })
}

/// Looks at a day: every record in it, and those that share a header with them, must be what was sealed, under a header that
/// the checkpoint covers.
pub async fn plan_day<S: Evidence + GlobalLog + Retention>(
    store: &S,
    day: i64,
    keeping: &Keeping<'_>,
    read: &mut (dyn FnMut(u64) + Send),
) -> Result<Result<DayPlan, NotCovered>, HistoryError> {
    let mut plan = DayPlan { day, records: 0, places: Vec::new(), kept: Vec::new() };
    for of_day in store.streams_of_day(day).await? {
        if let Err(why) = plan_stream(store, of_day, keeping, &mut plan).await? {
            return Ok(Err(why));
        }
        read(of_day.records);
    }
    Ok(Ok(plan))
}

async fn plan_stream<S: Evidence + GlobalLog>(
    store: &S,
    of_day: StreamOfDay,
    keeping: &Keeping<'_>,
    plan: &mut DayPlan,
) -> Result<Result<(), NotCovered>, HistoryError> {
    let StreamOfDay { stream, first, last, records } = of_day;
    let headers = store.headers(stream).await?;
    let mut verifier = StreamVerifier::new(stream, &headers, keeping.trusted);
    let mut places = keeping.expired.of(stream);
    store.kept_leaves(stream).await?.into_iter().for_each(|(seq, leaf)| places.keep(seq, leaf));
    verifier.expired(places);
    let covers: Vec<Covered> = headers.iter().filter_map(|row| Some(row.decode().ok()?.header.covers)).collect();
    // A header over the last record is covered with all before it; else a later run tells of what is behind the last one.
    let over = verifier.over(last).map(|(header, end)| (header.clone(), end));
    let (begin, end) = match over {
        Some((header, end)) => {
            if let Err(why) = is_covered(store, &header, keeping).await? {
                return Ok(Err(why));
            }
            (verifier.begin_at(first), Some(end))
        }
        None => match left_of(store, stream, keeping).await? {
            Ok(Some(left)) => {
                let begin = verifier.begin_at(first.min(left.unsealed.first_seq.max(1)));
                verifier.told(left);
                (begin, None)
            }
            Ok(None) if keeping.with_uncovered => (verifier.begin_at(first), None),
            Ok(None) => {
                let why = format!(
                    "records up to {stream}-{last} lie behind the last header of their stream, and no later run tells of them"
                );
                return Ok(Err(NotCovered::Uncovered(why)));
            }
            Err(why) => return Ok(Err(why)),
        },
    };
    let mut going = Going { day: plan.day, covers: &covers, under: Vec::new(), plan };
    by_place(store, stream, begin.saturating_sub(1), end.unwrap_or(u64::MAX), |rows| {
        for row in rows {
            verifier.record(row);
            if row.day == going.day {
                going.take(DecisionId { stream, seq: row.seq() });
            }
        }
        Ok::<_, HistoryError>(())
    })
    .await?;
    going.settle();
    plan.records += records;
    let findings = match end {
        Some(end) => verifier.stop(end),
        None => verifier.finish(store.last_place(stream).await?, keeping.now).findings,
    };
    let found = findings.into_iter().find(|finding| finding.kind.is_failure());
    Ok(found.map_or(Ok(()), |finding| Err(NotCovered::Touched(finding))))
}

/// Whether the log has exactly this header within what the checkpoint covers; those before it in its stream, to which it is
/// chained, are before it there too.
async fn is_covered<S: GlobalLog>(
    store: &S,
    header: &SealedHeader,
    keeping: &Keeping<'_>,
) -> Result<Result<(), NotCovered>, HistoryError> {
    let Checkpoint { size, root, .. } = &keeping.covering.checkpoint;
    let (size, root) = (*size, *root);
    let reference = format!("{}/{}", header.header.stream, header.header.number);
    let entry = store.find_entry("header", &reference).await?;
    let index = entry.and_then(|it| u64::try_from(it.index).ok()).filter(|index| *index < size);
    let Some(index) = index else {
        return Ok(Err(NotCovered::Uncovered(format!(
            "header {reference} is not among the {size} entries that the checkpoint covers; take a newer one"
        ))));
    };
    let path = in_log(store, Path::inclusion(index, size)).await?;
    let is_included = path.is_some_and(|path| is_included(header.hash, index, size, &path, root));
    Ok(match is_included {
        true => Ok(()),
        false => Err(NotCovered::Touched(Finding {
            kind: Kind::Altered,
            at: format!("header {reference}"),
            records: 0,
            why: "it is not the one that the log had when the checkpoint was made".to_owned(),
        })),
    })
}

/// What a later run says of how a stream ended, in a header that the checkpoint covers.
async fn left_of<S: Evidence + GlobalLog>(
    store: &S,
    stream: StreamId,
    keeping: &Keeping<'_>,
) -> Result<Result<Option<LeftStream>, NotCovered>, HistoryError> {
    let mut first: Option<(Instant, SealedHeader, LeftStream)> = None;
    for other in store.streams().await? {
        let headers: Vec<StoredHeader> = store.headers(other).await?;
        let told = StreamVerifier::new(other, &headers, keeping.trusted).tellings(keeping.trusted);
        let told = told.into_iter().find(|(_, left)| left.stream == stream);
        if let Some((at, left)) = told.filter(|(at, _)| first.as_ref().is_none_or(|(earliest, ..)| at < earliest)) {
            let opening = headers.first().and_then(|row| row.decode().ok());
            first = opening.map(|opening| (at, opening, left));
        }
    }
    let Some((_, teller, left)) = first else { return Ok(Ok(None)) };
    Ok(is_covered(store, &teller, keeping).await?.map(|()| Some(left)))
}

/// Places of the day, as they are read, and those under the header that is being read.
struct Going<'a> {
    day: i64,
    covers: &'a [Covered],
    under: Vec<DecisionId>,
    plan: &'a mut DayPlan,
}

impl Going<'_> {
    fn take(&mut self, id: DecisionId) {
        if self.under.last().is_some_and(|last| self.over(last.seq) != self.over(id.seq)) {
            self.settle();
        }
        self.under.push(id);
        match self.plan.places.last_mut() {
            Some(places) if places.stream == id.stream && places.last + 1 == id.seq => places.last = id.seq,
            Some(_) | None => {
                self.plan.places.push(Places { stream: id.stream, first: id.seq, last: id.seq });
            }
        }
    }

    /// The header over a place.
    fn over(&self, seq: u64) -> Option<&Covered> {
        let at = self.covers.partition_point(|covers| covers.next_seq() <= seq);
        self.covers.get(at)
    }

    /// The leaves of those stay that are not all of what lies under their header, or lie under none.
    fn settle(&mut self) {
        let under = std::mem::take(&mut self.under);
        let Some(first) = under.first() else { return };
        let is_all = self.over(first.seq).is_some_and(|covers| covers.count == under.len() as u64);
        if !is_all {
            self.plan.kept.extend(under);
        }
    }
}
