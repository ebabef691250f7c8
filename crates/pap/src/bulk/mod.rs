//! Imports of many entities or grants.
//!
//! A file is read and checked as a whole before anything is written. Up to the size of a part it is one
//! revision, all or nothing; beyond, it is put in parts, each a revision that stands on its own.

mod circles;
mod file;
mod graph;
mod import;
mod prepared;
mod problems;
mod rivals;
mod run;
mod watch;

#[cfg(test)]
mod tests;

pub use file::{ImportFile, ItemKind};
pub use import::{ImportOptions, Imported, PART_SIZE};
pub use watch::{Progress, Step, Watch};
