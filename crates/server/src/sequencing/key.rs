//! Keys of nodes, enrolled by acts.

use magistrate_ledger::verify::{Enrolled, Enrolment};
use magistrate_ledger::{Act, ActId, ActRecord, SealedAct};
use magistrate_model::{Actor, Instant};
use magistrate_pdp::{HistoryError, Sequencing as _, Unlogged};

use super::{Sequencing, Setback};
use crate::os;

/// Acts read at a time.
const PAGE: u32 = 1_000;

impl Sequencing {
    /// Enrols this node's key, unless it is. One that was revoked signs nothing.
    pub(super) async fn admit_key(&self) -> Result<(), Setback> {
        let key = self.signer.verifier().key();
        match key_of(&self.store, &key).await? {
            Some(said) if said.revoked => Err(Setback::Alarm(format!(
                "the key of this node was revoked by {} at {}; give it another one",
                said.actor, said.at
            ))),
            Some(_) => Ok(()),
            None => {
                let actor = format!("node/{}", self.node);
                let act = enrolment(&actor, &self.node, key, false, Self::now());
                let act = act.map_err(|error| Setback::Again(error.to_string()))?;
                Ok(self.store.record_act(&act).await?)
            }
        }
    }
}

/// What was said last of a key.
pub(crate) async fn key_of(store: &impl Unlogged, key: &[u8; 32]) -> Result<Option<Enrolment>, HistoryError> {
    let (mut enrolled, mut after) = (Enrolled::default(), 0);
    loop {
        let page = store.acts(Some("enrolment"), after, PAGE).await?;
        let Some(last) = page.last().and_then(|row| u64::try_from(row.place).ok()) else { break };
        page.iter().filter_map(|row| row.decode().ok()).for_each(|act| enrolled.take(&act.record));
        after = last.max(after + 1);
    }
    Ok(enrolled.newest(key).cloned())
}

/// An act that enrols or revokes a key.
pub(crate) fn enrolment(
    actor: &str,
    node: &str,
    key: [u8; 32],
    revoked: bool,
    at: Instant,
) -> anyhow::Result<SealedAct> {
    let actor: Actor = actor.parse()?;
    let act = Act::Enrolment { node: node.to_owned(), key, revoked };
    Ok(ActRecord { id: ActId(os::random()), at, actor, act }.seal()?)
}
