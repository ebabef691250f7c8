//! Counts of decisions, for people and for programs.

use magistrate_model::{Cause, Span};
use magistrate_pdp::history::Tally;
use serde_json::{Map, Value as Json, json};

pub(crate) const HEADERS: [&str; 3] = ["decision", "cause", "decisions"];
pub(crate) const BUCKET_HEADERS: [&str; 3] = ["from", "allowed", "denied"];

/// A line for each cause.
pub(crate) fn rows(tally: &Tally) -> Vec<Vec<String>> {
    let row = |(cause, count): (&Cause, &u64)| vec![cause.decision().to_string(), cause.to_string(), count.to_string()];
    tally.causes.iter().map(row).collect()
}

/// A line for each stretch of time that has decisions.
pub(crate) fn bucket_rows(tally: &Tally) -> Vec<Vec<String>> {
    let buckets = tally.buckets.iter();
    buckets.map(|it| vec![it.start.to_string(), it.allowed.to_string(), it.denied.to_string()]).collect()
}

/// All of it; stretches only if they were asked for.
pub(crate) fn json(tally: &Tally, stretch: Option<Span>) -> Json {
    let causes: Map<_, _> =
        tally.causes.iter().map(|(cause, count)| (cause.name().to_owned(), (*count).into())).collect();
    let mut all = json!({ "decisions": tally.total(), "causes": causes });
    if let (Some(stretch), Some(map)) = (stretch, all.as_object_mut()) {
        let bucket = |it: &magistrate_pdp::history::Bucket| json!({ "from": it.start.to_string(), "allowed": it.allowed, "denied": it.denied });
        map.insert("stretch_seconds".to_owned(), stretch.whole_seconds().into());
        map.insert("histogram".to_owned(), tally.buckets.iter().map(bucket).collect());
    }
    all
}
