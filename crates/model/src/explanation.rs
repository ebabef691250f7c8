//! Why an answer is what it is, for people.

use crate::bundle::PolicyId;
use crate::grant::GrantId;
use crate::instant::Instant;
use crate::uid::EntityUid;

/// What led to an answer: made on demand, and no part of any record.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Explanation {
    /// The policies whose scope matches, in id order: each that was evaluated.
    pub policies: Vec<PolicyExplained>,
    /// The grants in force, in id order.
    pub grants: Vec<GrantExplained>,
    /// Where no permit matches: the permits that lack least, the nearest first.
    pub nearest_permits: Vec<PolicyExplained>,
}

/// How something came out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is true.
    Satisfied,
    /// It is false.
    NotSatisfied,
    /// It could not be evaluated, and why.
    Failed(String),
    /// It was not evaluated: what stands before it is not satisfied.
    NotReached,
}

/// One policy on one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyExplained {
    /// Its id.
    pub id: PolicyId,
    /// Whether it permits; else it forbids.
    pub permits: bool,
    /// Whether it is satisfied.
    pub outcome: Outcome,
    /// What its scope asks of principal, action and resource, in Cedar's notation, and whether it is so.
    pub scope: Vec<(String, bool)>,
    /// Its clauses, as far as they were looked at.
    pub clauses: Vec<ClauseExplained>,
}

impl PolicyExplained {
    /// What it lacks to be satisfied, in Cedar's notation.
    pub fn lacks(&self) -> impl Iterator<Item = &str> {
        let scope = self.scope.iter().filter(|(_, holds)| !holds).map(|(text, _)| text.as_str());
        let clauses = self.clauses.iter().filter(|clause| !clause.holds()).map(|clause| clause.text.as_str());
        scope.chain(clauses)
    }
}

/// One clause on one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClauseExplained {
    /// Its text; an `unless` is told as the `when` it stands for.
    pub text: String,
    /// Whether it lets the policy be satisfied.
    pub outcome: Outcome,
    /// What it read: expressions with their values, or why they have none.
    pub reads: Vec<(String, String)>,
}

impl ClauseExplained {
    /// Whether it lets the policy be satisfied.
    pub fn holds(&self) -> bool {
        self.outcome == Outcome::Satisfied
    }
}

/// A grant in force for the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantExplained {
    /// Its id.
    pub id: GrantId,
    /// Who holds it: the principal, or something it is a member of.
    pub holder: EntityUid,
    /// The roles and scopes it makes the principal a member of, ancestors included.
    pub confers: Vec<EntityUid>,
    /// What it is held on; `None` is everywhere.
    pub resource: Option<EntityUid>,
    /// When it ends; `None` if it does not.
    pub expires_at: Option<Instant>,
    /// Whether the answer rests on it.
    pub used: bool,
}
