//! How long a caller will wait.

use std::time::Duration;

use tonic::metadata::MetadataMap;

/// Patience with callers that name no deadline.
const DEFAULT: Duration = Duration::from_secs(10);

/// The deadline of the `grpc-timeout` metadata, else 10 s. A value that is none counts as absent, as it
/// does for tonic itself, which ends the call at the deadline.
pub(crate) fn patience(metadata: &MetadataMap) -> Duration {
    let value = metadata.get("grpc-timeout").and_then(|value| value.to_str().ok());
    value.and_then(parse).unwrap_or(DEFAULT)
}

/// Parses 1 to 8 digits and a unit, as the gRPC specification writes timeouts.
fn parse(text: &str) -> Option<Duration> {
    let unit = text.chars().last()?;
    let digits = text.strip_suffix(unit)?;
    let well_formed = (1..=8).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    let number: u64 = well_formed.then(|| digits.parse().ok())??;
    match unit {
        'H' => Some(Duration::from_secs(number * 3_600)),
        'M' => Some(Duration::from_secs(number * 60)),
        'S' => Some(Duration::from_secs(number)),
        'm' => Some(Duration::from_millis(number)),
        'u' => Some(Duration::from_micros(number)),
        'n' => Some(Duration::from_nanos(number)),
        _ => None,
    }
}
