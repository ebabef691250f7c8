//! How refusals are recorded.

use anyhow::bail;
use magistrate_model::Span;
use magistrate_pdp::RefusalSettings;

/// The most of one caller in a minute: they share the store with decisions.
const MOST: u32 = 1_000;
/// The longest that is summed up: so much is lost with the process.
const LONGEST: u32 = 3_600;

/// Resolves `ledger.refusals_per_minute` and `ledger.refusal_summary_seconds`.
pub(super) fn resolve(per_minute: Option<u32>, summary: Option<u32>) -> anyhow::Result<RefusalSettings> {
    let defaults = RefusalSettings::default();
    let alone_per_minute = per_minute.unwrap_or(defaults.alone_per_minute);
    if alone_per_minute > MOST {
        bail!("`ledger.refusals_per_minute` is {alone_per_minute}; the most is {MOST}, and 0 records summaries only");
    }
    let summary = match summary {
        None => defaults.summary,
        Some(seconds) if (1..=LONGEST).contains(&seconds) => Span::seconds(seconds.into()),
        Some(seconds) => bail!("`ledger.refusal_summary_seconds` is {seconds}; give 1 to {LONGEST}"),
    };
    Ok(RefusalSettings { alone_per_minute, summary })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(per_minute: Option<u32>, summary: Option<u32>, expected: &str) {
        let told = match resolve(per_minute, summary) {
            Ok(RefusalSettings { alone_per_minute, summary }) => format!("{alone_per_minute} in {}", summary.micros()),
            Err(error) => error.to_string(),
        };
        assert!(told.contains(expected), "{told}");
    }

    #[test]
    fn quota_and_summary_are_bounded() {
        check(None, None, "20 in 60000000");
        check(Some(0), Some(1), "0 in 1000000");
        check(Some(1_001), None, "the most is 1000");
        check(None, Some(0), "give 1 to 3600");
        check(None, Some(3_601), "give 1 to 3600");
    }
}
