//! Durability classes.

use std::fmt;
use std::str::FromStr;

/// What a record survives once its receipt exists. Ordered: a later class survives more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum DurabilityClass {
    /// Handed to the kernel: survives the end of the process.
    #[default]
    Process,
    /// On stable storage of the node: survives power loss.
    Disk,
    /// Committed in the decision store.
    Database,
}

/// A text names no durability class.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a durability class; write `process`, `disk` or `database`")]
pub struct UnknownClass(String);

impl DurabilityClass {
    /// The name used in configuration, annotations, records and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Disk => "disk",
            Self::Database => "database",
        }
    }
}

impl FromStr for DurabilityClass {
    type Err = UnknownClass;

    fn from_str(text: &str) -> Result<Self, UnknownClass> {
        [Self::Process, Self::Disk, Self::Database]
            .into_iter()
            .find(|class| class.name() == text)
            .ok_or_else(|| UnknownClass(text.to_owned()))
    }
}

impl fmt::Display for DurabilityClass {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
