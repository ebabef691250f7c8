//! What was measured, as text for people and JSON for programs.

mod compare;

use std::time::Duration;

use anyhow::bail;
use serde_json::{Map, Value as Json, json};

use crate::drive::{Ran, Tally};

pub(crate) use compare::{compare, spread};

/// One run.
#[derive(Debug)]
pub(crate) struct Figures {
    /// What was loaded, as it was named.
    pub(crate) name: String,
    pub(crate) ran: Ran,
    /// Whether every answered decision, and no other, was found in the history; `None` if nobody looked.
    pub(crate) history_verified: Option<bool>,
    /// From the start of the server to its first answer.
    pub(crate) ready_after: Option<Duration>,
}

/// Failures that an overloaded server may answer with.
const REFUSALS: [&str; 2] = ["RESOURCE_EXHAUSTED", "UNAVAILABLE"];

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^53")]
fn count(count: u64) -> f64 {
    count as f64
}

impl Figures {
    fn tally(&self) -> &Tally {
        &self.ran.measured
    }

    /// Fails if the server decided otherwise than it must, or did not answer everything; refusals of an overloaded
    /// server may be tolerated.
    pub(crate) fn judge(&self, refusals_are_fine: bool) -> anyhow::Result<()> {
        for tally in [&self.ran.warm_up, self.tally()] {
            if tally.told.wrong > 0 {
                bail!("`{}` decided {} questions otherwise than is right", self.name, tally.told.wrong);
            }
            let tolerated = |kind: &str| refusals_are_fine && REFUSALS.contains(&kind);
            let failed: Vec<String> = tally
                .failures
                .iter()
                .filter(|(kind, _)| !tolerated(kind.as_str()))
                .map(|(kind, count)| format!("{count} {kind}"))
                .collect();
            if !failed.is_empty() {
                let first = tally.first_failure.as_deref().unwrap_or_default();
                bail!("`{}` did not answer everything: {}; the first: {first}", self.name, failed.join(", "));
            }
        }
        Ok(())
    }

    pub(crate) fn decisions(&self) -> u64 {
        match self.tally().told.allowed + self.tally().told.denied {
            // The echo decides nothing.
            0 => self.tally().answered,
            some => some,
        }
    }

    pub(crate) fn per_second(&self) -> f64 {
        count(self.tally().answered) / self.ran.took.as_secs_f64().max(f64::EPSILON)
    }

    pub(crate) fn decisions_per_second(&self) -> f64 {
        count(self.decisions()) / self.ran.took.as_secs_f64().max(f64::EPSILON)
    }

    pub(crate) fn cpu_seconds(&self) -> Option<f64> {
        self.ran.used.server.map(|usage| usage.cpu).filter(|cpu| *cpu > 0.0)
    }

    /// Answers a second of the server's processor time.
    pub(crate) fn per_cpu_second(&self) -> Option<f64> {
        Some(count(self.tally().answered) / self.cpu_seconds()?)
    }

    /// Microseconds of the server's processor time a decision.
    pub(crate) fn cpu_micros(&self) -> Option<f64> {
        Some(self.cpu_seconds()? * 1e6 / count(self.decisions().max(1)))
    }

    pub(crate) fn resident(&self) -> Option<u64> {
        self.ran.used.server.map(|usage| usage.resident)
    }

    /// The latency that a share of answers did not exceed, in microseconds.
    pub(crate) fn latency(&self, quantile: f64) -> u64 {
        self.tally().latency.value_at_quantile(quantile)
    }

    /// The same of how late questions were sent.
    pub(crate) fn lag(&self, quantile: f64) -> u64 {
        self.tally().lag.value_at_quantile(quantile)
    }

    /// Whether the tool was as busy as it can be: then it is the tool that was measured.
    pub(crate) fn tool_was_busy(&self, threads: usize) -> bool {
        self.ran.client_cpu > 0.9 * self.ran.took.as_secs_f64() * count(threads as u64)
    }

    pub(crate) fn json(&self) -> Json {
        let tally = self.tally();
        let quantiles = |histogram: &hdrhistogram::Histogram<u64>| {
            let at = QUANTILES.iter().map(|(name, at)| ((*name).to_owned(), json!(histogram.value_at_quantile(*at))));
            at.chain([("max".to_owned(), json!(histogram.max()))]).collect::<Map<_, _>>()
        };
        let used = self.ran.used.server;
        json!({
            "name": self.name,
            "due": tally.due, "answered": tally.answered, "failures": tally.failures,
            "decisions": self.decisions(), "allowed": tally.told.allowed, "denied": tally.told.denied,
            "wrong": tally.told.wrong, "seconds": self.ran.took.as_secs_f64(), "per_second": self.per_second(),
            "per_cpu_second": self.per_cpu_second(), "cpu_us_per_decision": self.cpu_micros(),
            "cpu_seconds": self.cpu_seconds(), "database_cpu_seconds": self.ran.used.database,
            "client_cpu_seconds": self.ran.client_cpu,
            "resident_bytes": used.map(|it| it.resident), "peak_bytes": used.map(|it| it.peak),
            "latency_us": quantiles(&tally.latency), "send_lag_us": quantiles(&tally.lag),
            "history_verified": self.history_verified,
            "ready_after_ms": self.ready_after.map(|it| it.as_secs_f64() * 1e3),
        })
    }

    pub(crate) fn line(&self) -> String {
        let cost = self.per_cpu_second().map_or("unknown".to_owned(), |rate| format!("{rate:.0}"));
        let failed = self.tally().failed();
        let (p50, p99) = (self.latency(0.5), self.latency(0.99));
        format!("{:.0}/s, {cost} per CPU second, p50 {p50} µs, p99 {p99} µs, {failed} failed", self.per_second())
    }

    pub(crate) fn text(&self) -> String {
        let (tally, mebibytes) = (self.tally(), |bytes: u64| bytes / 1_048_576);
        let latency: Vec<String> = QUANTILES.iter().map(|(name, at)| format!("{name} {}", self.latency(*at))).collect();
        let used = self.ran.used.server.map_or("unknown".to_owned(), |it| {
            format!("{:.2} s, {} MiB resident, {} MiB at most", it.cpu, mebibytes(it.resident), mebibytes(it.peak))
        });
        let history = match self.history_verified {
            None => "not looked at",
            Some(true) => "holds exactly what was answered",
            Some(false) => "differs from what was answered",
        };
        format!(
            "asked     {} in {:.2} s, {} answered, {:?} failed\ndecided   {} allowed, {} denied, {} wrong\n\
             speed     {}\nlatency   {}, max {} µs, from when each was meant to be sent\n\
             sent      p99 {} µs after it was meant to be\nserver    {used}\nclient    {:.2} s\nhistory   {history}",
            tally.due,
            self.ran.took.as_secs_f64(),
            tally.answered,
            tally.failures,
            tally.told.allowed,
            tally.told.denied,
            tally.told.wrong,
            self.line(),
            latency.join(", "),
            tally.latency.max(),
            tally.lag.value_at_quantile(0.99),
            self.ran.client_cpu,
        )
    }
}

const QUANTILES: [(&str, f64); 4] = [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("p99.9", 0.999)];

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::call::Told;
    use crate::drive::Sample;
    use crate::process::Usage;
    use crate::wire::Failure;

    /// A run with so many answers, of so many microseconds each, for so much processor time.
    pub(crate) fn figures(answered: u64, cpu: f64, latency: u64) -> Figures {
        let mut measured = Tally::new().unwrap();
        for _ in 0..answered {
            let told = Told { allowed: 1, ..Told::default() };
            measured.answer(Some(told), Duration::from_micros(latency), Duration::ZERO);
        }
        measured.close(answered);
        let server = Some(Usage { cpu, resident: 0, peak: 0 });
        let used = Sample { server, database: None };
        let took = Duration::from_secs(1);
        let ran = Ran { warm_up: Tally::new().unwrap(), measured, took, used, client_cpu: 0.1 };
        Figures { name: "it".into(), ran, history_verified: None, ready_after: None }
    }

    #[test]
    fn costs_are_of_the_servers_processor_time() {
        let figures = figures(1_000, 0.5, 10);
        assert_eq!(figures.per_cpu_second(), Some(2_000.0));
        assert_eq!(figures.cpu_micros(), Some(500.0));
        assert_eq!(figures.latency(0.99), 10);
        assert_eq!(super::tests::figures(1, 0.0, 1).per_cpu_second(), None, "less than a tick is no measure");
    }

    #[test]
    fn wrong_decisions_and_silence_fail_a_run() {
        assert!(figures(10, 1.0, 1).judge(false).is_ok());
        let mut wrong = figures(10, 1.0, 1);
        wrong.ran.measured.told.wrong = 1;
        assert!(wrong.judge(true).unwrap_err().to_string().contains("otherwise than is right"));
        let mut early = figures(10, 1.0, 1);
        early.ran.warm_up.told.wrong = 1;
        assert!(early.judge(true).is_err(), "what does not count must be right too");
        let mut silent = figures(10, 1.0, 1);
        silent.ran.measured.close(11);
        assert!(silent.judge(true).unwrap_err().to_string().contains("1 unanswered"));
        for (status, tolerated) in [("RESOURCE_EXHAUSTED", true), ("INTERNAL", false)] {
            let mut refused = figures(10, 1.0, 1);
            refused.ran.measured.failure(Failure::Status(status.into(), "no".into()));
            assert!(refused.judge(false).is_err());
            assert_eq!(refused.judge(true).is_ok(), tolerated, "{status}");
        }
    }
}
