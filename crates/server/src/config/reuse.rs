//! How earlier answers are used again.

use anyhow::bail;
use magistrate_pdp::ReuseSettings;
use serde::Deserialize;

/// The most that earlier answers may take.
const MOST_BYTES: u64 = 16 * 1024 * 1024 * 1024;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ReuseFile {
    max_bytes: Option<u64>,
}

/// Resolves `decision_reuse.max_bytes`, of which a flag or the environment may say otherwise. 0 evaluates every question.
pub(super) fn resolve(file: &ReuseFile, given: Option<u64>) -> anyhow::Result<ReuseSettings> {
    let defaults = ReuseSettings::default();
    match given.or(file.max_bytes).unwrap_or(defaults.max_bytes) {
        0 => Ok(ReuseSettings::OFF),
        max_bytes if max_bytes <= MOST_BYTES => {
            let most_touched = defaults.most_touched;
            Ok(ReuseSettings { max_bytes, most_touched })
        }
        max_bytes => {
            bail!("`decision_reuse.max_bytes` is {max_bytes}; the most is {MOST_BYTES}, and 0 uses no answer again")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(file: Option<u64>, given: Option<u64>, expected: &str) {
        let told = match resolve(&ReuseFile { max_bytes: file }, given) {
            Ok(settings) => format!("{}, {}", settings.max_bytes, settings.most_touched > 0),
            Err(error) => error.to_string(),
        };
        assert!(told.contains(expected), "{told}");
    }

    #[test]
    fn bytes_are_bounded_and_none_is_off() {
        check(Some(1_000_000), None, "1000000, true");
        check(Some(1_000_000), Some(2_000_000), "2000000, true");
        check(Some(1_000_000), Some(0), "0, false");
        check(Some(MOST_BYTES), None, "17179869184, true");
        check(Some(MOST_BYTES + 1), None, "the most is 17179869184");
        let default = ReuseSettings::default().max_bytes;
        check(None, None, &format!("{default}, "));
    }

    #[test]
    fn unknown_keys_are_errors() {
        let file = toml::from_str::<ReuseFile>("max_bytes = 5").unwrap();
        assert_eq!(resolve(&file, None).unwrap().max_bytes, 5);
        assert!(toml::from_str::<ReuseFile>("bytes = 5").is_err());
    }
}
