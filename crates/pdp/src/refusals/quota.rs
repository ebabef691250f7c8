//! How many refusals of one caller are acts of their own.

use std::collections::HashMap;

use magistrate_model::{Instant, KeyId, Span};

/// Callers that are counted at a time; those beyond are summed up.
const CALLERS: usize = 1_024;
/// What a quota is for.
const MINUTE: Span = Span::seconds(60);

/// So many for each caller and minute.
#[derive(Debug)]
pub(super) struct Quota {
    most: u32,
    callers: HashMap<KeyId, Used>,
}

#[derive(Debug)]
struct Used {
    since: Instant,
    count: u32,
}

impl Used {
    /// Whether its minute is over. A clock that went far back begins a new one.
    fn is_over(&self, now: Instant) -> bool {
        now.since(self.since) >= MINUTE || self.since.since(now) >= MINUTE
    }
}

impl Quota {
    pub(super) fn new(most: u32) -> Self {
        Self { most, callers: HashMap::new() }
    }

    /// Whether one more is within the quota; if so, it counts.
    pub(super) fn take(&mut self, caller: &KeyId, now: Instant) -> bool {
        if self.most == 0 {
            return false;
        }
        if let Some(used) = self.callers.get_mut(caller) {
            if used.is_over(now) {
                *used = Used { since: now, count: 0 };
            }
            let within = used.count < self.most;
            used.count += u32::from(within);
            return within;
        }
        if self.callers.len() >= CALLERS {
            return false;
        }
        self.callers.insert(caller.clone(), Used { since: now, count: 1 });
        true
    }

    /// Forgets callers whose minute is over.
    pub(super) fn forget(&mut self, now: Instant) {
        self.callers.retain(|_, used| !used.is_over(now));
    }
}
