//! The decision point: takes a query through facts, evaluation and the ledger.

mod ports;

pub use ports::{DecisionFilter, DecisionHistory, HistoryError, LoadError, Page, PolicySource, Position};
