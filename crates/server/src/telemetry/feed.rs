//! Decisions as log records of OpenTelemetry, for whoever watches them elsewhere: once they are in the store, as they come.
//!
//! A feed and no ledger: what a receiver does not take in time is left out, and what is shipped twice is told twice. Each has
//! its id, by which it is found in the history.

use std::time::{Duration, SystemTime};

use magistrate_ledger::SealedRecord;
use opentelemetry::logs::{AnyValue, LogRecord as _, Logger as _, LoggerProvider as _, Severity};
use opentelemetry_sdk::logs::{SdkLogger, SdkLoggerProvider};

/// What a log record of a decision is called.
const EVENT: &str = "magistrate.decision";

/// Tells of decisions, if it is wanted.
#[derive(Debug, Clone)]
pub(crate) struct Feed(Option<SdkLogger>);

impl Feed {
    pub(super) fn new(provider: Option<&SdkLoggerProvider>) -> Self {
        Self(provider.map(|provider| provider.logger("magistrate")))
    }

    /// Tells of records that are in the store.
    pub(super) fn tell(&self, records: &[SealedRecord]) {
        let Some(logger) = &self.0 else { return };
        for record in records {
            let mut told = logger.create_log_record();
            told.set_event_name(EVENT);
            told.set_severity_number(Severity::Info);
            told.set_timestamp(time(record));
            let index = &record.index;
            let text = |text: &str| AnyValue::String(text.to_owned().into());
            told.set_body(text(&format!("{} {} on {}", index.principal, index.action, index.resource)));
            told.add_attribute("magistrate.decision_id", text(&record.id.to_string()));
            told.add_attribute("magistrate.decision", text(index.decision));
            told.add_attribute("magistrate.cause", text(index.cause));
            told.add_attribute("magistrate.principal", text(&index.principal));
            told.add_attribute("magistrate.action", text(&index.action));
            told.add_attribute("magistrate.resource", text(&index.resource));
            told.add_attribute("magistrate.class", text(record.class.name()));
            if let Some(id) = &index.request_id {
                told.add_attribute("magistrate.request_id", text(id));
            }
            logger.emit(told);
        }
    }
}

/// When it was decided, as the system's clock would tell it.
fn time(record: &SealedRecord) -> SystemTime {
    let micros = Duration::from_micros(record.recorded_at.micros().unsigned_abs());
    match record.recorded_at.micros() >= 0 {
        true => SystemTime::UNIX_EPOCH + micros,
        false => SystemTime::UNIX_EPOCH,
    }
}
