//! Following an import from outside.

use std::ops::ControlFlow;

use magistrate_model::Instant;

/// What an import is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Reading the file's items.
    Read,
    /// Checking them against the store; nothing is written.
    Check,
    /// Putting them.
    Commit,
}

/// How far an import is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What it is doing.
    pub step: Step,
    /// Items done in this step.
    pub done: usize,
    /// Items in all.
    pub of: usize,
}

/// Whoever started an import: told of its progress, and asked for the time.
pub trait Watch {
    /// The time a part is dated by.
    fn now(&self) -> Instant;

    /// Told before each part, and at the end; a break stops the import there.
    fn at(&mut self, progress: Progress) -> ControlFlow<()>;
}
