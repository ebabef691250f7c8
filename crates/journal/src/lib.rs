//! The local journal: every record is appended to a file of the node before its answer leaves, and shipped to a store
//! from there, never on a Check's path.
//!
//! [`open`] takes up what earlier runs left, and begins a stream. The [`Journal`] is the appending end; the
//! [`Shipper`] brings to a store what was appended, in order, and removes segments that are there.

mod error;
mod format;
mod journal;
mod open;
mod openings;
mod reader;
mod recover;
mod sealing;
mod segment;
mod shared;
mod shipment;
mod shipper;
mod threads;
mod vitals;

pub use error::OpenError;
pub use journal::Journal;
pub use open::{Keeper, Opened, Options, Unshipped, open};
pub use recover::Left;
pub use sealing::{Export, Sealing};
pub use shipment::Shipped;
pub use shipper::Shipper;
pub use vitals::{Lies, Vitals};

#[cfg(test)]
mod tests;
