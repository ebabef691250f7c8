//! Which records were taken out by retention, by the acts that say so.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use magistrate_model::Digest;

use crate::act::{Act, ActRecord};
use crate::note::NoteVerifier;
use crate::retention::SignedExpiry;
use crate::stream::StreamId;

/// Places whose records were taken out, by stream.
#[derive(Debug)]
pub struct Expired {
    /// Who may say so; nobody in particular where no key is pinned at all.
    pinned: Option<Vec<NoteVerifier>>,
    streams: BTreeMap<StreamId, ExpiredPlaces>,
    /// Days that are held, by name, as far as acts were taken.
    holds: BTreeMap<String, (i64, Option<i64>)>,
}

const UNSIGNED: &str = "the act of retention that tells of them is not signed by a key that is pinned for it";
const REWRAPPED: &str = "the act of retention that tells of them does not say who did it, and when, as was signed";
const HELD: &str = "the act of retention that tells of them came while their day was held";

/// What is known of records of a stream that were taken out.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct ExpiredPlaces {
    /// Where they were, by acts that are believed; ascending, no two next to each other.
    believed: Vec<RangeInclusive<u64>>,
    /// Where they were, by acts that are not believed, and why not.
    claimed: Vec<(RangeInclusive<u64>, &'static str)>,
    /// Leaves of those that share what covers them with records that stay.
    kept: BTreeMap<u64, Digest>,
}

impl Expired {
    /// Acts are believed if one of these keys signed what they say; all are where no key is pinned at all, of nodes neither.
    pub fn new(pinned: &[NoteVerifier], is_pinned: bool) -> Self {
        Self { pinned: is_pinned.then(|| pinned.to_vec()), streams: BTreeMap::new(), holds: BTreeMap::new() }
    }

    /// Takes the next act.
    pub fn take(&mut self, record: &ActRecord) {
        match &record.act {
            Act::Retention(signed) => self.expire(record, signed),
            Act::Hold { name, released: true, .. } => drop(self.holds.remove(name)),
            Act::Hold { name, first, last, .. } => drop(self.holds.insert(name.clone(), (*first, *last))),
            Act::Access { .. }
            | Act::Enrolment { .. }
            | Act::Refusal { .. }
            | Act::Refused(_)
            | Act::Erasure(_)
            | Act::UnsignedErasure { .. }
            | Act::Difference(_) => {}
        }
    }

    fn expire(&mut self, record: &ActRecord, signed: &SignedExpiry) {
        let expiry = &signed.expiry;
        let is_signed = self.pinned.as_ref().is_none_or(|pinned| signed.is_signed_by(pinned));
        let is_held =
            |(first, last): &(i64, Option<i64>)| expiry.day >= *first && last.is_none_or(|last| expiry.day <= last);
        let doubt = match is_signed {
            false => Some(UNSIGNED),
            true if expiry.actor != record.actor || expiry.at != record.at => Some(REWRAPPED),
            true => self.holds.values().any(is_held).then_some(HELD),
        };
        for places in &expiry.places {
            let known = self.streams.entry(places.stream).or_default();
            let range = places.first..=places.last;
            match doubt {
                None => known.believed.push(range),
                Some(why) => known.claimed.push((range, why)),
            }
        }
    }

    /// What is known of a stream, once every act was taken.
    pub fn of(&self, stream: StreamId) -> ExpiredPlaces {
        let mut places = self.streams.get(&stream).cloned().unwrap_or_default();
        places.believed = merged(std::mem::take(&mut places.believed));
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

    /// Why an act is not believed that says that this was taken out.
    pub(super) fn claimed(&self, seq: u64) -> Option<&'static str> {
        self.claimed.iter().find(|(range, _)| range.contains(&seq)).map(|(_, why)| *why)
    }

    /// The leaves that were kept of places from one to before another.
    pub(super) fn kept_between(&self, first: u64, next: u64) -> Vec<(u64, Digest)> {
        self.kept.range(first..next).map(|(seq, leaf)| (*seq, *leaf)).collect()
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
