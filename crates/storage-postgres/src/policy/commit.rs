//! One revision: computed from what its changes touch, then made by one call of `magistrate.commit`, which
//! refuses it if the store has moved in between.

use std::time::Duration;

use magistrate_ledger::lineage;
use magistrate_model::{Authorship, Change, Digest, Head, LoggedChange, Revision};
use magistrate_pap::commit::Touched;
use magistrate_pap::rows::{InconsistentRow, stored};
use magistrate_pap::{CommitError, StoreError};
use serde_json::{Value, json};
use sqlx::postgres::PgDatabaseError;

use super::read_error::ReadError;
use super::snapshot::read;
use super::statements::COMMIT;
use super::{entities, grants, policy_sets, revision, scopes};
use crate::connect::{Connections, Purpose, Session, Transaction, within};
use crate::fault::Fault;

/// How long the end of the transaction may take, and how often its outcome is asked for if it is not known.
const END: Duration = Duration::from_secs(10);
const QUESTIONS: u32 = 5;
const BETWEEN_QUESTIONS: Duration = Duration::from_millis(400);

/// A revision that is ready to be made.
#[derive(Debug)]
pub(crate) struct Commit {
    base: Revision,
    /// The lineage it leads to: tells it from every other revision of its number.
    lineage: Digest,
    log: Vec<Value>,
    sets: Vec<Value>,
    authorship: Authorship,
}

impl Commit {
    /// Reads what the changes touch and computes what they come to.
    pub(crate) async fn prepare(
        connections: &Connections,
        base: Revision,
        changes: &[Change],
        authorship: &Authorship,
    ) -> Result<Self, CommitError> {
        let (found, mut touched) = read!(connections, Purpose::Read, session => touched_by(session, changes))?;
        if found.revision != base {
            return Err(CommitError::Moved { expected: base, found: found.revision });
        }
        let log = touched.log(base.next(), changes, authorship)?;
        let commit = Self {
            base,
            lineage: lineage::extend(found.lineage, &log),
            log: log.iter().map(log_row).collect(),
            sets: policy_sets::applied(changes),
            authorship: authorship.clone(),
        };
        commit.refuse_nul(changes)?;
        Ok(commit)
    }

    /// Makes the revision. Should the end of the transaction be lost on the way, the store is asked for it.
    pub(crate) async fn make(&self, connections: &Connections) -> Result<Revision, CommitError> {
        let transaction = within(Purpose::Change.limit(), self.write(connections)).await.map_err(|it| it.0)?;
        match within(END, transaction.commit()).await {
            Ok(()) => Ok(self.base.next()),
            Err(fault) => self.settle(connections, fault).await,
        }
    }

    /// Writes the log, from which the rows follow; nothing of it counts before the transaction is committed.
    async fn write<'a>(&self, connections: &'a Connections) -> Result<Transaction<'a>, Failed> {
        let mut transaction = connections.begin(Purpose::Change).await?;
        let reached = self.call(&mut transaction).await?;
        match reached == self.lineage.as_bytes() {
            true => Ok(transaction),
            false => Err(Failed(ReadError::from(self.other_lineage()).into())),
        }
    }

    async fn call(&self, session: &mut Session) -> Result<Vec<u8>, Failed> {
        let made: Result<(i64, Vec<u8>), sqlx::Error> = sqlx::query_as(COMMIT)
            .persistent(session.prepares)
            .bind(stored(self.base).map_err(ReadError::from)?)
            .bind(list(&self.log))
            .bind(list(&self.sets))
            .bind(self.authorship.actor.as_str())
            .bind(self.authorship.reason.as_str())
            .bind(self.authorship.at.micros())
            .fetch_one(&mut session.connection)
            .await;
        made.map(|(_, lineage)| lineage).map_err(|error| Failed(self.refused(&error)))
    }

    fn refused(&self, error: &sqlx::Error) -> CommitError {
        match moved_to(error) {
            Some(found) => CommitError::Moved { expected: self.base, found },
            None => ReadError::Fault(Fault::of(error)).into(),
        }
    }

    /// The transaction ended one way or the other; the lineage of its revision tells which.
    async fn settle(&self, connections: &Connections, fault: Fault) -> Result<Revision, CommitError> {
        let next = self.base.next();
        for _ in 0..QUESTIONS {
            tokio::time::sleep(BETWEEN_QUESTIONS).await;
            match read!(connections, Purpose::Glance, session => revision::lineage(session, next)) {
                Ok(Some(lineage)) if lineage == self.lineage => return Ok(next),
                Ok(Some(_)) => return Err(CommitError::Moved { expected: self.base, found: next }),
                Ok(None) | Err(_) => {}
            }
        }
        Err(CommitError::Store(StoreError::Unreachable(format!(
            "{fault}; whether revision {next} was committed is not known, look at the change log before trying again"
        ))))
    }

    /// Texts as JSON keep a NUL, escaped; as columns they cannot.
    fn refuse_nul(&self, changes: &[Change]) -> Result<(), CommitError> {
        let columns: Vec<Value> = changes.iter().filter_map(free_text).collect();
        let mut values = columns.iter().chain(&self.log).chain(&self.sets);
        match values.find_map(with_nul) {
            None => Ok(()),
            Some(text) => Err(CommitError::Refused(format!(
                "cannot commit `{}`: PostgreSQL keeps no text with the character NUL; remove it",
                text.chars().take(80).flat_map(char::escape_debug).collect::<String>()
            ))),
        }
    }

    fn other_lineage(&self) -> InconsistentRow {
        let why = "the database computes another digest of this revision than this program; nothing was changed";
        InconsistentRow::new("revision_lineage", self.base.next(), why)
    }
}

/// Why nothing was committed.
struct Failed(CommitError);

impl<E: Into<ReadError>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self(error.into().into())
    }
}

async fn touched_by(session: &mut Session, changes: &[Change]) -> Result<(Head, Touched), ReadError> {
    let head = revision::head(session).await?;
    let (named_entities, named_grants) = Touched::named(changes);
    let entities = entities::matching(session, &named_entities).await?;
    let grants = grants::matching(session, &named_grants).await?;
    let live_set = policy_sets::as_of(session, head.revision).await?;
    let touched = Touched::new(entities, scopes::live(session).await?, grants, live_set.map(|set| set.digest));
    Ok((head, touched))
}

/// Where the store stands, if it refused a commit because of that.
fn moved_to(error: &sqlx::Error) -> Option<Revision> {
    let error = error.as_database_error()?.try_downcast_ref::<PgDatabaseError>()?;
    let found = (error.code() == "MG001").then(|| error.detail()).flatten()?;
    found.parse().ok().map(Revision::new)
}

fn log_row(row: &LoggedChange) -> Value {
    json!([row.ordinal, row.kind, row.key, row.before, row.after])
}

fn list(rows: &[Value]) -> Option<String> {
    (!rows.is_empty()).then(|| Value::from(rows).to_string())
}

/// What a person wrote freely and a column keeps.
fn free_text(change: &Change) -> Option<Value> {
    match change {
        Change::PutScope(scope) => Some(json!(scope.description)),
        Change::AddGrant(grant) => Some(json!(grant.reason())),
        Change::PutEntity(_)
        | Change::DeleteEntity(_)
        | Change::DeleteScope(_)
        | Change::RevokeGrant(_)
        | Change::ApplyPolicySet { .. } => None,
    }
}

/// A text within a value that has a NUL.
fn with_nul(value: &Value) -> Option<&str> {
    match value {
        Value::String(text) => text.contains('\0').then_some(text),
        Value::Array(items) => items.iter().find_map(with_nul),
        Value::Object(fields) => fields.values().find_map(with_nul),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}
