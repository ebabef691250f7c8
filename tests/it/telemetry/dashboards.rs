//! The dashboard and the alert rules name metrics and labels that the program really has.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use magistrate_tests::{Running, Secured, request, workspace};
use serde_json::Value as Json;

/// Words of the query language, and labels that the scraper adds.
const WORDS: [&str; 18] = [
    "sum",
    "by",
    "rate",
    "max",
    "min",
    "count",
    "histogram_quantile",
    "changes",
    "le",
    "instance",
    "label_values",
    "and",
    "or",
    "on",
    "without",
    "increase",
    "time",
    "clamp_min",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dashboard_and_alerts_name_what_there_is() {
    let known = metrics().await;
    let dashboard = std::fs::read_to_string(workspace().join("deploy/grafana/magistrate.json")).unwrap();
    let dashboard: Json = serde_json::from_str(&dashboard).unwrap();
    let alerts = std::fs::read_to_string(workspace().join("deploy/prometheus/alerts.yaml")).unwrap();
    let mut expressions = Vec::new();
    collect(&dashboard, &mut expressions);
    expressions.extend(alerts.lines().filter_map(|line| line.trim().strip_prefix("expr: ").map(str::to_owned)));
    assert!(expressions.len() > 30, "{}", expressions.len());
    let unknown: Vec<_> = expressions.iter().flat_map(|it| strangers(it, &known)).collect();
    assert!(unknown.is_empty(), "{unknown:#?}");
    let named = expressions.join(" ");
    let unseen: Vec<_> = known.keys().filter(|name| !named.contains(name.as_str())).collect();
    assert!(unseen.is_empty(), "metrics that neither dashboard nor alerts show: {unseen:?}");
    let misspelt = strangers("rate(magistrate_decision_total{decison=\"deny\"}[5m])", &known);
    assert_eq!(misspelt.len(), 2, "{misspelt:?}");
}

/// Every metric by its family, with the labels it has.
async fn metrics() -> BTreeMap<String, BTreeSet<String>> {
    let secured = Secured::example();
    let node = Running::launch(secured.command(&[]));
    let client = secured.connect(&node, None).await.unwrap();
    let question = request(("User", "ana"), "readMessage", ("Message", "m-1001"));
    client.check(question, Duration::from_mins(1)).await.unwrap();
    let malformed = client.check(request(("User", "ana"), "noAction", ("Message", "m-1001")), Duration::from_mins(1));
    assert!(malformed.await.is_err());
    // The follower has looked once more when its first poll is counted.
    let polled = |text: &String| text.contains("magistrate_follower_polls_total{");
    let text = std::iter::repeat_with(|| node.get("/metrics").1).take(100_000).find(polled).unwrap();
    let mut known: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let families: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    for family in families.iter().filter(|family| **family != "target_info") {
        let of = |line: &&str| line.starts_with(family) && !line.starts_with('#');
        let labels = text.lines().filter(of).flat_map(|line| labels(line).into_iter().map(|(name, _)| name));
        known.insert((*family).to_owned(), labels.collect());
    }
    known
}

/// The labels between braces.
fn labels(text: &str) -> Vec<(String, String)> {
    let Some((_, rest)) = text.split_once('{') else { return Vec::new() };
    let inner = rest.split_once('}').map_or(rest, |(inner, _)| inner);
    let pairs = inner.split(',').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.trim().to_owned(), value.trim_matches(['"', '~']).to_owned())).collect()
}

/// Names in an expression that are neither of the language nor of the program.
fn strangers(expression: &str, known: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let quoted: String = expression.split('"').step_by(2).collect::<Vec<_>>().join("\"\"");
    let words = quoted
        .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '$'))
        .filter(|word| word.starts_with(|c: char| c.is_ascii_lowercase()));
    let family = |word: &str| {
        let base = ["_bucket", "_sum", "_count"].into_iter().find_map(|end| word.strip_suffix(end)).unwrap_or(word);
        known.contains_key(word) || known.contains_key(base)
    };
    let label = |word: &str| known.values().any(|labels| labels.contains(word));
    words
        .filter(|word| !WORDS.contains(word) && !family(word) && !label(word))
        .map(|word| format!("`{word}` in `{expression}`"))
        .collect()
}

fn collect(json: &Json, expressions: &mut Vec<String>) {
    match json {
        Json::Object(fields) => fields.iter().for_each(|(name, value)| match value.as_str() {
            Some(text) if name == "expr" => expressions.push(text.to_owned()),
            _ => collect(value, expressions),
        }),
        Json::Array(items) => items.iter().for_each(|item| collect(item, expressions)),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
    }
}
