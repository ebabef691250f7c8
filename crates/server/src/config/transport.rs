//! How the door is reached: addresses, TLS, threads and limits.

use std::net::SocketAddr;
use std::num::NonZero;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use magistrate_grpc::{Limits, TlsFiles};
use serde::Deserialize;

/// More threads than this are a mistake.
const MOST_WORKERS: usize = 256;

/// The `[tls]` table of the configuration file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TlsFile {
    certificate_file: Option<PathBuf>,
    key_file: Option<PathBuf>,
    allow_1_2: bool,
}

/// The `[limits]` table; what is not given is as by default.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LimitsFile {
    connections: Option<usize>,
    connections_per_address: Option<usize>,
    in_flight: Option<usize>,
    streams: Option<u32>,
    hello_seconds: Option<u64>,
    idle_seconds: Option<u64>,
    age_seconds: Option<u64>,
    age_grace_seconds: Option<u64>,
    stall_seconds: Option<u64>,
    deadline_seconds: Option<u64>,
    kept_mib: Option<usize>,
}

/// The `[callers]` table of the configuration file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct CallersFile {
    require_key: Option<bool>,
}

/// How the door is reached, resolved.
#[derive(Debug, Clone, Default)]
pub(crate) struct Transport {
    /// Whether callers must present an API key.
    pub(crate) require_key: bool,
    /// Certificate and key, where there are any.
    pub(crate) tls: Option<TlsFiles>,
    /// Threads that serve.
    pub(crate) workers: usize,
    /// What a peer may take.
    pub(crate) limits: Limits,
}

pub(super) fn tls(file: TlsFile, environment: impl Fn(&str) -> Option<String>) -> anyhow::Result<Option<TlsFiles>> {
    let path = |name: &str, file: Option<PathBuf>| environment(name).map(PathBuf::from).or(file);
    let certificate = path("MAGISTRATE_TLS_CERTIFICATE_FILE", file.certificate_file);
    match (certificate, path("MAGISTRATE_TLS_KEY_FILE", file.key_file)) {
        (Some(certificate), Some(key)) => Ok(Some(TlsFiles { certificate, key, allow_1_2: file.allow_1_2 })),
        (None, None) => Ok(None),
        (Some(_), None) => bail!("`tls.certificate_file` is given without `tls.key_file`; give both"),
        (None, Some(_)) => bail!("`tls.key_file` is given without `tls.certificate_file`; give both"),
    }
}

/// Off this machine a key is always required.
pub(super) fn require_key(file: &CallersFile, given: Option<String>, listen: SocketAddr) -> anyhow::Result<bool> {
    let given = given
        .map(|text| text.parse().with_context(|| format!("`MAGISTRATE_REQUIRE_KEY` is `{text}`; write true or false")));
    let asked = given.transpose()?.or(file.require_key);
    match asked {
        Some(false) if !listen.ip().is_loopback() => {
            bail!("`callers.require_key` is false, and `listen` is `{listen}`, which others reach; leave it away")
        }
        asked => Ok(asked.unwrap_or(false) || !listen.ip().is_loopback()),
    }
}

/// 0 is one thread a core.
pub(super) fn workers(given: Option<usize>) -> anyhow::Result<usize> {
    let cores = || std::thread::available_parallelism().map_or(1, NonZero::get);
    match given {
        None | Some(0) => Ok(cores().min(MOST_WORKERS)),
        Some(workers) if workers <= MOST_WORKERS => Ok(workers),
        Some(workers) => bail!("`workers` is {workers}; the most is {MOST_WORKERS}"),
    }
}

pub(super) fn limits(file: &LimitsFile) -> anyhow::Result<Limits> {
    let default = Limits::default();
    let seconds = |given: Option<u64>, default: Duration| given.map_or(default, Duration::from_secs);
    let deadline = seconds(file.deadline_seconds, default.deadline);
    let limits = Limits {
        connections: file.connections.unwrap_or(default.connections),
        connections_per_address: file.connections_per_address.unwrap_or(default.connections_per_address),
        in_flight: file.in_flight.unwrap_or(default.in_flight),
        streams: file.streams.unwrap_or(default.streams),
        hello: seconds(file.hello_seconds, default.hello),
        idle: seconds(file.idle_seconds, default.idle),
        age: seconds(file.age_seconds, default.age),
        age_grace: seconds(file.age_grace_seconds, default.age_grace),
        stall: seconds(file.stall_seconds, default.stall),
        deadline,
        longest_deadline: default.longest_deadline.max(deadline),
        kept_bytes: file.kept_mib.map_or(default.kept_bytes, |mib| mib.saturating_mul(1024 * 1024)),
        ..default
    };
    let times = [limits.hello, limits.idle, limits.age, limits.age_grace, limits.stall, limits.deadline];
    let counts = [limits.connections, limits.connections_per_address, limits.in_flight, limits.kept_bytes];
    if times.iter().any(Duration::is_zero) || counts.contains(&0) || limits.streams == 0 {
        bail!("a limit of 0 lets nobody in; leave it away for the default");
    }
    Ok(limits)
}

/// Off this machine nobody is served in clear.
pub(crate) fn check_reach(what: &str, address: SocketAddr, tls: Option<&TlsFiles>) -> anyhow::Result<()> {
    if address.ip().is_loopback() || tls.is_some() {
        return Ok(());
    }
    Err(anyhow::anyhow!("give `tls.certificate_file` and `tls.key_file`, or listen on a loopback address"))
        .with_context(|| format!("`{what}` is `{address}`, which others reach, and TLS is not configured"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn says<T: std::fmt::Debug>(outcome: anyhow::Result<T>) -> String {
        outcome.map_or_else(|error| format!("{error:#}"), |it| format!("{it:?}"))
    }

    #[test]
    fn certificate_and_key_come_together() {
        let file = |text: &str| says(tls(toml::from_str(text).unwrap(), |_| None));
        assert_eq!(file(""), "None");
        assert!(file("certificate_file = 'a'").contains("give both"));
        assert!(file("key_file = 'a'").contains("give both"));
        assert!(file("certificate_file = 'a'\nkey_file = 'b'").contains("allow_1_2: false"));
        let environment = |name: &str| (name == "MAGISTRATE_TLS_KEY_FILE").then(|| "k".to_owned());
        assert!(says(tls(toml::from_str("certificate_file = 'a'").unwrap(), environment)).contains("\"k\""));
    }

    #[test]
    fn key_is_required_of_others_whatever_is_said() {
        let required = |file: &str, given: Option<&str>, listen: &str| {
            says(require_key(&toml::from_str(file).unwrap(), given.map(str::to_owned), listen.parse().unwrap()))
        };
        assert_eq!(required("", None, "127.0.0.1:1"), "false");
        assert_eq!(required("require_key = true", None, "127.0.0.1:1"), "true");
        assert_eq!(required("require_key = true", Some("false"), "127.0.0.1:1"), "false");
        assert_eq!(required("", None, "0.0.0.0:1"), "true");
        assert!(required("require_key = false", None, "0.0.0.0:1").contains("which others reach"));
        assert!(required("", Some("no"), "127.0.0.1:1").contains("write true or false"));
    }

    #[test]
    fn limits_are_defaults_where_not_given_and_never_zero() {
        assert_eq!(limits(&LimitsFile::default()).unwrap(), Limits::default());
        let file: LimitsFile = toml::from_str("in_flight = 7\nidle_seconds = 1").unwrap();
        assert_eq!((limits(&file).unwrap().in_flight, limits(&file).unwrap().idle), (7, Duration::from_secs(1)));
        for zero in ["in_flight = 0", "stall_seconds = 0", "streams = 0"] {
            assert!(says(limits(&toml::from_str(zero).unwrap())).contains("lets nobody in"), "{zero}");
        }
    }

    #[test]
    fn others_are_served_over_tls_only() {
        let files = TlsFiles { certificate: "a".into(), key: "b".into(), allow_1_2: false };
        for loopback in ["127.0.0.1:1", "[::1]:1", "127.9.9.9:1"] {
            assert!(check_reach("listen", loopback.parse().unwrap(), None).is_ok());
        }
        for other in ["0.0.0.0:1", "[::]:1", "192.0.2.1:1"] {
            assert!(says(check_reach("listen", other.parse().unwrap(), None)).contains("TLS is not configured"));
            assert!(check_reach("listen", other.parse().unwrap(), Some(&files)).is_ok());
        }
    }
}
