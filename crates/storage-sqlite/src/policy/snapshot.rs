//! Reads that must be of one revision, each in one transaction.

use magistrate_ledger::lineage;
use magistrate_model::{Dataset, EntityData, Grant, Head, LoggedChange, PolicySet, Revision};
use magistrate_pap::{Base, EntityFilter, GrantFilter, Records, StoreError};
use magistrate_pdp::{Intake, LoadError, PastStates, PolicySource, Since, Standing};
use sqlx::SqliteConnection;

use super::read_error::ReadError;
use super::{change_log, entities, grants, policy_sets, revision, scopes};
use crate::store::SqliteStore;

impl SqliteStore {
    async fn load_live(&self, intake: &mut impl Intake) -> Result<Head, ReadError> {
        let mut transaction = self.policy.begin().await?;
        let head = live(&mut transaction, intake).await?;
        transaction.commit().await?;
        Ok(head)
    }

    async fn read_since(&self, served: Head, at_most: u32) -> Result<Since, ReadError> {
        let mut transaction = self.policy.begin().await?;
        let since = changes_since(&mut transaction, served, at_most).await?;
        transaction.commit().await?;
        Ok(since)
    }

    async fn read_base(&self) -> Result<Base, ReadError> {
        let mut transaction = self.policy.begin().await?;
        let head = revision::head(&mut transaction).await?;
        let base = Base {
            revision: head.revision,
            policy_set: policy_sets::as_of(&mut transaction, head.revision).await?,
            scopes: scopes::live(&mut transaction).await?,
        };
        transaction.commit().await?;
        Ok(base)
    }

    async fn read_head(&self) -> Result<Head, ReadError> {
        revision::head(&mut *self.policy.acquire().await?).await
    }

    async fn read_entities(&self, filter: &EntityFilter) -> Result<Vec<EntityData>, ReadError> {
        entities::matching(&mut *self.policy.acquire().await?, filter).await
    }

    async fn read_grants(&self, filter: &GrantFilter) -> Result<Vec<Grant>, ReadError> {
        grants::matching(&mut *self.policy.acquire().await?, filter).await
    }
}

impl PastStates for SqliteStore {
    /// The lineage is computed from the change log again, so this also tells whether the log still leads to what
    /// [`PolicySource::standing`] says.
    async fn load_at(&self, revision: Revision) -> Result<Option<Dataset>, LoadError> {
        let read = async {
            let mut transaction = self.policy.begin().await?;
            let dataset = dataset_at(&mut transaction, revision).await?;
            transaction.commit().await?;
            Ok(dataset)
        };
        read.await.map_err(|error: ReadError| error.into())
    }

    async fn size_at(&self, revision: Revision) -> Result<u64, LoadError> {
        let mut connection = self.policy.acquire().await.map_err(ReadError::from)?;
        Ok(revision::size_as_of(&mut connection, revision).await?)
    }

    async fn policy_set_at(&self, revision: Revision) -> Result<Option<PolicySet>, LoadError> {
        let mut connection = self.policy.acquire().await.map_err(ReadError::from)?;
        Ok(policy_sets::as_of(&mut connection, revision).await?)
    }

    async fn changes_between(&self, after: Revision, last: Revision) -> Result<Vec<LoggedChange>, LoadError> {
        let mut connection = self.policy.acquire().await.map_err(ReadError::from)?;
        Ok(change_log::between(&mut connection, after, last).await?)
    }
}

impl PolicySource for SqliteStore {
    async fn standing(&self) -> Result<Standing, LoadError> {
        match self.policy_file.is_in_place() {
            true => Ok(Standing { head: self.read_head().await?, clock: None }),
            false => Err(LoadError::Replaced(self.policy_file.replaced())),
        }
    }

    async fn load_into(&self, intake: &mut impl Intake) -> Result<Head, LoadError> {
        Ok(self.load_live(intake).await?)
    }

    async fn since(&self, served: Head, at_most: u32) -> Result<Since, LoadError> {
        Ok(self.read_since(served, at_most).await?)
    }
}

impl Records for SqliteStore {
    async fn base(&self) -> Result<Base, StoreError> {
        Ok(self.read_base().await?)
    }

    async fn entities(&self, filter: &EntityFilter) -> Result<Vec<EntityData>, StoreError> {
        Ok(self.read_entities(filter).await?)
    }

    async fn grants(&self, filter: &GrantFilter) -> Result<Vec<Grant>, StoreError> {
        Ok(self.read_grants(filter).await?)
    }
}

/// Rows that are held at once while everything is read.
const CHUNK: u32 = 10_000;

async fn live(connection: &mut SqliteConnection, intake: &mut impl Intake) -> Result<Head, ReadError> {
    let head = revision::head(connection).await?;
    intake.policy_set(policy_sets::as_of(connection, head.revision).await?);
    scopes::live(connection).await?.into_iter().for_each(|scope| intake.scope(scope));
    let mut next = EntityFilter { limit: Some(CHUNK), ..EntityFilter::default() };
    loop {
        let entities = entities::matching(connection, &next).await?;
        let Some(last) = entities.last() else { break };
        next.after = Some(last.uid.clone());
        entities.into_iter().for_each(|entity| intake.entity(entity));
    }
    let mut next = GrantFilter { limit: Some(CHUNK), ..GrantFilter::default() };
    loop {
        let grants = grants::matching(connection, &next).await?;
        let Some(last) = grants.last() else { break };
        next.after = Some(last.id().clone());
        grants.iter().for_each(|grant| intake.grant(&grant.borrowed()));
    }
    Ok(head)
}

async fn dataset_at(connection: &mut SqliteConnection, wanted: Revision) -> Result<Option<Dataset>, ReadError> {
    if revision::head(connection).await?.revision < wanted {
        return Ok(None);
    }
    let log = change_log::between(connection, Revision::ZERO, wanted).await?;
    Ok(Some(Dataset {
        head: Head { revision: wanted, lineage: lineage::of(&log) },
        policy_set: policy_sets::as_of(connection, wanted).await?,
        scopes: scopes::as_of(connection, wanted).await?,
        entities: entities::as_of(connection, wanted).await?,
        grants: grants::as_of(connection, wanted).await?,
    }))
}

async fn changes_since(connection: &mut SqliteConnection, served: Head, at_most: u32) -> Result<Since, ReadError> {
    let head = revision::head(connection).await?;
    if head.revision < served.revision {
        return Ok(Since::Forked(head));
    }
    if change_log::count_after(connection, served.revision).await? > at_most.into() {
        // The log is the only place that tells an earlier lineage; reading it is what a large change costs.
        let log = change_log::between(connection, Revision::ZERO, served.revision).await?;
        return Ok(if lineage::of(&log) == served.lineage { Since::TooMany } else { Since::Forked(head) });
    }
    let log = change_log::between(connection, served.revision, head.revision).await?;
    let reached = log.chunk_by(|one, next| one.revision == next.revision).fold(served.lineage, lineage::extend);
    if reached != head.lineage {
        return Ok(Since::Forked(head));
    }
    let policy_set = match log.iter().any(|change| change.kind == "policy.apply") {
        true => policy_sets::as_of(connection, head.revision).await?,
        false => None,
    };
    Ok(Since::Changes { head, log, policy_set })
}
