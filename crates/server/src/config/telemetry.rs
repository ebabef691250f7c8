//! What is logged, measured and traced, and where it goes. The variables of OpenTelemetry mean what its
//! specification says; the file has keys for those that matter most.

use anyhow::{Context as _, bail};
use serde::Deserialize;

use crate::telemetry::LogLevel;

/// Of the traces that no caller has begun, so many are sampled.
const TRACE_RATIO: f64 = 0.01;

/// The `[telemetry]` table of the configuration file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TelemetryFile {
    log: Option<String>,
    log_format: Option<LogFormat>,
    otlp_endpoint: Option<String>,
    trace_ratio: Option<f64>,
    decisions: bool,
}

/// Telemetry, resolved.
#[derive(Debug, Clone)]
pub(crate) struct Telemetry {
    /// What is logged.
    pub(crate) log: LogLevel,
    /// Whether the environment says so, which a changed file cannot change.
    pub(crate) log_is_fixed: bool,
    /// In which form.
    pub(crate) log_format: LogFormat,
    /// Where metrics and traces are pushed to; `None`: nowhere.
    pub(crate) otlp: Option<Otlp>,
    /// Of the traces that no caller has begun, so many are sampled.
    pub(crate) trace_ratio: f64,
    /// Whether every decision is told there as well, as a log record.
    pub(crate) decisions: bool,
}

/// A receiver of OTLP over gRPC.
#[derive(Debug, Clone)]
pub(crate) struct Otlp {
    /// Its address where the file gives it; else the exporters take it from the environment.
    pub(crate) endpoint: Option<String>,
}

/// The form of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people on a terminal, JSON otherwise.
    #[default]
    Auto,
    /// For people.
    Pretty,
    /// A JSON object a line.
    Json,
}

impl LogFormat {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Pretty => "pretty",
            Self::Json => "json",
        }
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        match [Self::Auto, Self::Pretty, Self::Json].into_iter().find(|it| it.name() == text) {
            Some(format) => Ok(format),
            None => bail!("`{text}` is no log format; write `auto`, `pretty` or `json`"),
        }
    }
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            log: LogLevel::default(),
            log_is_fixed: false,
            log_format: LogFormat::Auto,
            otlp: None,
            trace_ratio: TRACE_RATIO,
            decisions: false,
        }
    }
}

/// Resolves the table, over what the environment says.
pub(super) fn resolve(file: TelemetryFile, environment: impl Fn(&str) -> Option<String>) -> anyhow::Result<Telemetry> {
    let log = environment("MAGISTRATE_LOG");
    let format = environment("MAGISTRATE_LOG_FORMAT").map(|text| LogFormat::parse(&text)).transpose();
    let format = format.context("`MAGISTRATE_LOG_FORMAT`")?;
    let text = log.clone().or(file.log).unwrap_or_else(|| LogLevel::default().to_string());
    let ratio = sampler(&environment)?.or(file.trace_ratio).unwrap_or(TRACE_RATIO);
    if !(0.0..=1.0).contains(&ratio) {
        bail!("`telemetry.trace_ratio` is {ratio}; it is a share between 0 and 1");
    }
    let otlp = otlp(file.otlp_endpoint, &environment)?;
    if file.decisions && otlp.is_none() {
        bail!("`telemetry.decisions` is true, and nobody is named to be told; give `telemetry.otlp_endpoint`");
    }
    Ok(Telemetry {
        log: LogLevel::parse(&text).context("`telemetry.log`")?,
        log_is_fixed: log.is_some(),
        log_format: format.or(file.log_format).unwrap_or_default(),
        otlp,
        trace_ratio: ratio,
        decisions: file.decisions,
    })
}

/// Nothing is pushed unless somebody names where to.
fn otlp(file: Option<String>, environment: impl Fn(&str) -> Option<String>) -> anyhow::Result<Option<Otlp>> {
    if environment("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
        return Ok(None);
    }
    if let Some(protocol) = environment("OTEL_EXPORTER_OTLP_PROTOCOL").filter(|protocol| protocol != "grpc") {
        bail!("`OTEL_EXPORTER_OTLP_PROTOCOL` is `{protocol}`; only `grpc` is spoken");
    }
    let named =
        ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"];
    if named.into_iter().any(|name| environment(name).is_some()) {
        return Ok(Some(Otlp { endpoint: None }));
    }
    Ok(file.map(|endpoint| Otlp { endpoint: Some(endpoint) }))
}

/// The share of root traces that `OTEL_TRACES_SAMPLER` asks for. Calls with a parent go as the parent went.
fn sampler(environment: impl Fn(&str) -> Option<String>) -> anyhow::Result<Option<f64>> {
    let argument = || match environment("OTEL_TRACES_SAMPLER_ARG") {
        Some(text) => text.parse().with_context(|| format!("`OTEL_TRACES_SAMPLER_ARG` is `{text}`")),
        None => Ok(1.0),
    };
    match environment("OTEL_TRACES_SAMPLER").as_deref() {
        None => Ok(None),
        Some("parentbased_always_on") => Ok(Some(1.0)),
        Some("parentbased_always_off") => Ok(Some(0.0)),
        Some("parentbased_traceidratio") => argument().map(Some),
        Some(other) => bail!(
            "`OTEL_TRACES_SAMPLER` is `{other}`; known are parentbased_always_on, parentbased_always_off and \
             parentbased_traceidratio"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(file: &str, environment: &[(&str, &str)], expected: &str) {
        let variable = |name: &str| environment.iter().find(|it| it.0 == name).map(|it| it.1.to_owned());
        let told = match resolve(toml::from_str(file).unwrap(), variable) {
            Ok(it) => format!("{} {} {} {}", it.log, it.log_format.name(), it.otlp.is_some(), it.trace_ratio),
            Err(error) => format!("{error:#}"),
        };
        assert!(told.contains(expected), "{told}");
    }

    #[test]
    fn environment_wins_over_the_file() {
        check("", &[], "info auto false 0.01");
        check("log = 'debug'\nlog_format = 'json'\ntrace_ratio = 0.5", &[], "debug json false 0.5");
        check("log = 'debug'", &[("MAGISTRATE_LOG", "warn"), ("MAGISTRATE_LOG_FORMAT", "pretty")], "warn pretty");
        let ratio = [("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "0.2")];
        check("trace_ratio = 0.5", &ratio, "0.2");
    }

    #[test]
    fn nothing_is_pushed_unless_an_endpoint_is_named() {
        let endpoint = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317")];
        check("", &endpoint, "info auto true");
        check("otlp_endpoint = 'http://127.0.0.1:4317'", &[], "true");
        check("otlp_endpoint = 'http://127.0.0.1:4317'", &[("OTEL_SDK_DISABLED", "true")], "false");
    }

    #[test]
    fn what_means_nothing_is_an_error() {
        check("log = 'magistrate_pdp=loud'", &[], "is no log filter");
        check("decisions = true", &[], "nobody is named to be told");
        check("trace_ratio = 1.5", &[], "between 0 and 1");
        check("", &[("MAGISTRATE_LOG_FORMAT", "xml")], "no log format");
        check("", &[("OTEL_TRACES_SAMPLER", "jaeger_remote")], "known are");
        check("", &[("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")], "only `grpc`");
    }
}
