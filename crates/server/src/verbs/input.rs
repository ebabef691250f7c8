//! Parsing what people type.

use anyhow::{Context as _, bail};
use magistrate_model::json;
use magistrate_model::{EntityUid, Instant, Record, Span};
use serde_json::Value as Json;

/// A uid in Cedar's notation or the shell's shorthand.
pub(crate) fn uid(text: &str) -> anyhow::Result<EntityUid> {
    Ok(EntityUid::parse_shorthand(text)?)
}

pub(crate) fn uids(texts: &[String]) -> anyhow::Result<Vec<EntityUid>> {
    texts.iter().map(|text| uid(text)).collect()
}

/// A JSON object given as text or as `@FILE`.
pub(crate) fn json_object(text: &str, what: &str) -> anyhow::Result<Json> {
    let read = |path: &str| std::fs::read_to_string(path).with_context(|| format!("cannot read `{path}`"));
    let text = match text.strip_prefix('@') {
        Some(path) => read(path)?,
        None => text.to_owned(),
    };
    let json = json::parse(&text).with_context(|| format!("the {what} given"))?;
    if !json.is_object() {
        bail!("the {what} given must be a JSON object, such as {{\"name\": 1}}");
    }
    Ok(json)
}

pub(crate) fn record(text: &str, what: &str) -> anyhow::Result<Record> {
    Ok(json::record_from(&json_object(text, what)?, what)?)
}

/// An instant given as RFC 3339 or as a span ago, such as `7d`.
pub(crate) fn ago(text: &str, now: Instant) -> anyhow::Result<Instant> {
    let span: Result<Span, _> = text.trim_start_matches('-').parse();
    match span {
        Ok(span) => Ok(now.plus(Span::from_micros(-span.micros()))),
        Err(_) => text.parse().with_context(|| format!("`{text}` is neither an instant nor a span ago such as `7d`")),
    }
}
