//! Appending records: one call of `audit.ship` a batch, on a connection of its own.

use std::time::Duration;

use magistrate_ledger::{CommitFailed, SealedHeader, SealedRecord, SignedCheckpoint, Sink, StreamId};
use sqlx::PgConnection;
use sqlx::postgres::PgDatabaseError;
use tokio::time::Instant;

use super::coder::{Bodies, Coder, Coders};
use super::letters;
use super::statements::{KEEP_CHECKPOINT, KEEP_DICTIONARY, LAST_SEALED, LAST_SEQ, SEAL, SHIP};
use crate::connect::{Connector, run, within};
use crate::fault::Fault;

/// How long a batch, or the question for the last place, may take on a connection.
const APPEND: Duration = Duration::from_secs(2);

/// Before connecting again after the first failure, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The server's limits for a connection that keeps its session. It gives up before the client does, so that a
/// batch that waits behind a lock ends there as well.
const LIMITS: &str = "SET statement_timeout = '1900ms'; SET lock_timeout = '1800ms'";

/// The same for one transaction, where a pooler hands out sessions.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL statement_timeout = '1900ms';
    SET LOCAL lock_timeout = '1800ms'; SET LOCAL idle_in_transaction_session_timeout = '10s'";

/// Appends to `audit.decision`: `commit` returns Ok only after the server has said that it committed.
///
/// A call takes at most two seconds to connect and two to append. While the server cannot be reached, calls in
/// between the attempts to connect fail at once.
#[derive(Debug)]
pub struct PostgresSink {
    connector: Connector,
    /// INVARIANT: a connection lies here only between calls and never within a transaction. It is taken out
    /// for each call and put back when the call succeeded; a call that fails or is dropped loses it, which
    /// closes it, and the next call connects again.
    connection: Option<PgConnection>,
    /// Why the last attempt to connect failed.
    trouble: Option<Trouble>,
    /// INVARIANT: what is shipped names the digest of what it was coded by, so that a store that was put back meanwhile, and
    /// holds another dictionary under that id, refuses it. After any failure records are learned from anew.
    coders: Coders,
}

#[derive(Debug, Clone, Copy)]
struct Trouble {
    fault: Fault,
    pause: Duration,
    until: Instant,
}

/// Why a call failed: a fault, or what our functions in the database said.
#[derive(Debug)]
pub(crate) enum Refusal {
    Fault(Fault),
    Said(Fault, String),
}

impl PostgresSink {
    pub(crate) async fn connect(connector: Connector) -> Result<Self, Fault> {
        let mut sink = Self { connector, connection: None, trouble: None, coders: Coders::default() };
        sink.connection = Some(sink.take().await?);
        Ok(sink)
    }

    #[cfg(test)]
    pub(crate) fn lose_connection(&mut self) {
        self.connection = None;
    }

    async fn take(&mut self) -> Result<PgConnection, Fault> {
        if let Some(connection) = self.connection.take() {
            return Ok(connection);
        }
        if let Some(trouble) = self.trouble.filter(|trouble| Instant::now() < trouble.until) {
            return Err(trouble.fault);
        }
        let connected = self.reach().await;
        self.trouble = connected.as_ref().err().map(|fault| Trouble::after(self.trouble, *fault));
        connected
    }

    async fn reach(&self) -> Result<PgConnection, Fault> {
        let mut connection = self.connector.connect().await?;
        if self.connector.prepares() {
            within(APPEND, run(&mut connection, LIMITS)).await?;
        }
        Ok(connection)
    }

    async fn append(&mut self, batch: &[SealedRecord]) -> Result<(), Refusal> {
        let mut connection = self.take().await?;
        let appending = append(&mut connection, &mut self.coders, batch, self.connector.prepares());
        if let Err(refusal) = within(APPEND, appending).await {
            // What was kept is there still where it was the connection that failed: its digest is named with what it codes.
            if !matches!(&refusal, Refusal::Fault(fault) if fault.is_of_connection() || *fault == Fault::Timeout) {
                self.coders.forget();
            }
            return Err(refusal);
        }
        self.connection = Some(connection);
        Ok(())
    }

    async fn keep(&mut self, headers: &[SealedHeader], checkpoint: Option<&SignedCheckpoint>) -> Result<(), Refusal> {
        let mut connection = self.take().await?;
        within(APPEND, keep(&mut connection, headers, checkpoint, self.connector.prepares())).await?;
        self.connection = Some(connection);
        Ok(())
    }

    async fn last(&mut self, question: &'static str, stream: StreamId) -> Result<Option<i64>, Refusal> {
        let mut connection = self.take().await?;
        let last = within(APPEND, last(&mut connection, question, stream, self.connector.prepares())).await?;
        self.connection = Some(connection);
        Ok(last)
    }
}

impl Sink for PostgresSink {
    async fn commit(&mut self, batch: &[SealedRecord]) -> Result<(), CommitFailed> {
        if batch.is_empty() {
            return Ok(());
        }
        self.append(batch).await.map_err(|refusal| refusal.of(batch.len()))
    }

    async fn seal(
        &mut self,
        headers: &[SealedHeader],
        checkpoint: Option<&SignedCheckpoint>,
    ) -> Result<(), CommitFailed> {
        self.keep(headers, checkpoint).await.map_err(|refusal| refusal.of(0))
    }

    async fn last_committed(&mut self, stream: StreamId) -> Result<Option<u64>, CommitFailed> {
        let last = self.last(LAST_SEQ, stream).await.map_err(|refusal| refusal.of(0))?;
        Ok(last.and_then(|seq| u64::try_from(seq).ok()))
    }

    async fn last_sealed(&mut self, stream: StreamId) -> Result<Option<u64>, CommitFailed> {
        let last = self.last(LAST_SEALED, stream).await.map_err(|refusal| refusal.of(0))?;
        Ok(last.and_then(|number| u64::try_from(number).ok()))
    }
}

impl Trouble {
    /// The pause doubles with every attempt that fails.
    fn after(earlier: Option<Self>, fault: Fault) -> Self {
        let pause = earlier.map_or(FIRST_PAUSE, |earlier| (earlier.pause * 2).min(LONGEST_PAUSE));
        Self { fault, pause, until: Instant::now() + pause }
    }
}

impl Refusal {
    fn of(self, records: usize) -> CommitFailed {
        let (conflict, why) = match self {
            Self::Fault(fault) => (false, fault.to_string()),
            Self::Said(fault, why) => (fault == Fault::Conflict, why),
        };
        CommitFailed { records, conflict, why }
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<sqlx::Error> for Refusal {
    fn from(error: sqlx::Error) -> Self {
        let fault = Fault::of(&error);
        let said = error.as_database_error().and_then(|error| error.try_downcast_ref::<PgDatabaseError>());
        match said.filter(|_| matches!(fault, Fault::Conflict | Fault::NoPartition)) {
            Some(said) => Self::Said(fault, format!("{}: {fault}", said.message())),
            None => Self::Fault(fault),
        }
    }
}

/// One message and its answer where a statement is a transaction of its own. A statement is answered only after
/// its transaction has committed.
pub(super) async fn append(
    connection: &mut PgConnection,
    coders: &mut Coders,
    batch: &[SealedRecord],
    prepares: bool,
) -> Result<(), Refusal> {
    let parts = || batch.chunk_by(|one, next| kind(one) == kind(next));
    for records in parts() {
        learn(connection, day(records).map(|day| (day, coders.of(day))), records, prepares).await?;
    }
    let mut code = |records: &[SealedRecord]| day(records).map(|day| coders.of(day).code(records));
    let mut all = parts();
    if let (Some(records), None, true) = (all.next(), all.next(), prepares) {
        return ship(connection, records, code(records), prepares).await;
    }
    run(connection, BEGIN).await?;
    for records in parts() {
        ship(connection, records, code(records), prepares).await?;
    }
    Ok(run(connection, "COMMIT").await?)
}

/// What is shipped together: a stream's records of one day.
fn kind(record: &SealedRecord) -> (StreamId, i64) {
    (record.id.stream, record.recorded_at.day())
}

fn day(records: &[SealedRecord]) -> Option<i64> {
    records.first().map(|record| record.recorded_at.day())
}

/// Stores a dictionary where one is due, before anything is coded by it, in a transaction of its own. Of a day that was taken
/// out, or that lies too far back, none is kept: its records are shipped as they are.
async fn learn(
    connection: &mut PgConnection,
    coder: Option<(i64, &mut Coder)>,
    records: &[SealedRecord],
    prepares: bool,
) -> Result<(), Refusal> {
    let Some((day, coder)) = coder else { return Ok(()) };
    let Some(dictionary) = coder.due(records) else { return Ok(()) };
    if !prepares {
        run(connection, BEGIN).await?;
    }
    let day = i32::try_from(day).map_err(|error| sqlx::Error::Encode(error.into()))?;
    let kept = sqlx::query_scalar(KEEP_DICTIONARY).persistent(prepares).bind(day).bind(dictionary.bytes());
    let id: Option<i32> = kept.fetch_one(&mut *connection).await?;
    if !prepares {
        run(connection, "COMMIT").await?;
    }
    match id {
        Some(id) => coder.keep(id, dictionary),
        None => coder.give_up(),
    }
    Ok(())
}

/// The same without a dictionary from before.
#[cfg(test)]
pub(crate) async fn append_alone(connection: &mut PgConnection, batch: &[SealedRecord]) -> Result<(), Refusal> {
    append(connection, &mut Coders::default(), batch, true).await
}

/// Headers first: a checkpoint is over what is there.
async fn keep(
    connection: &mut PgConnection,
    headers: &[SealedHeader],
    checkpoint: Option<&SignedCheckpoint>,
    prepares: bool,
) -> Result<(), Refusal> {
    run(connection, BEGIN).await?;
    for headers in headers.chunk_by(|one, next| one.header.stream == next.header.stream) {
        seal(connection, headers, prepares).await?;
    }
    if let Some(SignedCheckpoint { checkpoint, note }) = checkpoint {
        let size = i64::try_from(checkpoint.size).map_err(|error| sqlx::Error::Encode(error.into()))?;
        let kept = sqlx::query(KEEP_CHECKPOINT).persistent(prepares).bind(&checkpoint.origin).bind(size);
        kept.bind(checkpoint.root.as_bytes().as_slice()).bind(note).execute(&mut *connection).await?;
    }
    Ok(run(connection, "COMMIT").await?)
}

/// Keeps headers of one stream.
async fn seal(connection: &mut PgConnection, headers: &[SealedHeader], prepares: bool) -> Result<(), Refusal> {
    let stream = headers.first().map(|it| it.header.stream.as_bytes().as_slice());
    let numbers = |value: fn(&SealedHeader) -> u64| {
        let converted = headers.iter().map(|header| i64::try_from(value(header))).collect::<Result<Vec<_>, _>>();
        converted.map_err(|error| sqlx::Error::Encode(error.into()))
    };
    sqlx::query(SEAL)
        .persistent(prepares)
        .bind(stream)
        .bind(numbers(|it| it.header.number)?)
        .bind(numbers(|it| it.header.covers.first_seq)?)
        .bind(numbers(|it| it.header.covers.count)?)
        .bind(headers.iter().map(|it| it.header.covers.root.as_bytes().as_slice()).collect::<Vec<_>>())
        .bind(headers.iter().map(|it| it.bytes.as_slice()).collect::<Vec<_>>())
        .execute(connection)
        .await?;
    Ok(())
}

/// Ships records of one stream and day.
async fn ship(
    connection: &mut PgConnection,
    records: &[SealedRecord],
    bodies: Option<Bodies>,
    prepares: bool,
) -> Result<(), Refusal> {
    let Some(Bodies { dictionary, digest, each }) = bodies else { return Ok(()) };
    let stream = records.first().map(|record| record.id.stream.as_bytes().as_slice());
    let place = |record: &SealedRecord| i64::try_from(record.id.seq);
    let places = records.iter().map(place).collect::<Result<Vec<_>, _>>();
    sqlx::query_scalar::<_, i64>(SHIP)
        .persistent(prepares)
        .bind(stream)
        .bind(places.map_err(|error| sqlx::Error::Encode(error.into()))?)
        .bind(column(records, |record| record.leaf.as_bytes().as_slice()))
        .bind(column(records, |record| record.recorded_at.micros()))
        .bind(column(records, |record| letters::of_class(record.class)))
        .bind(column(records, |record| record.index.principal.as_str()))
        .bind(column(records, |record| record.index.action.as_str()))
        .bind(column(records, |record| record.index.resource.as_str()))
        .bind(column(records, |record| letters::of_decision_named(record.index.decision)))
        .bind(column(records, |record| letters::of_cause_named(record.index.cause)))
        .bind(column(records, |record| record.index.request_id.as_deref().unwrap_or_default()))
        .bind(each)
        .bind(column(records, |record| record.opening.as_deref()))
        .bind(dictionary)
        .bind(digest.map(|digest| digest.to_vec()))
        .fetch_one(connection)
        .await?;
    Ok(())
}

fn column<'a, T>(records: &'a [SealedRecord], value: impl Fn(&'a SealedRecord) -> T) -> Vec<T> {
    records.iter().map(value).collect()
}

/// Waits for a commit of the stream under way, of whichever connection.
async fn last(
    connection: &mut PgConnection,
    question: &'static str,
    stream: StreamId,
    prepares: bool,
) -> Result<Option<i64>, Refusal> {
    if !prepares {
        run(connection, BEGIN).await?;
    }
    let question = sqlx::query_scalar(question).persistent(prepares).bind(stream.as_bytes().as_slice());
    let last = question.fetch_one(&mut *connection).await?;
    if !prepares {
        run(connection, "COMMIT").await?;
    }
    Ok(last)
}
