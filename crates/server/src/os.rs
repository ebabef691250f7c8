//! What only the operating system knows: the time, chance, who is logged in.

use std::os::unix::fs::MetadataExt as _;
use std::time::{SystemTime, UNIX_EPOCH};

use magistrate_ledger::{Nonce, StreamId};
use magistrate_model::Instant;
use magistrate_pdp::Clock;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use uuid::Uuid;

/// The clock of the machine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place where the wall clock is read")]
    fn now(&self) -> Instant {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_micros())
            .ok()
            .and_then(|micros| Instant::from_micros(micros).ok())
            .unwrap_or(Instant::EPOCH)
    }
}

/// 16 random bytes from the operating system.
#[expect(clippy::disallowed_methods, reason = "the one place where chance comes from")]
pub(crate) fn random() -> Nonce {
    // The 122 random bits of a version 4 UUID (RFC 9562, section 5.4).
    *Uuid::new_v4().as_bytes()
}

/// 16 random bytes from a generator of this thread, fit for cryptography, that the operating system seeds, and again after
/// every 64 KiB: for records, of which there are many.
pub(crate) fn nonce() -> Nonce {
    rand::random()
}

/// Lets the process open as many files as the system allows it, and says how many that is. Many systems allow 1,024
/// until they are asked.
pub(crate) fn raise_open_files() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    let current = if setrlimit(Resource::Nofile, raised).is_ok() { limit.maximum } else { limit.current };
    current.unwrap_or(u64::MAX)
}

/// A stream of this process run.
pub(crate) fn stream_id() -> StreamId {
    StreamId::new(random())
}

/// An id for a grant made by hand.
pub(crate) fn grant_id() -> String {
    let [_, _, _, _, _, _, _, _, tail @ ..] = random();
    format!("g-{:016x}", u64::from_be_bytes(tail))
}

/// The person at the keyboard, as far as the environment tells.
pub(crate) fn actor() -> String {
    let named =
        ["USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok().filter(|user| !user.is_empty()));
    let numbered = || std::fs::metadata("/proc/self").map_or("unknown".to_owned(), |own| format!("uid-{}", own.uid()));
    format!("os:{}", named.unwrap_or_else(numbered))
}

/// The name of this machine.
pub(crate) fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if name.trim().is_empty() { "unnamed".to_owned() } else { name.trim().to_owned() }
}
