//! `audit acts`: what was done to the history, or learned from it.

use std::collections::VecDeque;

use anyhow::Context as _;
use magistrate_ledger::{Act, ActRecord, SignedExpiry, StoredAct};
use magistrate_pdp::Unlogged as _;
use serde_json::{Value as Json, json};

use super::retention::date;
use crate::output::Out;
use crate::store::Store;

/// Acts read at a time.
const PAGE: u32 = 1_000;

pub(super) async fn run(store: &Store, out: Out, kind: Option<&str>, lines: usize) -> anyhow::Result<()> {
    let (mut newest, mut after) = (VecDeque::new(), 0);
    loop {
        let page = store.acts(kind, after, PAGE).await?;
        for row in &page {
            newest.push_back(decoded(row)?);
            if newest.len() > lines {
                newest.pop_front();
            }
        }
        match page.last() {
            Some(last) if page.len() == PAGE as usize => after = u64::try_from(last.place).unwrap_or(u64::MAX),
            Some(_) | None => break,
        }
    }
    let rows: Vec<_> = newest.iter().map(row).collect();
    out.rows(&["at", "actor", "act", "what"], &rows, || newest.iter().map(json).collect())?;
    Ok(())
}

fn decoded(row: &StoredAct) -> anyhow::Result<ActRecord> {
    let sealed = row.decode().map_err(|why| anyhow::anyhow!("{why}"));
    let sealed = sealed.with_context(|| format!("act {} is damaged; run `magistrate audit verify`", row.place))?;
    Ok(sealed.record)
}

fn row(act: &ActRecord) -> Vec<String> {
    vec![act.at.to_string(), act.actor.to_string(), act.act.kind().to_owned(), what(&act.act)]
}

fn what(act: &Act) -> String {
    match act {
        Act::Access { verb, query, records } => format!("{verb} {query}: {records} records"),
        Act::Enrolment { node, revoked: false, .. } => format!("the key of {node} signs"),
        Act::Enrolment { node, revoked: true, .. } => format!("the key of {node} signs no more"),
        Act::Retention(SignedExpiry { expiry, .. }) => {
            format!("{} records of {} were taken out: {}", expiry.records, date(expiry.day), expiry.reason)
        }
        Act::Hold { name, released: true, reason, .. } => format!("{name} is released: {reason}"),
        Act::Hold { name, first, last, reason, .. } => {
            let last = last.map_or("all to come".to_owned(), date);
            format!("{name} holds {} to {last}: {reason}", date(*first))
        }
        Act::Refusal { cause, source, count, .. } => format!("{cause} from {source}: {count}"),
    }
}

fn json(act: &ActRecord) -> Json {
    json!({
        "id": act.id.to_string(),
        "at": act.at.to_string(),
        "actor": act.actor.as_str(),
        "act": act.act.kind(),
        "what": what(&act.act),
    })
}
