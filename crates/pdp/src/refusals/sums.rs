//! Refusals summed up: by reason and source as long as there is room, then by reason alone.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use magistrate_ledger::Act;
use magistrate_model::{Instant, KeyId};

use super::reason::Reason;

/// Where refused calls come from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Source {
    /// The holder of a key.
    Key(KeyId),
    /// An address.
    V4(Ipv4Addr),
    /// The upper half of an address: who has one has all of its network.
    V6(u64),
    /// This process.
    Local,
}

impl Source {
    pub(super) fn of(caller: Option<&KeyId>, address: Option<IpAddr>) -> Self {
        match (caller, address.map(|address| address.to_canonical())) {
            (Some(key), _) => Self::Key(key.clone()),
            (None, Some(IpAddr::V4(address))) => Self::V4(address),
            (None, Some(IpAddr::V6(address))) => Self::V6(u64::try_from(address.to_bits() >> 64).unwrap_or(0)),
            (None, None) => Self::Local,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => write!(f, "key:{key}"),
            Self::V4(address) => address.fmt(f),
            Self::V6(network) => write!(f, "{}/64", Ipv6Addr::from_bits(u128::from(*network) << 64)),
            Self::Local => f.write_str("local"),
        }
    }
}

/// What is called whatever had no room of its own.
const ELSEWHERE: &str = "elsewhere";

/// So many refusals, between two instants.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sum {
    count: u64,
    first: Instant,
    last: Instant,
}

impl Sum {
    pub(super) const fn of(count: u64, at: Instant) -> Self {
        Self { count, first: at, last: at }
    }

    fn add(&mut self, other: Self) {
        self.count = self.count.saturating_add(other.count);
        self.first = self.first.min(other.first);
        self.last = self.last.max(other.last);
    }

    fn act(self, cause: Reason, source: String) -> Act {
        let Self { count, first, last } = self;
        Act::Refusal { cause: cause.name().to_owned(), source, count, first, last }
    }
}

/// Sums by reason and source, of so many pairs at most.
#[derive(Debug, Default)]
pub(super) struct Sums(HashMap<(Reason, Source), Sum>);

impl Sums {
    /// Pairs of reason and source at a time.
    pub(super) const MOST: usize = 256;

    /// Adds to a pair; what has no room is given back.
    pub(super) fn add(&mut self, reason: Reason, source: Source, sum: Sum) -> Result<(), Sum> {
        let is_full = self.0.len() >= Self::MOST;
        match self.0.entry((reason, source)) {
            Entry::Occupied(mut pair) => pair.get_mut().add(sum),
            Entry::Vacant(_) if is_full => return Err(sum),
            Entry::Vacant(pair) => drop(pair.insert(sum)),
        }
        Ok(())
    }

    /// Takes all of it.
    pub(super) fn take(&mut self) -> Vec<((Reason, Source), Sum)> {
        self.0.drain().collect()
    }

    pub(super) fn act(((reason, source), sum): ((Reason, Source), Sum)) -> Act {
        sum.act(reason, source.to_string())
    }
}

/// Sums by reason alone, without a lock: there is always room in them.
#[derive(Debug)]
pub(super) struct Elsewhere([Counters; Reason::ALL.len()]);

#[derive(Debug)]
struct Counters {
    count: AtomicU64,
    first: AtomicI64,
    last: AtomicI64,
}

impl Default for Elsewhere {
    fn default() -> Self {
        Self(std::array::from_fn(|_| Counters {
            count: AtomicU64::new(0),
            first: AtomicI64::new(i64::MAX),
            last: AtomicI64::new(i64::MIN),
        }))
    }
}

impl Elsewhere {
    pub(super) fn add(&self, reason: Reason, sum: Sum) {
        if let Some(counters) = self.0.get(reason as usize) {
            counters.first.fetch_min(sum.first.micros(), Ordering::Relaxed);
            counters.last.fetch_max(sum.last.micros(), Ordering::Relaxed);
            counters.count.fetch_add(sum.count, Ordering::Release);
        }
    }

    /// Takes all of it. Whoever adds meanwhile is taken now or the next time, never both; the instants of that may be
    /// those of the other time, and `now` where there are none.
    pub(super) fn take(&self, now: Instant) -> Vec<Act> {
        let taken = Reason::ALL.iter().zip(&self.0).filter_map(|(reason, counters)| {
            let count = counters.count.swap(0, Ordering::Acquire);
            if count == 0 {
                return None;
            }
            let first = Instant::from_micros(counters.first.swap(i64::MAX, Ordering::Relaxed)).unwrap_or(now);
            let last = Instant::from_micros(counters.last.swap(i64::MIN, Ordering::Relaxed)).unwrap_or(now);
            let sum = Sum { count, first: first.min(last), last: last.max(first) };
            Some(sum.act(*reason, ELSEWHERE.to_owned()))
        });
        taken.collect()
    }
}
