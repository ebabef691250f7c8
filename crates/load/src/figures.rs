//! What was measured, as text for people and JSON for programs.

use std::io::Write as _;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde_json::{Value as Json, json};

/// Ticks a second of the kernel's accounting, on every architecture of Linux.
const TICKS: f64 = 100.0;

/// What a process used: `proc_pid_stat(5)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Usage {
    /// Seconds of processor time, all threads.
    pub(crate) cpu: f64,
    /// Bytes that are resident.
    pub(crate) resident: u64,
}

impl Usage {
    pub(crate) fn of(pid: u32) -> Option<Self> {
        Self::parse(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    /// Fields are counted from the end of the name, which may hold anything.
    fn parse(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.rsplit_once(") ")?.1.split_whitespace().collect();
        let number = |field: usize| fields.get(field - 3)?.parse::<f64>().ok();
        let resident = fields.get(24 - 3)?.parse::<u64>().ok()? * 4_096;
        Some(Self { cpu: (number(14)? + number(15)?) / TICKS, resident })
    }

    pub(crate) fn since(self, before: Self) -> Self {
        Self { cpu: self.cpu - before.cpu, resident: self.resident }
    }
}

/// One run.
#[derive(Debug)]
pub(crate) struct Figures {
    pub(crate) answered: u64,
    pub(crate) refused: u64,
    /// Decisions in all answers.
    pub(crate) decisions: u64,
    pub(crate) took: Duration,
    pub(crate) latency: Histogram<u64>,
    pub(crate) usage: Option<Usage>,
}

impl Figures {
    /// Answers a second of the server's processor time.
    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    fn per_cpu_second(&self) -> Option<f64> {
        let cpu = self.usage?.cpu;
        (cpu > 0.0).then(|| self.answered as f64 / cpu)
    }

    #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
    fn per_second(&self) -> f64 {
        self.answered as f64 / self.took.as_secs_f64().max(f64::EPSILON)
    }

    fn quantiles(&self) -> [(&'static str, u64); 5] {
        let at = |quantile| self.latency.value_at_quantile(quantile);
        [("p50", at(0.5)), ("p90", at(0.9)), ("p99", at(0.99)), ("p99.9", at(0.999)), ("max", self.latency.max())]
    }

    pub(crate) fn json(&self) -> Json {
        let latency: serde_json::Map<String, Json> =
            self.quantiles().into_iter().map(|(name, value)| (name.to_owned(), json!(value))).collect();
        json!({
            "answered": self.answered, "refused": self.refused, "decisions": self.decisions,
            "seconds": self.took.as_secs_f64(), "per_second": self.per_second(),
            "per_cpu_second": self.per_cpu_second(), "cpu_seconds": self.usage.map(|usage| usage.cpu),
            "resident_bytes": self.usage.map(|usage| usage.resident), "latency_us": latency,
        })
    }

    pub(crate) fn line(&self) -> String {
        let cost = self.per_cpu_second().map_or("unknown".to_owned(), |rate| format!("{rate:.0}"));
        format!("{:.0} answers/s, {cost} per CPU second, {} refused", self.per_second(), self.refused)
    }

    pub(crate) fn text(&self) -> String {
        let latency = self.quantiles().map(|(name, value)| format!("{name} {value}"));
        let resident = self.usage.map_or(0, |usage| usage.resident / 1_048_576);
        format!(
            "{} answered ({} decisions), {} refused in {:.2} s\n{}\nlatency in µs: {}\nresident: {resident} MiB",
            self.answered,
            self.decisions,
            self.refused,
            self.took.as_secs_f64(),
            self.line(),
            latency.join(", ")
        )
    }
}

/// How the second compares with the first.
#[derive(Debug, PartialEq)]
pub(crate) struct Compared {
    /// Answers a CPU second of the second over the first: median, least, most of the rounds.
    cost: Option<[f64; 3]>,
    /// The same of the median latency.
    latency: [f64; 3],
}

/// Compares rounds that were run in turn.
pub(crate) fn compare(a: &[Figures], b: &[Figures]) -> Compared {
    let pairs = || a.iter().zip(b);
    let cost: Option<Vec<f64>> = pairs().map(|(a, b)| Some(b.per_cpu_second()? / a.per_cpu_second()?)).collect();
    #[expect(clippy::cast_precision_loss, reason = "latencies are far below 2^53")]
    let median = |figures: &Figures| figures.latency.value_at_quantile(0.5).max(1) as f64;
    Compared {
        cost: cost.and_then(spread),
        latency: spread(pairs().map(|(a, b)| median(b) / median(a)).collect()).unwrap_or_default(),
    }
}

/// Median, least and most.
fn spread(mut ratios: Vec<f64>) -> Option<[f64; 3]> {
    ratios.sort_by(f64::total_cmp);
    Some([*ratios.get(ratios.len() / 2)?, *ratios.first()?, *ratios.last()?])
}

impl Compared {
    pub(crate) fn json(&self) -> Json {
        let named = |[median, least, most]: [f64; 3]| json!({ "median": median, "least": least, "most": most });
        json!({ "per_cpu_second": self.cost.map(named), "latency_p50": named(self.latency) })
    }

    pub(crate) fn text(&self) -> String {
        let told = |[median, least, most]: [f64; 3]| format!("{median:.3} ({least:.3} to {most:.3})");
        let cost = self.cost.map_or("unknown".to_owned(), told);
        format!("b over a: answers per CPU second {cost}, median latency {}", told(self.latency))
    }
}

/// On standard error, beside the figures.
pub(crate) fn tell(text: &str) {
    let _unwritable = writeln!(std::io::stderr(), "{text}");
}

pub(crate) fn show(json: &Json, text: &str, as_json: bool) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    Ok(if as_json { writeln!(out, "{json}") } else { writeln!(out, "{text}") }?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(answered: u64, cpu: f64, latency: u64) -> Figures {
        let mut histogram = Histogram::new(3).unwrap();
        histogram.record(latency).unwrap();
        let usage = Some(Usage { cpu, resident: 0 });
        Figures { answered, refused: 0, decisions: answered, took: Duration::from_secs(1), latency: histogram, usage }
    }

    #[test]
    fn ratios_are_of_rounds_and_told_with_their_spread() {
        let a = [figures(100, 1.0, 10), figures(100, 1.0, 10), figures(100, 1.0, 10)];
        let b = [figures(100, 0.5, 20), figures(100, 1.0, 10), figures(100, 0.25, 40)];
        let compared = compare(&a, &b);
        assert_eq!(compared, Compared { cost: Some([2.0, 1.0, 4.0]), latency: [2.0, 1.0, 4.0] });
    }

    #[test]
    fn processor_time_is_read_past_any_name() {
        let text = "7 (a) b (c) S 1 1 1 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 4 0 300 1000 25 184467 1";
        assert_eq!(Usage::parse(text), Some(Usage { cpu: 2.0, resident: 25 * 4_096 }));
    }
}
