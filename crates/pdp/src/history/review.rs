//! What a stretch of history says of who may do what: which grants and policies it did without, and who was refused most.

use std::collections::{BTreeMap, HashMap, HashSet};

use magistrate_ledger::RecordedDecision;
use magistrate_model::{Decision, GrantId, LoggedChange, PolicyId};

/// Principals whose denials are counted at most: whoever asks for ever new ones costs no more than this.
const PRINCIPALS: usize = 200_000;

/// What was seen of a stretch of history.
#[derive(Debug, Clone, Default)]
pub struct Usage {
    decisions: u64,
    used: HashSet<GrantId>,
    determining: HashSet<PolicyId>,
    denials: HashMap<String, u64>,
    /// Denials of principals that were not counted any more.
    uncounted: u64,
    begun: HashSet<String>,
}

impl Usage {
    /// Takes a decision.
    pub fn take(&mut self, decision: &RecordedDecision) {
        let verdict = &decision.record.verdict;
        self.decisions += 1;
        self.used.extend(verdict.grants.iter().cloned());
        self.determining.extend(verdict.determining.iter().cloned());
        if verdict.decision() == Decision::Deny {
            self.deny(decision.record.query.principal.uid().to_string());
        }
    }

    fn deny(&mut self, principal: String) {
        if self.denials.len() < PRINCIPALS || self.denials.contains_key(&principal) {
            *self.denials.entry(principal).or_default() += 1;
        } else {
            self.uncounted += 1;
        }
    }

    /// Takes a change of the same stretch, in whatever order: what began in it had less time to be used. An id is never
    /// given twice to grants that are in force, so that one which began in the stretch and is in force now did not begin before.
    pub fn change(&mut self, change: &LoggedChange) {
        if change.kind == "grant.add" {
            self.begun.insert(change.key.clone());
        }
    }

    /// Decisions that were taken.
    pub fn decisions(&self) -> u64 {
        self.decisions
    }

    /// Whether a grant made no answer possible.
    pub fn is_unused(&self, grant: &GrantId) -> bool {
        !self.used.contains(grant)
    }

    /// Whether a grant was made within the stretch.
    pub fn is_new(&self, grant: &GrantId) -> bool {
        self.begun.contains(grant.as_str())
    }

    /// Whether a policy decided nothing.
    pub fn never_determined(&self, policy: &PolicyId) -> bool {
        !self.determining.contains(policy)
    }

    /// Who was refused most, and how often; at most so many.
    pub fn most_denied(&self, most: usize) -> Vec<(&str, u64)> {
        let mut ordered: BTreeMap<(std::cmp::Reverse<u64>, &str), u64> = BTreeMap::new();
        for (principal, count) in &self.denials {
            ordered.insert((std::cmp::Reverse(*count), principal.as_str()), *count);
            if ordered.len() > most {
                ordered.pop_last();
            }
        }
        ordered.into_iter().map(|((_, principal), count)| (principal, count)).collect()
    }

    /// Denials of principals that are too many to be counted one by one.
    pub fn uncounted(&self) -> u64 {
        self.uncounted
    }
}
