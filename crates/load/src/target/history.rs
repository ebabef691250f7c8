//! What a store's history holds, to be compared with what was answered.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, bail};
use magistrate_model::Decision;
use magistrate_pdp::{DecisionFilter, DecisionHistory as _, Page, Position};
use magistrate_storage_sqlite::SqliteStore;
use magistrate_testkit::postgres::Cluster;

use crate::call::{Told, fold};

/// Where decisions are found again.
#[derive(Debug, Clone)]
pub(crate) enum History {
    /// The directory of the embedded store.
    Embedded(PathBuf),
    /// A database.
    Postgres(Cluster),
}

/// Records read at once.
const PAGE: u32 = 4_096;

/// How long nothing may be added before a history counts as settled, and how often that is looked at.
const SETTLED: Duration = Duration::from_millis(400);
const LOOKS: usize = 200;

impl History {
    /// Every decision, once nothing is added any more: a node brings to its store a little later what it answered.
    pub(crate) fn settled(&self) -> anyhow::Result<Told> {
        let mut told = self.told()?;
        for _ in 0..LOOKS {
            std::thread::sleep(SETTLED);
            let again = self.told()?;
            if again == told && told != Told::default() {
                return Ok(told);
            }
            told = again;
        }
        bail!("the history is never at rest; does somebody else use it?")
    }

    /// Every decision that is recorded, added up as answers are.
    pub(crate) fn told(&self) -> anyhow::Result<Told> {
        match self {
            Self::Embedded(directory) => {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                runtime.block_on(embedded(directory)).context("cannot read the history")
            }
            Self::Postgres(cluster) => {
                let sql =
                    "SELECT encode(stream, 'hex') || '-' || seq, CASE decision WHEN 'a' THEN 'allow' ELSE 'deny' END
                    FROM audit.decision";
                let rows = cluster.try_sql("postgres", sql).map_err(anyhow::Error::msg)?;
                let mut told = Told::default();
                for row in rows.lines() {
                    let (id, decision) = row.split_once('|').context("a row of the history lacks a column")?;
                    told.record(id, decision == Decision::Allow.name());
                }
                Ok(told)
            }
        }
    }
}

async fn embedded(directory: &std::path::Path) -> anyhow::Result<Told> {
    let store = SqliteStore::open(directory).await?;
    let (mut told, mut after) = (Told::default(), None);
    loop {
        let page = store.page(&DecisionFilter::default(), Page::OldestFirst(after), PAGE).await?;
        for record in &page {
            told.record(&record.id.to_string(), record.record.verdict.decision() == Decision::Allow);
        }
        let Some(last) = page.last() else { break };
        after = Some(Position { recorded_at: last.recorded_at, id: last.id });
    }
    store.close().await;
    Ok(told)
}

impl Told {
    fn record(&mut self, id: &str, allowed: bool) {
        *(if allowed { &mut self.allowed } else { &mut self.denied }) += 1;
        self.folded = self.folded.wrapping_add(fold(id.as_bytes()));
    }
}

/// Compares what the history gained with what was answered: the same decisions, each once. Questions that failed may
/// have been recorded: then the history may hold more.
pub(crate) fn compare(before: Told, after: Told, answered: Told, failed: u64) -> anyhow::Result<()> {
    let gained = (after.allowed - before.allowed) + (after.denied - before.denied);
    let answers = answered.allowed + answered.denied;
    let same = after.allowed - before.allowed == answered.allowed
        && after.folded.wrapping_sub(before.folded) == answered.folded;
    match gained {
        _ if gained == answers && same => Ok(()),
        _ if gained > answers && gained - answers <= failed => Ok(()),
        _ => bail!(
            "the history gained {gained} decisions ({} allows), and {answers} ({} allows) were answered, {failed} \
             failed: a decision is missing, is there twice, or is another",
            after.allowed - before.allowed,
            answered.allowed
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(ids: &[(&str, bool)]) -> Told {
        let mut told = Told::default();
        ids.iter().for_each(|(id, allowed)| told.record(id, *allowed));
        told
    }

    #[test]
    fn history_must_hold_what_was_answered_and_nothing_else() {
        let before = told(&[("old", true)]);
        let after = told(&[("old", true), ("a", true), ("b", false)]);
        let check = |answers: &[(&str, bool)], failed| compare(before, after, told(answers), failed);
        assert!(check(&[("b", false), ("a", true)], 0).is_ok());
        assert!(check(&[("a", true)], 1).is_ok(), "what failed at the caller may be recorded");
        for (wrong, answers) in [
            ("one was lost", &[("a", true), ("b", false), ("c", false)][..]),
            ("one was never answered", &[("a", true)]),
            ("another one", &[("a", true), ("c", false)]),
            ("one twice, one not at all", &[("a", true), ("a", true)]),
            ("another answer", &[("a", false), ("b", false)]),
        ] {
            assert!(check(answers, 0).is_err(), "{wrong}");
        }
    }
}
