//! Failures of reading, and their translation into the ports' errors.

use magistrate_pap::rows::InconsistentRow;
use magistrate_pap::{CommitError, StoreError};
use magistrate_pdp::LoadError;

use crate::fault::Fault;

/// Administrative state could not be read.
#[derive(Debug)]
pub(crate) enum ReadError {
    Fault(Fault),
    Inconsistent(InconsistentRow),
}

impl From<InconsistentRow> for ReadError {
    fn from(row: InconsistentRow) -> Self {
        Self::Inconsistent(row)
    }
}

impl From<Fault> for ReadError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
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
            ReadError::Inconsistent(InconsistentRow { table, row, why }) => Self::Inconsistent { table, row, why },
        }
    }
}

impl From<ReadError> for StoreError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Fault(fault) => Self::Unreachable(fault.to_string()),
            ReadError::Inconsistent(row) => row.into(),
        }
    }
}

impl From<ReadError> for CommitError {
    fn from(error: ReadError) -> Self {
        Self::Store(error.into())
    }
}
