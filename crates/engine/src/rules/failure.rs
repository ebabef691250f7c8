//! Why a condition has no value.

use std::fmt;
use std::sync::Arc;

use cedar_policy_core::ast::{EntityUID, Value};
use cedar_policy_core::evaluator::EvaluationError;
use smol_str::SmolStr;

/// An expression that fails, as Cedar's evaluator fails on it. Made without writing a text: most are only counted.
#[derive(Debug, Clone)]
pub(crate) enum Failure {
    /// A value of another type is needed.
    Type { wanted: &'static str, found: Box<Value> },
    /// A record or an entity has no such attribute.
    NoAttribute(SmolStr),
    /// An entity has no such tag.
    NoTag(SmolStr),
    /// An entity is not known.
    NoEntity(Arc<EntityUID>),
    /// An operator or a function fails on its operands.
    Operator(Arc<EvaluationError>),
    /// The expression is not one of a policy that can be evaluated.
    NotEvaluable,
}

impl Failure {
    pub(super) fn wanted(wanted: &'static str, found: &Value) -> Self {
        Self::Type { wanted, found: Box::new(found.clone()) }
    }
}

impl From<EvaluationError> for Failure {
    fn from(error: EvaluationError) -> Self {
        Self::Operator(Arc::new(error))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Type { wanted, found } => write!(f, "{wanted} is needed, not `{found}`"),
            Self::NoAttribute(name) => write!(f, "there is no attribute `{name}`"),
            Self::NoTag(name) => write!(f, "there is no tag `{name}`"),
            Self::NoEntity(uid) => write!(f, "`{uid}` is not known"),
            Self::Operator(error) => write!(f, "{error}"),
            Self::NotEvaluable => f.write_str("the expression has no value"),
        }
    }
}
