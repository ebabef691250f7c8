//! What processes use, by the kernel's own accounting.

use std::process::Command;

use anyhow::{Context as _, bail};

/// Ticks a second of that accounting, on every architecture this runs on.
const TICKS: f64 = 100.0;

/// What a process used so far: `proc_pid_stat(5)`, `proc_pid_status(5)`.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Usage {
    /// Seconds of processor time, in user and system, of all threads, ended ones too.
    pub(crate) cpu: f64,
    /// Bytes that are resident.
    pub(crate) resident: u64,
    /// The most bytes that ever were.
    pub(crate) peak: u64,
}

impl Usage {
    /// Of a process that runs.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).ok();
        let (resident, peak) = memory(&read("status")?)?;
        Some(Self { cpu: Accounted::parse(&read("stat")?)?.cpu, resident, peak })
    }

    /// Of this tool.
    pub(crate) fn own() -> Self {
        Self::of(std::process::id()).unwrap_or_default()
    }

    /// The processor time since; memory as it is now.
    pub(crate) fn since(self, before: Self) -> Self {
        Self { cpu: self.cpu - before.cpu, ..self }
    }
}

/// Seconds of processor time of a process and of everything below it, ended or not.
pub(crate) fn family_cpu(root: u32) -> f64 {
    let all: Vec<Accounted> = std::fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| std::fs::read_to_string(entry.ok()?.path().join("stat")).ok())
        .filter_map(|text| Accounted::parse(&text))
        .collect();
    let mut members = vec![root];
    let mut seen = 0;
    while let Some(parent) = members.get(seen).copied() {
        seen += 1;
        members.extend(all.iter().filter(|it| it.parent == parent && it.pid != parent).map(|it| it.pid));
    }
    all.iter().filter(|it| members.contains(&it.pid)).map(|it| it.cpu + it.reaped).sum()
}

/// A line of `/proc/PID/stat`.
#[derive(Debug, PartialEq)]
struct Accounted {
    pid: u32,
    parent: u32,
    cpu: f64,
    /// Of children that have ended and were waited for.
    reaped: f64,
}

impl Accounted {
    /// Fields are counted from the end of the name, which may hold anything.
    fn parse(text: &str) -> Option<Self> {
        let (head, tail) = text.rsplit_once(") ")?;
        let pid = head.split_once(' ')?.0.parse().ok()?;
        let fields: Vec<&str> = tail.split_whitespace().collect();
        let number = |field: usize| fields.get(field - 3)?.parse::<f64>().ok();
        Some(Self {
            pid,
            parent: fields.get(4 - 3)?.parse().ok()?,
            cpu: (number(14)? + number(15)?) / TICKS,
            reaped: (number(16)? + number(17)?) / TICKS,
        })
    }
}

/// Bytes resident, and the most that were.
fn memory(status: &str) -> Option<(u64, u64)> {
    let bytes = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        let kibibytes: u64 = line.trim_start_matches(':').trim().strip_suffix(" kB")?.trim().parse().ok()?;
        Some(kibibytes * 1_024)
    };
    Some((bytes("VmRSS")?, bytes("VmHWM")?))
}

/// Keeps this tool on some cores, written as `taskset -c` has them.
pub(crate) fn pin_self(cores: &str) -> anyhow::Result<()> {
    let own = std::process::id().to_string();
    let output = Command::new("taskset").args(["--all-tasks", "--cpu-list", "--pid", cores, &own]).output();
    let output = output.context("cannot pin the client: `taskset` (package util-linux) does not start")?;
    if !output.status.success() {
        bail!("cannot pin the client to `{cores}`: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

/// Processors of this machine, and how many processes want one, over the last minute.
pub(crate) fn machine() -> (usize, String) {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let minute = load.split_whitespace().next().unwrap_or("unknown").to_owned();
    (std::thread::available_parallelism().map_or(1, std::num::NonZero::get), minute)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_read_past_any_name() {
        let text = "7 (a) b (c) S 3 1 1 0 -1 4194560 1 0 0 0 150 50 20 5 20 0 4 0 300 1000 25 184467 1";
        assert_eq!(Accounted::parse(text), Some(Accounted { pid: 7, parent: 3, cpu: 2.0, reaped: 0.25 }));
        for broken in ["", "7 (a", "7 (a) S 1 2"] {
            assert_eq!(Accounted::parse(broken), None, "{broken}");
        }
    }

    #[test]
    fn memory_is_read_in_bytes() {
        let text = "Name:\tx\nVmPeak:\t  900 kB\nVmHWM:\t     300 kB\nVmRSS:\t     200 kB\n";
        assert_eq!(memory(text), Some((200 * 1_024, 300 * 1_024)));
        assert_eq!(memory("Name:\tx\n"), None, "a process without memory of its own");
    }

    #[test]
    fn work_is_accounted() {
        let before = Usage::own();
        let begun = crate::clock::now();
        let mut sum = 0_u64;
        while Usage::own().since(before).cpu < 0.02 {
            sum = std::hint::black_box(sum.wrapping_add(1));
            assert!(begun.elapsed().as_secs() < 60, "two ticks of work were never accounted");
        }
        let own = Usage::own();
        assert!(own.resident > 0 && own.peak >= own.resident);
        assert!(family_cpu(std::process::id()) >= 0.02);
    }
}
