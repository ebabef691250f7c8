//! Whether a day may go, and what stays for the sake of others: everything in it is verified once more before.

use std::collections::BTreeMap;
use std::sync::Arc;

use magistrate_ledger::verify::{Asked, Erasures, Expired, Finding, HeaderChain, Kind, StreamVerifier, Trusted};
use magistrate_ledger::{
    Checkpoint, Covered, DecisionId, LeftStream, NoteVerifier, Path, Places, SealedHeader, StreamId, is_included,
    open_note, resume, runs_of,
};
use magistrate_model::Instant;

use super::{Retention, StreamOfDay};
use crate::history::{Evidence, HEADER_PAGE, HistoryError, by_place, chained, give_headers, in_log};
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
    /// Whose private values were erased: where others are gone, their day would take the evidence with it.
    pub erasures: &'a Arc<Erasures>,
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
    let StreamOfDay { stream, records, .. } = of_day;
    let (mut verifier, begin, end) = match begun(store, of_day, keeping).await? {
        Ok(begun) => begun,
        Err(why) => return Ok(Err(why)),
    };
    let mut places = keeping.expired.of(stream);
    store.kept_leaves(stream).await?.into_iter().for_each(|(seq, leaf)| places.keep(seq, leaf));
    verifier.expired(places);
    verifier.erasures(Arc::clone(keeping.erasures));
    let mut going = Going { day: plan.day, over: None, under: Vec::new(), plan };
    by_place(store, stream, begin.saturating_sub(1), end.unwrap_or(u64::MAX), async |rows| {
        for row in rows {
            give_headers(store, &mut verifier, row.seq(), HEADER_PAGE).await?;
            let over = verifier.under(row.seq());
            verifier.record(row);
            if row.day == going.day {
                going.take(DecisionId { stream, seq: row.seq() }, over);
            }
        }
        Ok::<_, HistoryError>(())
    })
    .await?;
    going.settle();
    plan.records += records;
    give_headers(store, &mut verifier, end.unwrap_or(u64::MAX), HEADER_PAGE).await?;
    let findings = match end {
        Some(end) => verifier.stop(end),
        None => {
            let found = verifier.finish(store.last_place(stream).await?, keeping.now);
            let untold = found.gone.untold(stream);
            found.findings.into_iter().chain(untold).collect()
        }
    };
    let found = findings.into_iter().find(|finding| finding.kind.is_failure());
    Ok(found.map_or(Ok(()), |finding| Err(NotCovered::Touched(finding))))
}

/// A verifier, the first place that it must be given, and the last, unless that is the stream's.
type Begun = (StreamVerifier, u64, Option<u64>);

/// A header over the last record is covered with all before it; else a later run tells of what is behind the last one.
async fn begun<S: Evidence + GlobalLog>(
    store: &S,
    StreamOfDay { stream, first, last, .. }: StreamOfDay,
    keeping: &Keeping<'_>,
) -> Result<Result<Begun, NotCovered>, HistoryError> {
    let asked = Asked { places: vec![first, last], ..Asked::default() };
    let chain = chained(store, stream, keeping.trusted, asked).await?;
    if let Some((header, end)) = chain.over(last).map(|(header, end)| (header.clone(), end)) {
        if let Err(why) = is_covered(store, &header, keeping).await? {
            return Ok(Err(why));
        }
        let mut verifier = StreamVerifier::new(chain);
        let begin = verifier.begin_at(first);
        return Ok(Ok((verifier, begin, Some(end))));
    }
    let left = match left_of(store, stream, keeping).await? {
        Ok(left) => left,
        Err(why) => return Ok(Err(why)),
    };
    let Some(left) = left else {
        if !keeping.with_uncovered {
            let why = format!(
                "records up to {stream}-{last} lie behind the last header of their stream, and no later run tells of them"
            );
            return Ok(Err(NotCovered::Uncovered(why)));
        }
        let mut verifier = StreamVerifier::new(chain);
        let begin = verifier.begin_at(first);
        return Ok(Ok((verifier, begin, None)));
    };
    // Read again for what the later run says it found.
    let first = first.min(left.unsealed.first_seq.max(1));
    let asked = Asked { header: left.last_header, places: vec![first], ..Asked::default() };
    let mut verifier = StreamVerifier::new(chained(store, stream, keeping.trusted, asked).await?);
    let begin = verifier.begin_at(first);
    verifier.told(left);
    Ok(Ok((verifier, begin, None)))
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
        let chain = chained(store, other, keeping.trusted, Asked::default()).await?;
        let told = told_of(&chain, stream);
        if let Some((at, left)) = told.filter(|(at, _)| first.as_ref().is_none_or(|(earliest, ..)| at < earliest)) {
            first = chain.first().map(|opening| (at, opening.clone(), left));
        }
    }
    let Some((_, teller, left)) = first else { return Ok(Ok(None)) };
    Ok(is_covered(store, &teller, keeping).await?.map(|()| Some(left)))
}

fn told_of(chain: &HeaderChain, stream: StreamId) -> Option<(Instant, LeftStream)> {
    chain.tellings().find(|(_, left)| left.stream == stream).map(|(at, left)| (at, left.clone()))
}

/// Places of the day, as they are read, and those under the header that is being read.
struct Going<'a> {
    day: i64,
    /// The header over these.
    over: Option<Covered>,
    under: Vec<DecisionId>,
    plan: &'a mut DayPlan,
}

impl Going<'_> {
    fn take(&mut self, id: DecisionId, over: Option<Covered>) {
        if over != self.over {
            self.settle();
            self.over = over;
        }
        self.under.push(id);
        match self.plan.places.last_mut() {
            Some(places) if places.stream == id.stream && places.last + 1 == id.seq => places.last = id.seq,
            Some(_) | None => {
                self.plan.places.push(Places { stream: id.stream, first: id.seq, last: id.seq });
            }
        }
    }

    /// The leaves of those stay that are not all of what lies under their header, or lie under none.
    fn settle(&mut self) {
        let under = std::mem::take(&mut self.under);
        let is_all = self.over.is_some_and(|covers| covers.count == under.len() as u64);
        if !is_all {
            self.plan.kept.extend(under);
        }
    }
}
