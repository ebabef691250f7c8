//! The store that is configured: one of two, behind the same ports.

use anyhow::Context as _;
use magistrate_identity::{ApiKey, ListedKey};
use magistrate_ledger::{
    CommitFailed, DecisionId, LogBatch, LogId, RecordedDecision, Run, SealedAct, SealedHeader, SealedRecord, Selection,
    SignedCheckpoint, Sink, StoredAct, StoredCheckpoint, StoredDecision, StoredEntry, StoredHeader, StreamId,
};
use magistrate_model::{
    Authorship, Change, Dataset, Digest, EntityData, Grant, Head, KeyId, LoggedChange, PolicySet, Revision, Span,
};
use magistrate_pap::{
    Base, Changes, CommitError, EntityFilter, GrantFilter, Keys, PolicyMigration, Records, StoreError,
};
use magistrate_pdp::erasing::{Erasable, ErasableCount, Erasing};
use magistrate_pdp::history::{Counted, StoredOpening};
use magistrate_pdp::retention::{DayExpiry, Hold, Retention, StoredDay, StreamOfDay};
use magistrate_pdp::{
    DecisionFilter, DecisionHistory, Evidence, GlobalLog, HistoryError, Intake, Lease, LoadError, LogError, Page,
    PastStates, PolicySource, Sequencing, Since, Standing, Unlogged,
};
use magistrate_storage_postgres::{PostgresSink, PostgresStore};
use magistrate_storage_sqlite::{SqliteSink, SqliteStore};

use crate::config::{Config, Storage};

/// Where policies, entities, grants and decisions are kept.
#[derive(Debug, Clone)]
pub(crate) enum Store {
    /// The embedded default.
    Sqlite(SqliteStore),
    /// The shared truth of several nodes.
    Postgres(PostgresStore),
}

/// Where decisions are appended.
#[derive(Debug)]
pub(crate) enum StoreSink {
    Sqlite(SqliteSink),
    Postgres(PostgresSink),
}

/// The same call on whichever store it is. Its state lies on the heap: both kinds take a lot of room, and whoever
/// awaits would carry the larger one.
macro_rules! on_either {
    ($self:expr, $kind:ident, $store:ident => $call:expr) => {
        match $self {
            $kind::Sqlite($store) => $call,
            $kind::Postgres($store) => $call,
        }
    };
}

impl Store {
    /// Opens the configured store, which must be at this program's schema version.
    pub(crate) async fn open(config: &Config) -> anyhow::Result<Self> {
        Self::of(&config.storage).await
    }

    /// Opens a store.
    pub(crate) async fn of(storage: &Storage) -> anyhow::Result<Self> {
        match storage {
            Storage::Embedded(dir) => {
                let store = Box::pin(SqliteStore::open(dir)).await;
                Ok(Self::Sqlite(store.with_context(|| format!("cannot open the store in `{}`", dir.display()))?))
            }
            Storage::Postgres(database) => {
                let store = Box::pin(PostgresStore::connect(database)).await;
                Ok(Self::Postgres(store.context("cannot open the store")?))
            }
        }
    }

    pub(crate) async fn sink(&self) -> anyhow::Result<StoreSink> {
        Ok(match self {
            Self::Sqlite(store) => StoreSink::Sqlite(store.sink().await?),
            Self::Postgres(store) => StoreSink::Postgres(store.sink().await?),
        })
    }

    /// The database behind it, where there is one.
    pub(crate) fn postgres(&self) -> Option<&PostgresStore> {
        match self {
            Self::Sqlite(_) => None,
            Self::Postgres(store) => Some(store),
        }
    }
}

impl PolicySource for Store {
    async fn standing(&self) -> Result<Standing, LoadError> {
        on_either!(self, Self, store => Box::pin(store.standing()).await)
    }

    async fn load_into(&self, intake: &mut impl Intake) -> Result<Head, LoadError> {
        on_either!(self, Self, store => Box::pin(store.load_into(intake)).await)
    }

    async fn since(&self, served: Head, at_most: u32) -> Result<Since, LoadError> {
        on_either!(self, Self, store => Box::pin(store.since(served, at_most)).await)
    }
}

impl Records for Store {
    async fn base(&self) -> Result<Base, StoreError> {
        on_either!(self, Self, store => Box::pin(store.base()).await)
    }

    async fn entities(&self, filter: &EntityFilter) -> Result<Vec<EntityData>, StoreError> {
        on_either!(self, Self, store => Box::pin(store.entities(filter)).await)
    }

    async fn grants(&self, filter: &GrantFilter) -> Result<Vec<Grant>, StoreError> {
        on_either!(self, Self, store => Box::pin(store.grants(filter)).await)
    }
}

impl Changes for Store {
    async fn commit(
        &self,
        base: Revision,
        changes: &[Change],
        authorship: &Authorship,
    ) -> Result<Revision, CommitError> {
        on_either!(self, Self, store => Box::pin(store.commit(base, changes, authorship)).await)
    }

    async fn log(&self, after: Revision, revisions: u32) -> Result<Vec<LoggedChange>, StoreError> {
        on_either!(self, Self, store => Box::pin(store.log(after, revisions)).await)
    }

    async fn migrations(&self) -> Result<Vec<PolicyMigration>, StoreError> {
        on_either!(self, Self, store => Box::pin(store.migrations()).await)
    }
}

impl Keys for Store {
    async fn keys(&self) -> Result<Vec<ApiKey>, StoreError> {
        on_either!(self, Self, store => Box::pin(store.keys()).await)
    }

    async fn listed_keys(&self) -> Result<Vec<ListedKey>, StoreError> {
        on_either!(self, Self, store => Box::pin(store.listed_keys()).await)
    }

    async fn issue_key(&self, key: &ApiKey, authorship: &Authorship) -> Result<(), StoreError> {
        on_either!(self, Self, store => Box::pin(store.issue_key(key, authorship)).await)
    }

    async fn revoke_key(&self, id: &KeyId, authorship: &Authorship) -> Result<bool, StoreError> {
        on_either!(self, Self, store => Box::pin(store.revoke_key(id, authorship)).await)
    }
}

impl PastStates for Store {
    async fn load_at(&self, revision: Revision) -> Result<Option<Dataset>, LoadError> {
        on_either!(self, Self, store => Box::pin(store.load_at(revision)).await)
    }

    async fn size_at(&self, revision: Revision) -> Result<u64, LoadError> {
        on_either!(self, Self, store => Box::pin(store.size_at(revision)).await)
    }

    async fn policy_set_at(&self, revision: Revision) -> Result<Option<PolicySet>, LoadError> {
        on_either!(self, Self, store => Box::pin(store.policy_set_at(revision)).await)
    }

    async fn changes_between(&self, after: Revision, last: Revision) -> Result<Vec<LoggedChange>, LoadError> {
        on_either!(self, Self, store => Box::pin(store.changes_between(after, last)).await)
    }
}

impl DecisionHistory for Store {
    async fn page(
        &self,
        filter: &DecisionFilter,
        page: Page,
        limit: u32,
    ) -> Result<Vec<RecordedDecision>, HistoryError> {
        on_either!(self, Self, store => Box::pin(store.page(filter, page, limit)).await)
    }

    async fn find(&self, id: DecisionId) -> Result<Option<RecordedDecision>, HistoryError> {
        on_either!(self, Self, store => Box::pin(store.find(id)).await)
    }

    async fn count(&self, filter: &DecisionFilter, stretch: Span) -> Result<Vec<Counted>, HistoryError> {
        on_either!(self, Self, store => Box::pin(store.count(filter, stretch)).await)
    }

    async fn places(&self) -> Result<Vec<(StreamId, u64)>, HistoryError> {
        on_either!(self, Self, store => Box::pin(store.places()).await)
    }

    async fn behind(
        &self,
        filter: &DecisionFilter,
        stream: StreamId,
        places: (u64, u64),
        limit: u32,
    ) -> Result<Vec<RecordedDecision>, HistoryError> {
        on_either!(self, Self, store => Box::pin(store.behind(filter, stream, places, limit)).await)
    }
}

impl Evidence for Store {
    async fn streams(&self) -> Result<Vec<StreamId>, HistoryError> {
        on_either!(self, Self, store => Box::pin(store.streams()).await)
    }

    async fn headers(&self, stream: StreamId, after: u64, limit: u32) -> Result<Vec<StoredHeader>, HistoryError> {
        on_either!(self, Self, store => Box::pin(store.headers(stream, after, limit)).await)
    }

    async fn last_place(&self, stream: StreamId) -> Result<u64, HistoryError> {
        on_either!(self, Self, store => Box::pin(store.last_place(stream)).await)
    }

    async fn checkpoints_after(
        &self,
        origin: Option<&str>,
        after: (&str, u64),
        limit: u32,
    ) -> Result<Vec<StoredCheckpoint>, HistoryError> {
        on_either!(self, Self, store => Box::pin(store.checkpoints_after(origin, after, limit)).await)
    }

    async fn kept_leaves(&self, stream: StreamId) -> Result<Vec<(u64, Digest)>, HistoryError> {
        on_either!(self, Self, store => Box::pin(store.kept_leaves(stream)).await)
    }

    async fn checkpoints(&self) -> Result<Vec<StoredCheckpoint>, HistoryError> {
        on_either!(self, Self, store => Box::pin(store.checkpoints()).await)
    }

    async fn records(&self, stream: StreamId, after: u64, limit: u32) -> Result<Vec<StoredDecision>, HistoryError> {
        on_either!(self, Self, store => Box::pin(store.records(stream, after, limit)).await)
    }

    async fn openings(&self, after: Option<StoredOpening>, limit: u32) -> Result<Vec<StoredOpening>, HistoryError> {
        on_either!(self, Self, store => Box::pin(store.openings(after, limit)).await)
    }
}

impl Erasing for Store {
    async fn count_erasable(&self, of: &Selection) -> Result<ErasableCount, HistoryError> {
        on_either!(self, Self, store => Box::pin(store.count_erasable(of)).await)
    }

    async fn erasable(&self, of: &Selection, limit: u32) -> Result<Vec<Erasable>, HistoryError> {
        on_either!(self, Self, store => Box::pin(store.erasable(of, limit)).await)
    }

    async fn erase(&self, act: &SealedAct, decisions: &[Erasable]) -> Result<(), LogError> {
        on_either!(self, Self, store => Box::pin(store.erase(act, decisions)).await)
    }

    async fn clean(&self) -> Result<(), LogError> {
        on_either!(self, Self, store => Box::pin(store.clean()).await)
    }
}

impl GlobalLog for Store {
    async fn log_id(&self) -> Result<Option<LogId>, HistoryError> {
        on_either!(self, Self, store => Box::pin(store.log_id()).await)
    }

    async fn log_size(&self) -> Result<u64, HistoryError> {
        on_either!(self, Self, store => Box::pin(store.log_size()).await)
    }

    async fn entries(&self, first: u64, limit: u32) -> Result<Vec<StoredEntry>, HistoryError> {
        on_either!(self, Self, store => Box::pin(store.entries(first, limit)).await)
    }

    async fn newest_entry(&self, kind: &str) -> Result<Option<StoredEntry>, HistoryError> {
        on_either!(self, Self, store => Box::pin(store.newest_entry(kind)).await)
    }

    async fn find_entry(&self, kind: &str, reference: &str) -> Result<Option<StoredEntry>, HistoryError> {
        on_either!(self, Self, store => Box::pin(store.find_entry(kind, reference)).await)
    }

    async fn newest_checkpoint(&self, log: LogId) -> Result<Option<StoredCheckpoint>, HistoryError> {
        on_either!(self, Self, store => Box::pin(store.newest_checkpoint(log)).await)
    }

    async fn log_hashes(&self, run: Run) -> Result<Vec<Digest>, HistoryError> {
        on_either!(self, Self, store => Box::pin(store.log_hashes(run)).await)
    }
}

impl Unlogged for Store {
    async fn unlogged_headers(&self, limit: u32) -> Result<Vec<StoredHeader>, HistoryError> {
        on_either!(self, Self, store => Box::pin(store.unlogged_headers(limit)).await)
    }

    async fn acts(&self, kind: Option<&str>, after: u64, limit: u32) -> Result<Vec<StoredAct>, HistoryError> {
        on_either!(self, Self, store => Box::pin(store.acts(kind, after, limit)).await)
    }

    async fn last_logged_act(&self) -> Result<u64, HistoryError> {
        on_either!(self, Self, store => Box::pin(store.last_logged_act()).await)
    }
}

impl Sequencing for Store {
    async fn lease(&self, holder: StreamId, begins: LogId, time: Span) -> Result<Lease, LogError> {
        on_either!(self, Self, store => Box::pin(store.lease(holder, begins, time)).await)
    }

    async fn append_log(&self, term: u64, batch: &LogBatch) -> Result<(), LogError> {
        on_either!(self, Self, store => Box::pin(store.append_log(term, batch)).await)
    }

    async fn record_act(&self, act: &SealedAct) -> Result<(), LogError> {
        on_either!(self, Self, store => Box::pin(store.record_act(act)).await)
    }
}

impl Retention for Store {
    async fn days(&self) -> Result<Vec<StoredDay>, HistoryError> {
        on_either!(self, Self, store => Box::pin(store.days()).await)
    }

    async fn streams_of_day(&self, day: i64) -> Result<Vec<StreamOfDay>, HistoryError> {
        on_either!(self, Self, store => Box::pin(store.streams_of_day(day)).await)
    }

    async fn holds(&self) -> Result<Vec<Hold>, HistoryError> {
        on_either!(self, Self, store => Box::pin(store.holds()).await)
    }

    async fn hold(&self, act: &SealedAct) -> Result<(), LogError> {
        on_either!(self, Self, store => Box::pin(store.hold(act)).await)
    }

    async fn expire(&self, expiry: &DayExpiry) -> Result<(), LogError> {
        on_either!(self, Self, store => Box::pin(store.expire(expiry)).await)
    }
}

impl Sink for StoreSink {
    async fn commit(&mut self, batch: &[SealedRecord]) -> Result<(), CommitFailed> {
        on_either!(self, Self, sink => Box::pin(sink.commit(batch)).await)
    }

    async fn seal(
        &mut self,
        headers: &[SealedHeader],
        checkpoint: Option<&SignedCheckpoint>,
    ) -> Result<(), CommitFailed> {
        on_either!(self, Self, sink => Box::pin(sink.seal(headers, checkpoint)).await)
    }

    async fn last_sealed(&mut self, stream: StreamId) -> Result<Option<u64>, CommitFailed> {
        on_either!(self, Self, sink => Box::pin(sink.last_sealed(stream)).await)
    }

    async fn last_committed(&mut self, stream: StreamId) -> Result<Option<u64>, CommitFailed> {
        on_either!(self, Self, sink => Box::pin(sink.last_committed(stream)).await)
    }
}
