//! What the kernel says of this process: `proc_pid_stat(5)`.

use opentelemetry::metrics::Meter;

/// Ticks a second of the kernel's accounting; 100 for programs on every architecture of Linux.
const TICKS: f64 = 100.0;
const PAGE: u64 = 4_096;

/// Instruments of the process, named by the semantic conventions.
pub(super) fn register(meter: &Meter) {
    let _cpu = meter
        .f64_observable_counter("process.cpu.time")
        .with_unit("s")
        .with_description("Processor time of all threads")
        .with_callback(|counter| {
            if let Some(stat) = Stat::read() {
                counter.observe(stat.cpu, &[]);
            }
        })
        .build();
    let _memory = meter
        .u64_observable_gauge("process.memory.usage")
        .with_unit("By")
        .with_description("Memory that is resident")
        .with_callback(|gauge| {
            if let Some(stat) = Stat::read() {
                gauge.observe(stat.resident, &[]);
            }
        })
        .build();
    let _files = meter
        .u64_observable_gauge("process.open_file_descriptor.count")
        .with_description("Files and sockets that are open")
        .with_callback(|gauge| {
            if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
                gauge.observe(files.count() as u64, &[]);
            }
        })
        .build();
}

/// When the process started, in seconds of Unix time.
pub(super) fn started() -> Option<f64> {
    let boot = std::fs::read_to_string("/proc/stat").ok()?;
    let boot = boot.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse::<f64>().ok()?;
    Some(boot + Stat::read()?.started)
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Stat {
    /// Seconds, in user and kernel mode.
    cpu: f64,
    /// Bytes.
    resident: u64,
    /// Seconds since the machine booted.
    started: f64,
}

impl Stat {
    fn read() -> Option<Self> {
        Self::parse(&std::fs::read_to_string("/proc/self/stat").ok()?)
    }

    /// Fields are counted from the end of the name, which may hold anything.
    fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.rsplit_once(") ")?.1.split_whitespace().collect();
        let number = |field: usize| fields.get(field - 3)?.parse::<f64>().ok();
        let pages = fields.get(24 - 3)?.parse::<u64>().ok()?;
        Some(Self { cpu: (number(14)? + number(15)?) / TICKS, resident: pages * PAGE, started: number(22)? / TICKS })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_counted_from_the_end_of_the_name() {
        let text = "7 (a) b (c) S 1 1 1 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 4 0 300 1000 25 184467 1";
        assert_eq!(Stat::parse(text), Some(Stat { cpu: 2.0, resident: 25 * PAGE, started: 3.0 }));
        assert_eq!(Stat::parse("7 (a) S 1"), None);
    }

    #[test]
    fn this_process_has_run_and_takes_memory() {
        let stat = Stat::read().unwrap();
        assert!(stat.resident > 100_000 && stat.cpu >= 0.0, "{stat:?}");
    }
}
