//! The lane of refusals: doors tell what they refuse, and somebody else records it.
//!
//! Telling waits for nobody: where the lane is busy for longer than a moment, or full, a refusal is summed up by its
//! reason alone. INVARIANT: what is told is counted once, and memory is bounded, whoever refuses how much.

mod quota;
mod reason;
mod recorder;
mod sums;

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, TryLockError};

use magistrate_ledger::{Act, Asked, RefusedCall};
use magistrate_model::{Instant, KeyId, Span, TraceId};

pub use reason::Reason;
pub use recorder::RefusalRecorder;

use quota::Quota;
use sums::{Elsewhere, Source, Sum, Sums};

/// Refusals that wait to be acts of their own.
const ALONE: usize = 512;
/// How often is tried to get hold of the lane. Whoever has it holds it for less than a microsecond, unless the system
/// takes the processor from them.
const TRIES: usize = 64;
/// Bytes of what was asked, of each part, and of why it was refused.
const LONGEST: usize = 512;

/// How refusals are recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefusalSettings {
    /// Acts of their own for each caller and minute.
    pub alone_per_minute: u32,
    /// How long refusals are summed up.
    pub summary: Span,
}

impl Default for RefusalSettings {
    fn default() -> Self {
        Self { alone_per_minute: 20, summary: Span::seconds(60) }
    }
}

/// A refused call, as its door knows it.
#[derive(Debug, Clone, Copy)]
pub struct Refused<'a> {
    /// Why.
    pub reason: Reason,
    /// How many questions it refuses: one, or the items of a batch that were none.
    pub count: u64,
    /// The key that was presented, if it is in force.
    pub caller: Option<&'a KeyId>,
    /// From where.
    pub address: Option<IpAddr>,
    /// The method that was called.
    pub method: &'static str,
    /// The trace it belongs to.
    pub trace: Option<TraceId>,
}

/// What was told, and what became of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RefusalCounts {
    /// All of it.
    pub told: u64,
    /// Recorded, each as an act of its own.
    pub alone: u64,
    /// Recorded in summaries.
    pub summed: u64,
    /// Not recorded, and never will be.
    pub dropped: u64,
}

impl RefusalCounts {
    /// What waits to be recorded.
    pub const fn waiting(&self) -> u64 {
        self.told.saturating_sub(self.alone.saturating_add(self.summed).saturating_add(self.dropped))
    }
}

/// The lane.
#[derive(Debug)]
pub struct Refusals {
    settings: RefusalSettings,
    lane: Mutex<Lane>,
    elsewhere: Elsewhere,
    told: AtomicU64,
    alone: AtomicU64,
    summed: AtomicU64,
    dropped: AtomicU64,
}

#[derive(Debug)]
struct Lane {
    quota: Quota,
    alone: Vec<(Instant, Box<RefusedCall>)>,
    sums: Sums,
    /// When what is summed up was recorded last.
    summed_at: Option<Instant>,
}

impl Default for Refusals {
    fn default() -> Self {
        Self::new(RefusalSettings::default())
    }
}

impl Refusals {
    /// An empty lane.
    pub fn new(settings: RefusalSettings) -> Self {
        let quota = Quota::new(settings.alone_per_minute);
        Self {
            settings,
            lane: Mutex::new(Lane { quota, alone: Vec::new(), sums: Sums::default(), summed_at: None }),
            elsewhere: Elsewhere::default(),
            told: AtomicU64::new(0),
            alone: AtomicU64::new(0),
            summed: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        }
    }

    /// Takes what a door refused at an instant. What was asked, and why it was refused, are looked for only where they
    /// are recorded.
    pub fn tell(&self, refused: &Refused<'_>, at: Instant, details: impl FnOnce() -> (Asked, String)) {
        self.told.fetch_add(refused.count, Ordering::Relaxed);
        let sum = Sum::of(refused.count, at);
        let Some(mut lane) = self.lane() else { return self.elsewhere.add(refused.reason, sum) };
        let left = match refused.caller.filter(|caller| lane.lets_stand_alone(refused, caller, at)) {
            None => lane.sum_up(refused, sum),
            Some(caller) => {
                drop(lane);
                let call = Box::new(refused.call(caller, details()));
                match self.lane() {
                    Some(mut lane) if lane.alone.len() < ALONE => {
                        lane.alone.push((at, call));
                        Ok(())
                    }
                    Some(mut lane) => lane.sum_up(refused, sum),
                    None => Err(sum),
                }
            }
        };
        if let Err(sum) = left {
            self.elsewhere.add(refused.reason, sum);
        }
    }

    /// Acts that are due, each with its instant: refusals that stand alone, and summaries once their time has come, or if
    /// `all`. Whoever takes them records them, and says what became of each.
    pub fn take(&self, now: Instant, all: bool) -> Vec<(Instant, Act)> {
        let mut taken = Vec::new();
        let (alone, sums) = {
            let mut lane = self.lane.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            lane.quota.forget(now);
            let sums = lane.ends_summary(now, self.settings.summary, all).then(|| lane.sums.take());
            (std::mem::take(&mut lane.alone), sums)
        };
        taken.extend(alone.into_iter().map(|(at, call)| (at, Act::Refused(call))));
        if let Some(sums) = sums {
            taken.extend(sums.into_iter().map(|sum| (now, Sums::act(sum))));
            taken.extend(self.elsewhere.take(now).into_iter().map(|act| (now, act)));
        }
        taken
    }

    /// What was told so far, and what became of it.
    pub fn counts(&self) -> RefusalCounts {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        // What was told is read last: no count is above it.
        let (alone, summed, dropped) = (count(&self.alone), count(&self.summed), count(&self.dropped));
        RefusalCounts { told: count(&self.told), alone, summed, dropped }
    }

    fn recorded(&self, act: &Act) {
        let counter = if matches!(act, Act::Refused(_)) { &self.alone } else { &self.summed };
        counter.fetch_add(count_of(act), Ordering::Relaxed);
    }

    fn dropped(&self, count: u64) {
        self.dropped.fetch_add(count, Ordering::Relaxed);
    }

    /// The lane, unless somebody else has it for longer than a moment.
    fn lane(&self) -> Option<MutexGuard<'_, Lane>> {
        for _ in 0..TRIES {
            match self.lane.try_lock() {
                Ok(lane) => return Some(lane),
                Err(TryLockError::Poisoned(poisoned)) => return Some(poisoned.into_inner()),
                Err(TryLockError::WouldBlock) => std::hint::spin_loop(),
            }
        }
        None
    }
}

impl Lane {
    fn lets_stand_alone(&mut self, refused: &Refused<'_>, caller: &KeyId, at: Instant) -> bool {
        refused.count == 1
            && refused.reason.may_stand_alone()
            && self.alone.len() < ALONE
            && self.quota.take(caller, at)
    }

    fn sum_up(&mut self, refused: &Refused<'_>, sum: Sum) -> Result<(), Sum> {
        self.sums.add(refused.reason, Source::of(refused.caller, refused.address), sum)
    }

    /// Whether what is summed up is due; then the next summary begins.
    fn ends_summary(&mut self, now: Instant, length: Span, all: bool) -> bool {
        let since = *self.summed_at.get_or_insert(now);
        // A clock that went back does not hold a summary up.
        let ends = all || now.since(since) >= length || now < since;
        if ends {
            self.summed_at = Some(now);
        }
        ends
    }
}

impl Refused<'_> {
    fn call(&self, caller: &KeyId, (asked, why): (Asked, String)) -> RefusedCall {
        let Asked { principal, action, resource } = asked;
        let part = |text: Option<String>| text.map(cut);
        RefusedCall {
            cause: self.reason.name().to_owned(),
            caller: caller.clone(),
            address: self.address.map(|address| address.to_canonical()),
            method: self.method.to_owned(),
            asked: Asked { principal: part(principal), action: part(action), resource: part(resource) },
            trace: self.trace,
            why: cut(why),
        }
    }
}

fn cut(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(LONGEST));
    text
}

/// How many refusals an act tells of.
fn count_of(act: &Act) -> u64 {
    match act {
        Act::Refusal { count, .. } => *count,
        Act::Refused(_) => 1,
        Act::Access { .. }
        | Act::Enrolment { .. }
        | Act::Retention(_)
        | Act::Hold { .. }
        | Act::Erasure(_)
        | Act::UnsignedErasure { .. }
        | Act::Difference(_) => 0,
    }
}

#[cfg(test)]
pub(crate) mod tests;
