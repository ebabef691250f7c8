//! Which records were taken out by retention, by the acts that say so.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use magistrate_model::Digest;

use crate::act::{Act, ActRecord};
use crate::note::NoteVerifier;
use crate::stream::StreamId;

/// Places whose records were taken out, by stream.
#[derive(Debug)]
pub struct Expired {
    /// Who may say so; nobody in particular where no key is pinned at all.
    pinned: Option<Vec<NoteVerifier>>,
    streams: BTreeMap<StreamId, ExpiredPlaces>,
}

/// What is known of records of a stream that were taken out.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct ExpiredPlaces {
    /// Where they were, by acts that are believed; ascending, no two next to each other.
    believed: Vec<RangeInclusive<u64>>,
    /// Where they were, by acts that no pinned key signed.
    claimed: Vec<RangeInclusive<u64>>,
    /// Leaves of those that share what covers them with records that stay.
    kept: BTreeMap<u64, Digest>,
}

impl Expired {
    /// Acts are believed if one of these keys signed what they say; all are where no key is pinned at all, of nodes neither.
    pub fn new(pinned: &[NoteVerifier], is_pinned: bool) -> Self {
        Self { pinned: is_pinned.then(|| pinned.to_vec()), streams: BTreeMap::new() }
    }

    /// Takes the next act.
    pub fn take(&mut self, record: &ActRecord) {
        let Act::Retention(signed) = &record.act else { return };
        let is_believed = self.pinned.as_ref().is_none_or(|pinned| signed.is_signed_by(pinned));
        for places in &signed.expiry.places {
            let known = self.streams.entry(places.stream).or_default();
            let ranges = if is_believed { &mut known.believed } else { &mut known.claimed };
            ranges.push(places.first..=places.last);
        }
    }

    /// What is known of a stream, once every act was taken.
    pub fn of(&self, stream: StreamId) -> ExpiredPlaces {
        let mut places = self.streams.get(&stream).cloned().unwrap_or_default();
        places.believed = merged(std::mem::take(&mut places.believed));
        places.claimed = merged(std::mem::take(&mut places.claimed));
        places
    }
}

impl ExpiredPlaces {
    /// Takes a leaf that was kept of a record that was taken out. It needs no trust: what it is a leaf of is compared with
    /// the root over it.
    pub fn keep(&mut self, seq: u64, leaf: Digest) {
        self.kept.insert(seq, leaf);
    }

    /// The end of what was taken out from this place on, or where the next begins that was.
    pub(super) fn at(&self, seq: u64) -> Stretch {
        let next = self.believed.partition_point(|range| *range.end() < seq);
        match self.believed.get(next) {
            Some(range) if *range.start() <= seq => Stretch::Expired { last: *range.end() },
            Some(range) => Stretch::Expected { before: Some(*range.start()) },
            None => Stretch::Expected { before: None },
        }
    }

    /// Whether an act that no pinned key signed says that this was taken out.
    pub(super) fn is_claimed(&self, seq: u64) -> bool {
        self.claimed.iter().any(|range| range.contains(&seq))
    }

    pub(super) fn kept(&self, seq: u64) -> Option<Digest> {
        self.kept.get(&seq).copied()
    }
}

/// What a place without a record is part of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stretch {
    /// Records that were taken out.
    Expired { last: u64 },
    /// Records that should be there.
    Expected { before: Option<u64> },
}

fn merged(mut ranges: Vec<RangeInclusive<u64>>) -> Vec<RangeInclusive<u64>> {
    ranges.sort_by_key(|range| *range.start());
    let mut merged: Vec<RangeInclusive<u64>> = Vec::new();
    for range in ranges {
        match merged.last_mut() {
            Some(last) if *range.start() <= last.end().saturating_add(1) => {
                *last = *last.start()..=(*last.end()).max(*range.end());
            }
            Some(_) | None => merged.push(range),
        }
    }
    merged
}
