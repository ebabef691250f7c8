//! The listener for whoever operates the server: health and metrics.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::Deserialize;

/// Where it listens unless told otherwise.
const DEFAULT: ([u8; 4], u16) = ([127, 0, 0, 1], 7702);
/// The longest that a stop may wait for balancers to look elsewhere.
const LONGEST_DRAIN_DELAY: u64 = 600;

/// The `[ops]` table of the configuration file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct OpsFile {
    listen: Option<OneOrMany>,
    drain_delay_seconds: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

/// The operations listener, resolved.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ops {
    /// Where it listens; nowhere when it is off.
    pub(crate) listen: Vec<SocketAddr>,
    /// How long a server that is told to stop goes on serving while it says that it is not ready.
    pub(crate) drain_delay: Duration,
}

impl Ops {
    /// Where somebody on this machine finds it.
    pub(crate) fn local(&self) -> Option<SocketAddr> {
        self.listen.iter().copied().find(|address| address.ip().is_loopback())
    }
}

/// Resolves the table; `given` is what flags or the environment say.
pub(super) fn resolve(file: OpsFile, given: Option<&str>, drain_delay: Option<u64>) -> anyhow::Result<Ops> {
    let texts = match (given, file.listen) {
        (Some(given), _) => given.split(',').map(|text| text.trim().to_owned()).collect(),
        (None, Some(OneOrMany::One(one))) => vec![one],
        (None, Some(OneOrMany::Many(many))) => many,
        (None, None) => vec![SocketAddr::from(DEFAULT).to_string()],
    };
    let seconds = drain_delay.or(file.drain_delay_seconds).unwrap_or(0);
    if seconds > LONGEST_DRAIN_DELAY {
        bail!("`ops.drain_delay_seconds` is {seconds}; the most is {LONGEST_DRAIN_DELAY}");
    }
    Ok(Ops { listen: addresses(&texts)?, drain_delay: Duration::from_secs(seconds) })
}

fn addresses(texts: &[String]) -> anyhow::Result<Vec<SocketAddr>> {
    if matches!(texts, [off] if off == "off") {
        return Ok(Vec::new());
    }
    let parse = |text: &String| {
        text.parse()
            .with_context(|| format!("`ops.listen` is `{text}`, which is no address; write `127.0.0.1:7702`, or `off`"))
    };
    texts.iter().map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(file: &str, given: Option<&str>, expected: &str) {
        let told = match resolve(toml::from_str(file).unwrap(), given, None) {
            Ok(ops) => format!("{:?} {:?}", ops.listen, ops.local()),
            Err(error) => format!("{error:#}"),
        };
        assert!(told.contains(expected), "{told}");
    }

    #[test]
    fn addresses_are_one_many_or_none() {
        check("", None, "[127.0.0.1:7702]");
        check("listen = 'off'", None, "[] None");
        check("listen = ['0.0.0.0:1', '127.0.0.1:2']", None, "Some(127.0.0.1:2)");
        check("listen = 'off'", Some("[::1]:3, 127.0.0.1:4"), "[[::1]:3, 127.0.0.1:4] Some([::1]:3)");
        check("listen = 'everywhere'", None, "which is no address");
        check("drain_delay_seconds = 6000", None, "the most is 600");
    }
}
