//! Reads that must be of one revision, each in one transaction.

use magistrate_ledger::lineage;
use magistrate_model::{Dataset, EntityData, Grant, Head, LoggedChange, PolicySet, Revision};
use magistrate_pap::{Base, EntityFilter, GrantFilter, Records, StoreError};
use magistrate_pdp::{Intake, LoadError, PastStates, PolicySource, Since, Standing};

use super::read_error::ReadError;
use super::revision::Earlier;
use super::{change_log, entities, grants, policy_sets, revision, scopes};
use crate::connect::{Purpose, Session, within};
use crate::store::PostgresStore;

/// Reads in one transaction of the connections kept for a purpose.
macro_rules! read {
    ($connections:expr, $purpose:expr, $session:ident => $read:expr) => {
        within($purpose.limit(), async {
            let mut transaction = $connections.begin($purpose).await?;
            let $session = &mut *transaction;
            let read = $read.await?;
            transaction.commit().await?;
            Ok::<_, ReadError>(read)
        })
        .await
    };
}

pub(super) use read;

impl PastStates for PostgresStore {
    /// The lineage is computed from the change log again, so this also tells whether the log still leads to what
    /// [`PolicySource::standing`] says.
    async fn load_at(&self, revision: Revision) -> Result<Option<Dataset>, LoadError> {
        Ok(read!(self.administration(), Purpose::Read, session => dataset_at(session, revision))?)
    }

    async fn size_at(&self, revision: Revision) -> Result<u64, LoadError> {
        Ok(read!(self.administration(), Purpose::Read, session => revision::size_as_of(session, revision))?)
    }

    async fn policy_set_at(&self, revision: Revision) -> Result<Option<PolicySet>, LoadError> {
        Ok(read!(self.administration(), Purpose::Read, session => policy_sets::as_of(session, revision))?)
    }

    async fn changes_between(&self, after: Revision, last: Revision) -> Result<Vec<LoggedChange>, LoadError> {
        Ok(read!(self.administration(), Purpose::Read, session => change_log::between(session, after, last))?)
    }
}

impl PolicySource for PostgresStore {
    async fn standing(&self) -> Result<Standing, LoadError> {
        Ok(read!(self.following(), Purpose::Glance, session => revision::standing(session))?)
    }

    async fn load_into(&self, intake: &mut impl Intake) -> Result<Head, LoadError> {
        Ok(read!(self.following(), Purpose::Read, session => live(session, intake))?)
    }

    async fn since(&self, served: Head, at_most: u32) -> Result<Since, LoadError> {
        Ok(read!(self.following(), Purpose::Read, session => changes_since(session, served, at_most))?)
    }
}

impl Records for PostgresStore {
    async fn base(&self) -> Result<Base, StoreError> {
        Ok(read!(self.administration(), Purpose::Read, session => base(session))?)
    }

    async fn entities(&self, filter: &EntityFilter) -> Result<Vec<EntityData>, StoreError> {
        Ok(read!(self.administration(), Purpose::Read, session => entities::matching(session, filter))?)
    }

    async fn grants(&self, filter: &GrantFilter) -> Result<Vec<Grant>, StoreError> {
        Ok(read!(self.administration(), Purpose::Read, session => grants::matching(session, filter))?)
    }
}

async fn base(session: &mut Session) -> Result<Base, ReadError> {
    let head = revision::head(session).await?;
    Ok(Base {
        revision: head.revision,
        policy_set: policy_sets::as_of(session, head.revision).await?,
        scopes: scopes::live(session).await?,
    })
}

async fn live(session: &mut Session, intake: &mut impl Intake) -> Result<Head, ReadError> {
    let head = revision::head(session).await?;
    intake.policy_set(policy_sets::as_of(session, head.revision).await?);
    scopes::live(session).await?.into_iter().for_each(|scope| intake.scope(scope));
    entities::live(session, |entity| intake.entity(entity)).await?;
    grants::live(session, |grant| intake.grant(grant)).await?;
    Ok(head)
}

async fn dataset_at(session: &mut Session, wanted: Revision) -> Result<Option<Dataset>, ReadError> {
    if revision::head(session).await?.revision < wanted {
        return Ok(None);
    }
    let log = change_log::between(session, Revision::ZERO, wanted).await?;
    Ok(Some(Dataset {
        head: Head { revision: wanted, lineage: lineage::of(&log) },
        policy_set: policy_sets::as_of(session, wanted).await?,
        scopes: scopes::as_of(session, wanted).await?,
        entities: entities::as_of(session, wanted).await?,
        grants: grants::as_of(session, wanted).await?,
    }))
}

async fn changes_since(session: &mut Session, served: Head, at_most: u32) -> Result<Since, ReadError> {
    let Earlier { head, lineage, exceeds } = revision::since(session, served.revision, at_most).await?;
    if head.revision < served.revision || lineage != Some(served.lineage) {
        return Ok(Since::Forked(head));
    }
    if exceeds {
        return Ok(Since::TooMany);
    }
    let log = change_log::between(session, served.revision, head.revision).await?;
    let reached = log.chunk_by(|one, next| one.revision == next.revision).fold(served.lineage, lineage::extend);
    if reached != head.lineage {
        return Ok(Since::Forked(head));
    }
    let policy_set = match log.iter().any(|change| change.kind == "policy.apply") {
        true => policy_sets::as_of(session, head.revision).await?,
        false => None,
    };
    Ok(Since::Changes { head, log, policy_set })
}
