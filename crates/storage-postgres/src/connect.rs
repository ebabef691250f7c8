//! Connections: how they are made, how long anything may take, and how few are kept for the next call.
//!
//! Every statement but the sink's runs in an explicit transaction, whose first message also sets the limits the
//! server keeps: nothing depends on a session, so that a pooler may hand out another one for each transaction.
//! A connection is used again only after its transaction ended well; one that failed, timed out or was dropped
//! is closed, so that nothing waits for an answer that may never come.

use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection, PgConnection};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::fault::Fault;
use crate::settings::Database;

/// How long a connection may take to be made.
pub(crate) const CONNECT: Duration = Duration::from_secs(2);

/// Does something within a time, or fails with [`Fault::Timeout`].
pub(crate) async fn within<T, E: From<Fault>>(
    limit: Duration,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    timeout(limit, work).await.unwrap_or_else(|_| Err(Fault::Timeout.into()))
}

/// How connections are made, and whether statements may be prepared on them.
#[derive(Clone)]
pub(crate) struct Connector {
    options: PgConnectOptions,
    prepares: bool,
}

impl Connector {
    /// By way of the pooler, if there is one.
    pub(crate) fn new(database: &Database) -> Self {
        Self { options: quiet(database.options()), prepares: !database.is_pooled() }
    }

    /// Past any pooler, if there is such a way.
    pub(crate) fn of_sessions(database: &Database) -> Option<Self> {
        database.session_options().map(|options| Self { options: quiet(options), prepares: true })
    }

    pub(crate) fn options(&self) -> &PgConnectOptions {
        &self.options
    }

    /// Whether statements keep their names between transactions.
    pub(crate) fn prepares(&self) -> bool {
        self.prepares
    }

    pub(crate) async fn connect(&self) -> Result<PgConnection, Fault> {
        within(CONNECT, async { self.options.connect().await.map_err(|error| Fault::of(&error)) }).await
    }
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (host, port) = (self.options.get_host(), self.options.get_port());
        f.debug_struct("Connector").field("host", &host).field("port", &port).finish_non_exhaustive()
    }
}

/// What a transaction is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// One or a few rows.
    Glance,
    /// Everything, or a page of it, from one state. Compiling a statement takes longer than a page.
    Read,
    /// Decisions that are searched: planned for what is asked, and in the order of an index, so that a page ends when it is
    /// full, whatever the planner thinks of how much there is.
    Search,
    /// Decisions that are counted, whoever asked and whenever.
    Count,
    /// The same of some names or within a time, which the planner takes for more than they are.
    CountSome,
    /// All of a day, or of a table, in one statement: it takes what it takes.
    Survey,
    /// A change.
    Change,
    /// A day is taken out: every record of it is counted.
    Expiry,
}

impl Purpose {
    /// The client's limit for the whole of it.
    pub(crate) fn limit(self) -> Duration {
        match self {
            Self::Glance => Duration::from_secs(3),
            Self::Read | Self::Search | Self::Count | Self::CountSome => Duration::from_secs(150),
            Self::Change => Duration::from_secs(65),
            Self::Survey | Self::Expiry => Duration::from_secs(1_805),
        }
    }

    /// Begins the transaction and sets the server's limits, in one message. They are a little shorter than the
    /// client's for work, so that the server says what it was that took so long.
    fn begin(self) -> &'static str {
        match self {
            Self::Glance => {
                "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = '2s';
                 SET LOCAL lock_timeout = '1s'; SET LOCAL idle_in_transaction_session_timeout = '10s'"
            }
            // Whoever gave up has closed the connection: then the server gives up as well.
            Self::Read => {
                "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = '120s';
                 SET LOCAL client_connection_check_interval = '1s'; SET LOCAL jit = off;
                 SET LOCAL lock_timeout = '5s'; SET LOCAL idle_in_transaction_session_timeout = '60s'"
            }
            Self::Search => {
                "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = '120s';
                 SET LOCAL client_connection_check_interval = '1s'; SET LOCAL enable_bitmapscan = off;
                 SET LOCAL enable_sort = off; SET LOCAL max_parallel_workers_per_gather = 0;
                 SET LOCAL plan_cache_mode = force_custom_plan; SET LOCAL jit = off;
                 SET LOCAL lock_timeout = '5s'; SET LOCAL idle_in_transaction_session_timeout = '60s'"
            }
            Self::Count => {
                "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = '120s';
                 SET LOCAL client_connection_check_interval = '1s'; SET LOCAL enable_bitmapscan = off;
                 SET LOCAL plan_cache_mode = force_custom_plan;
                 SET LOCAL lock_timeout = '5s'; SET LOCAL idle_in_transaction_session_timeout = '60s'"
            }
            Self::CountSome => {
                "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = '120s';
                 SET LOCAL client_connection_check_interval = '1s'; SET LOCAL enable_bitmapscan = off;
                 SET LOCAL enable_seqscan = off; SET LOCAL plan_cache_mode = force_custom_plan; SET LOCAL jit = off;
                 SET LOCAL lock_timeout = '5s'; SET LOCAL idle_in_transaction_session_timeout = '60s'"
            }
            Self::Survey => {
                "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL statement_timeout = '1800s';
                 SET LOCAL client_connection_check_interval = '1s';
                 SET LOCAL lock_timeout = '5s'; SET LOCAL idle_in_transaction_session_timeout = '60s'"
            }
            Self::Change => {
                "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL statement_timeout = '60s';
                 SET LOCAL lock_timeout = '5s'; SET LOCAL idle_in_transaction_session_timeout = '60s'"
            }
            Self::Expiry => {
                "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SET LOCAL statement_timeout = '1800s';
                 SET LOCAL lock_timeout = '5s'; SET LOCAL idle_in_transaction_session_timeout = '60s'"
            }
        }
    }
}

/// A connection, and whether statements may be prepared on it.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) connection: PgConnection,
    pub(crate) prepares: bool,
}

/// Up to a few connections; the others wait for one.
#[derive(Debug)]
pub(crate) struct Connections {
    connector: Connector,
    permits: Semaphore,
    /// INVARIANT: a connection lies here only between transactions.
    idle: Mutex<Vec<PgConnection>>,
}

impl Connections {
    pub(crate) fn new(connector: Connector, most: usize) -> Self {
        Self { connector, permits: Semaphore::new(most), idle: Mutex::default() }
    }

    /// Begins a transaction. A kept connection that turns out to be dead is replaced: nothing was asked yet.
    pub(crate) async fn begin(&self, purpose: Purpose) -> Result<Transaction<'_>, Fault> {
        let permit = self.permits.acquire().await.map_err(|_| Fault::Unreachable)?;
        let connection = self.begun(purpose).await?;
        let session = Session { connection, prepares: self.connector.prepares };
        Ok(Transaction { session, connections: self, _permit: permit })
    }

    /// Closes every connection that is not in use, and lets nobody begin again.
    pub(crate) async fn close(&self) {
        self.permits.close();
        while let Some(connection) = self.kept() {
            if let Err(error) = connection.close().await {
                tracing::debug!(%error, "a connection did not close");
            }
        }
    }

    async fn begun(&self, purpose: Purpose) -> Result<PgConnection, Fault> {
        while let Some(mut connection) = self.kept() {
            match run(&mut connection, purpose.begin()).await {
                Ok(()) => return Ok(connection),
                Err(fault) if fault.is_of_connection() => {}
                Err(fault) => return Err(fault),
            }
        }
        let mut connection = self.connector.connect().await?;
        run(&mut connection, purpose.begin()).await?;
        Ok(connection)
    }

    fn kept(&self) -> Option<PgConnection> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    fn keep(&self, connection: PgConnection) {
        if !self.permits.is_closed() {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        }
    }
}

/// A transaction. Dropped before it is committed, its connection is closed, which ends it.
#[derive(Debug)]
pub(crate) struct Transaction<'a> {
    session: Session,
    connections: &'a Connections,
    _permit: SemaphorePermit<'a>,
}

impl Transaction<'_> {
    /// Ends the transaction; what it read was of one state, what it wrote is there once this returned Ok.
    pub(crate) async fn commit(mut self) -> Result<(), Fault> {
        run(&mut self.session.connection, "COMMIT").await?;
        self.connections.keep(self.session.connection);
        Ok(())
    }
}

impl std::ops::Deref for Transaction<'_> {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.session
    }
}

impl std::ops::DerefMut for Transaction<'_> {
    fn deref_mut(&mut self) -> &mut Session {
        &mut self.session
    }
}

/// Runs statements without results.
pub(crate) async fn run(connection: &mut PgConnection, sql: &'static str) -> Result<(), Fault> {
    let ran = sqlx::raw_sql(sql).execute(connection).await;
    ran.map(drop).map_err(|error| Fault::of(&error))
}

fn quiet(options: PgConnectOptions) -> PgConnectOptions {
    options.disable_statement_logging()
}
