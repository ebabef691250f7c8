//! Failures of reading, and their translation into the ports' errors.

use std::fmt;

use magistrate_pap::{CommitError, StoreError};
use magistrate_pdp::LoadError;

use crate::fault::Fault;

/// Administrative state could not be read.
#[derive(Debug)]
pub(crate) enum ReadError {
    Fault(Fault),
    Inconsistent { table: &'static str, row: String, why: String },
}

impl ReadError {
    /// A row that no valid value can be made of.
    pub(crate) fn inconsistent(table: &'static str, row: &str, why: impl fmt::Display) -> Self {
        Self::Inconsistent { table, row: row.escape_debug().to_string(), why: why.to_string() }
    }
}

impl From<sqlx::Error> for ReadError {
    fn from(error: sqlx::Error) -> Self {
        Self::Fault(Fault::of(&error))
    }
}

impl From<ReadError> for LoadError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Fault(fault) => Self::Unreachable(fault.to_string()),
            ReadError::Inconsistent { table, row, why } => Self::Inconsistent { table, row, why },
        }
    }
}

impl From<ReadError> for StoreError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Fault(fault) => Self::Unreachable(fault.to_string()),
            ReadError::Inconsistent { table, row, why } => Self::Inconsistent { table, row, why },
        }
    }
}

impl From<ReadError> for CommitError {
    fn from(error: ReadError) -> Self {
        Self::Store(error.into())
    }
}
