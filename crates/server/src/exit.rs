//! Exit codes, one table for all verbs, and how an error is told.

use std::io::Write as _;
use std::process::ExitCode;

use magistrate_pap::AdminError;
use magistrate_pdp::HistoryError;

/// How a verb ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done; allowed; nothing to change.
    Ok = 0,
    /// Something that was examined does not work.
    Failed = 1,
    /// Schema or policies are not valid.
    InvalidPolicy = 3,
    /// Tests failed.
    TestsFailed = 4,
    /// `check` was answered with a deny.
    Deny = 5,
    /// A dry run found changes.
    ChangesPending = 6,
    /// History is not what was recorded.
    Integrity = 7,
}

/// Any other error.
const ERROR: u8 = 1;
const INTEGRITY: u8 = Exit::Integrity as u8;

impl Exit {
    pub(crate) fn code(self) -> ExitCode {
        ExitCode::from(self as u8)
    }
}

/// Tells an error on standard error and gives its exit code.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    if is_broken_pipe(error) {
        return ExitCode::SUCCESS;
    }
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string).filter(|cause| !error.to_string().contains(cause)) {
        text.push_str(": ");
        text.push_str(&cause);
    }
    let prefix = if text.starts_with("error[") { "" } else { "error: " };
    let _unwritable = writeln!(anstream::stderr(), "{prefix}{text}");
    ExitCode::from(code_of(error))
}

fn code_of(error: &anyhow::Error) -> u8 {
    let damaged = |error: &HistoryError| matches!(error, HistoryError::Damaged { .. });
    match (error.downcast_ref::<AdminError>(), error.downcast_ref::<HistoryError>()) {
        (Some(AdminError::Findings(_)), _) => Exit::InvalidPolicy as u8,
        (_, Some(error)) if damaged(error) => INTEGRITY,
        _ => ERROR,
    }
}

/// Whoever read our output has seen enough.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let broken = |error: &std::io::Error| error.kind() == std::io::ErrorKind::BrokenPipe;
    error.chain().any(|cause| cause.downcast_ref::<std::io::Error>().is_some_and(broken))
}
