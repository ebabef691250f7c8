//! Appending records: one immediate transaction a batch, on a connection of its own.

use magistrate_ledger::{CommitFailed, SealedHeader, SealedRecord, SignedCheckpoint, Sink, StreamId};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use super::statements::{APPEND, APPEND_64, KEEP_CHECKPOINT, LAST_SEALED, LAST_SEQ, OPEN, SEAL};
use crate::fault::Fault;
use crate::opened_file::OpenedFile;

/// Appends to `decisions.db`, and brings it to the disk.
#[derive(Debug)]
pub struct SqliteSink {
    pub(crate) options: SqliteConnectOptions,
    file: OpenedFile,
    /// INVARIANT: a connection lies here only between calls and never within a transaction. It is taken out
    /// for each call and put back when the call succeeded; a call that fails or is dropped loses it, which
    /// rolls back, and the next call connects again.
    connection: Option<SqliteConnection>,
}

impl SqliteSink {
    pub(crate) async fn connect(options: SqliteConnectOptions) -> Result<Self, sqlx::Error> {
        let file = OpenedFile::open(&options).await?;
        Ok(Self { connection: Some(options.connect().await?), options, file })
    }

    async fn take(&mut self) -> Result<SqliteConnection, sqlx::Error> {
        match self.connection.take() {
            Some(connection) => Ok(connection),
            None => self.options.connect().await,
        }
    }

    async fn append(&mut self, batch: &[SealedRecord]) -> Result<(), sqlx::Error> {
        let mut connection = self.take().await?;
        match append(&mut connection, batch).await {
            Ok(()) => self.connection = Some(connection),
            Err(error) => {
                discard(connection).await;
                return Err(error);
            }
        }
        Ok(())
    }

    async fn keep(
        &mut self,
        headers: &[SealedHeader],
        checkpoint: Option<&SignedCheckpoint>,
    ) -> Result<(), sqlx::Error> {
        let mut connection = self.take().await?;
        match keep(&mut connection, headers, checkpoint).await {
            Ok(()) => self.connection = Some(connection),
            Err(error) => {
                discard(connection).await;
                return Err(error);
            }
        }
        Ok(())
    }

    fn check_in_place(&self, batch: &[SealedRecord]) -> Result<(), CommitFailed> {
        match self.file.is_in_place() {
            true => Ok(()),
            false => Err(CommitFailed { records: batch.len(), conflict: false, why: self.file.replaced() }),
        }
    }

    async fn last(&mut self, question: &'static str, stream: StreamId) -> Result<Option<i64>, sqlx::Error> {
        let mut connection = self.take().await?;
        let last = sqlx::query_scalar(question).bind(stream.as_bytes().as_slice()).fetch_one(&mut connection).await?;
        self.connection = Some(connection);
        Ok(last)
    }
}

impl Sink for SqliteSink {
    async fn commit(&mut self, batch: &[SealedRecord]) -> Result<(), CommitFailed> {
        if batch.is_empty() {
            return Ok(());
        }
        self.check_in_place(batch)?;
        self.append(batch).await.map_err(|error| failed(batch.len(), &error))?;
        // Asked again: what was committed to a file that went away meanwhile is not durable.
        self.check_in_place(batch)
    }

    async fn seal(
        &mut self,
        headers: &[SealedHeader],
        checkpoint: Option<&SignedCheckpoint>,
    ) -> Result<(), CommitFailed> {
        self.check_in_place(&[])?;
        self.keep(headers, checkpoint).await.map_err(|error| failed(0, &error))?;
        self.check_in_place(&[])
    }

    async fn last_committed(&mut self, stream: StreamId) -> Result<Option<u64>, CommitFailed> {
        let last = self.last(LAST_SEQ, stream).await.map_err(|error| failed(0, &error))?;
        Ok(last.and_then(|seq| u64::try_from(seq).ok()))
    }

    async fn last_sealed(&mut self, stream: StreamId) -> Result<Option<u64>, CommitFailed> {
        let last = self.last(LAST_SEALED, stream).await.map_err(|error| failed(0, &error))?;
        Ok(last.and_then(|number| u64::try_from(number).ok()))
    }
}

async fn append(connection: &mut SqliteConnection, batch: &[SealedRecord]) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    for record in batch {
        open(&mut transaction, record).await?;
    }
    let (many, rest) = batch.as_chunks::<AT_ONCE>();
    for records in many {
        insert(&mut transaction, APPEND_64, records).await?;
    }
    for record in rest {
        insert(&mut transaction, APPEND, std::slice::from_ref(record)).await?;
    }
    transaction.commit().await
}

/// Headers first: a checkpoint is over what is there.
async fn keep(
    connection: &mut SqliteConnection,
    headers: &[SealedHeader],
    checkpoint: Option<&SignedCheckpoint>,
) -> Result<(), sqlx::Error> {
    let number = |number: u64| i64::try_from(number).map_err(|error| sqlx::Error::Encode(error.into()));
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    for sealed in headers {
        let header = &sealed.header;
        sqlx::query(SEAL)
            .bind(header.stream.as_bytes().as_slice())
            .bind(number(header.number)?)
            .bind(number(header.covers.first_seq)?)
            .bind(number(header.covers.count)?)
            .bind(header.covers.root.as_bytes().as_slice())
            .bind(sealed.bytes.as_slice())
            .execute(&mut *transaction)
            .await?;
    }
    if let Some(SignedCheckpoint { checkpoint, note }) = checkpoint {
        sqlx::query(KEEP_CHECKPOINT)
            .bind(&checkpoint.origin)
            .bind(number(checkpoint.size)?)
            .bind(checkpoint.root.as_bytes().as_slice())
            .bind(note)
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await
}

/// Private values come before their record: which ones are there already is known by the records.
async fn open(connection: &mut SqliteConnection, record: &SealedRecord) -> Result<(), sqlx::Error> {
    let Some(opening) = &record.opening else { return Ok(()) };
    let seq = i64::try_from(record.id.seq).map_err(|error| sqlx::Error::Encode(error.into()))?;
    sqlx::query(OPEN)
        .bind(record.id.stream.as_bytes().as_slice())
        .bind(seq)
        .bind(record.recorded_at.day())
        .bind(opening.as_slice())
        .execute(connection)
        .await?;
    Ok(())
}

/// Records of [`APPEND_64`].
const AT_ONCE: usize = 64;

async fn insert(
    connection: &mut SqliteConnection,
    statement: &'static str,
    records: &[SealedRecord],
) -> Result<(), sqlx::Error> {
    let mut query = sqlx::query(statement);
    for record in records {
        let seq = i64::try_from(record.id.seq).map_err(|error| sqlx::Error::Encode(error.into()))?;
        query = query
            .bind(record.recorded_at.day())
            .bind(record.id.stream.as_bytes().as_slice())
            .bind(seq)
            .bind(record.leaf.as_bytes().as_slice())
            .bind(record.recorded_at.micros())
            .bind(record.class.name())
            .bind(record.index.principal.as_str())
            .bind(record.index.action.as_str())
            .bind(record.index.resource.as_str())
            .bind(record.index.decision)
            .bind(record.index.cause)
            .bind(record.index.request_id.as_deref())
            .bind(record.bytes.as_slice());
    }
    query.execute(connection).await?;
    Ok(())
}

/// Closing waits until SQLite has rolled back and released its locks. That it fails changes nothing.
async fn discard(connection: SqliteConnection) {
    if let Err(error) = connection.close().await {
        tracing::debug!(%error, "a failed connection did not close");
    }
}

fn failed(records: usize, error: &sqlx::Error) -> CommitFailed {
    let fault = Fault::of(error);
    CommitFailed { records, conflict: fault == Fault::Constraint, why: fault.to_string() }
}
