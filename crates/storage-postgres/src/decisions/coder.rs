//! What a sink codes records by: dictionaries of records that it ships, one for each day, and another one when records have
//! become others.
//!
//! A dictionary holds what records of its day say, and goes with that day: it is made of those alone.

use std::collections::BTreeMap;

use magistrate_ledger::SealedRecord;
use sha2::{Digest as _, Sha256};

use super::coding::{Dictionary, LONGEST_DICTIONARY};

/// How many records of a day are seen before a dictionary is made of them.
const SAMPLES: usize = 256;

/// After so many records it is asked whether others would be a better dictionary: when they have become so much longer, in
/// hundredths.
const WINDOW: usize = 8_192;
const LONGER: usize = 115;

/// Less than this share of what is coded, in hundredths, is no reason to make a dictionary longer.
const GAIN: usize = 1;

/// How many days are kept in mind: a batch may lie over midnight, and a journal bring yesterday's records.
const DAYS: usize = 3;

/// Coders of the days that are being shipped.
#[derive(Debug, Default)]
pub(super) struct Coders(BTreeMap<i64, Coder>);

/// The coder of a day.
#[derive(Debug, Default)]
pub(super) struct Coder {
    samples: Vec<Vec<u8>>,
    kept: Option<Kept>,
    /// None is kept for this day.
    given_up: bool,
}

/// A dictionary that is stored, and how it does.
#[derive(Debug)]
struct Kept {
    id: i32,
    digest: [u8; 32],
    dictionary: Dictionary,
    /// What a window of records took at first, in bytes.
    at_first: Option<usize>,
    coded: usize,
    records: usize,
}

/// Bodies as they are shipped.
#[derive(Debug)]
pub(super) struct Bodies {
    /// 0 where they are as they were.
    pub(super) dictionary: i32,
    /// The digest of the dictionary.
    pub(super) digest: Option<[u8; 32]>,
    pub(super) each: Vec<Vec<u8>>,
}

impl Coders {
    pub(super) fn of(&mut self, day: i64) -> &mut Coder {
        if self.0.len() == DAYS && !self.0.contains_key(&day) {
            self.0.pop_first();
        }
        self.0.entry(day).or_default()
    }

    /// Forgets them all: what is stored may be other dictionaries.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }
}

impl Coder {
    /// The dictionary to be stored before records are coded, if one is due.
    pub(super) fn due(&mut self, records: &[SealedRecord]) -> Option<Dictionary> {
        if self.given_up || self.kept.is_some() && !self.is_worse() {
            return None;
        }
        // Of a long batch some of every part.
        let step = (records.len() / SAMPLES).max(1);
        let missing = SAMPLES - self.samples.len().min(SAMPLES);
        self.samples.extend(records.iter().step_by(step).take(missing).map(|record| record.bytes.clone()));
        (self.samples.len() >= SAMPLES).then(|| learn(&std::mem::take(&mut self.samples)))
    }

    /// From here on records are coded by this one.
    pub(super) fn keep(&mut self, id: i32, dictionary: Dictionary) {
        let digest = Sha256::digest(dictionary.bytes()).into();
        self.kept = Some(Kept { id, digest, dictionary, at_first: None, coded: 0, records: 0 });
    }

    /// No dictionary is kept for the day: records are left as they are.
    pub(super) fn give_up(&mut self) {
        self.given_up = true;
    }

    pub(super) fn code(&mut self, records: &[SealedRecord]) -> Bodies {
        let Some(kept) = &mut self.kept else {
            let each = records.iter().map(|record| record.bytes.clone()).collect();
            return Bodies { dictionary: 0, digest: None, each };
        };
        let each: Vec<Vec<u8>> = records.iter().map(|record| kept.dictionary.encode(&record.bytes)).collect();
        kept.records += each.len();
        kept.coded += each.iter().map(Vec::len).sum::<usize>();
        Bodies { dictionary: kept.id, digest: Some(kept.digest), each }
    }

    /// Whether the last window took much more than the first; a new one begins.
    fn is_worse(&mut self) -> bool {
        let Some(kept) = self.kept.as_mut().filter(|kept| kept.records >= WINDOW) else {
            return false;
        };
        let each = kept.coded * 100 / kept.records;
        let at_first = *kept.at_first.get_or_insert(each);
        let is_worse = each * 100 > at_first * LONGER;
        // Once found worse it stays so, until another one is kept.
        if !is_worse {
            (kept.coded, kept.records) = (0, 0);
        }
        is_worse
    }
}

/// A dictionary of samples: of one, then of whichever is coded worst, while that gains something.
pub(super) fn learn(samples: &[Vec<u8>]) -> Dictionary {
    let mut bytes = samples.first().cloned().unwrap_or_default();
    let mut dictionary = Dictionary::new(bytes.clone());
    let (mut all, mut worst) = tried(&dictionary, samples);
    while let Some(more) = worst.filter(|more| bytes.len() + more.len() <= LONGEST_DICTIONARY) {
        bytes.extend_from_slice(more);
        let longer = Dictionary::new(bytes.clone());
        let (coded, next) = tried(&longer, samples);
        if coded + all * GAIN / 100 > all {
            break;
        }
        (dictionary, all, worst) = (longer, coded, next);
    }
    dictionary
}

/// How long all samples are when they are coded, and which of them is longest.
fn tried<'a>(dictionary: &Dictionary, samples: &'a [Vec<u8>]) -> (usize, Option<&'a Vec<u8>>) {
    let lengths: Vec<usize> = samples.iter().map(|sample| dictionary.encode(sample).len()).collect();
    let worst = lengths.iter().zip(samples).max_by_key(|(length, _)| **length).map(|(_, sample)| sample);
    (lengths.iter().sum(), worst)
}
