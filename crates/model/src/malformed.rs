//! Queries that cannot be asked.

use std::fmt;

/// One thing wrong with a query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Where, in the terms of the wire: `resource.attributes.amount`.
    pub field: String,
    /// What is wrong with it and what to send instead.
    pub description: String,
}

/// A query that is no question: never a decision. Holds at least one violation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed(Vec<Violation>);

impl Malformed {
    /// One violation.
    pub fn at(field: impl Into<String>, description: impl fmt::Display) -> Self {
        Self(vec![Violation { field: field.into(), description: description.to_string() }])
    }

    /// Several at once; `None` if there is none.
    pub fn all(violations: Vec<Violation>) -> Option<Self> {
        (!violations.is_empty()).then_some(Self(violations))
    }

    /// What is wrong.
    pub fn violations(&self) -> &[Violation] {
        &self.0
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, Violation { field, description }) in self.0.iter().enumerate() {
            if n > 0 {
                f.write_str("; ")?;
            }
            write!(f, "`{field}`: {description}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Malformed {}
