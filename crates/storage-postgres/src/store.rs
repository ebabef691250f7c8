//! Opening a database, and the store behind it.

use std::sync::Arc;

use magistrate_pap::StoreError;

use crate::connect::{Connections, Connector, Purpose, within};
use crate::decisions::PostgresSink;
use crate::decisions::statements::PREPARE_DAYS;
use crate::fault::Fault;
use crate::hardening::Hardening;
use crate::listener::RevisionListener;
use crate::open_error::OpenError;
use crate::policy::ReadError;
use crate::schema;
use crate::settings::Database;

/// Connections for following the state, and for administration, history and housekeeping: neither waits for
/// the other.
const FOLLOWING: usize = 2;
const ADMINISTRATION: usize = 2;

/// A database with its schema. Clones share their connections; at most four are kept, besides one for each sink
/// and each listener.
#[derive(Debug, Clone)]
pub struct PostgresStore(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    database: Database,
    connector: Connector,
    following: Connections,
    administration: Connections,
}

impl PostgresStore {
    /// Connects to a database that was migrated by exactly this version of the schema.
    pub async fn connect(database: &Database) -> Result<Self, OpenError> {
        let connector = Connector::new(database);
        let store = Self(Arc::new(Inner {
            database: database.clone(),
            following: Connections::new(connector.clone(), FOLLOWING),
            administration: Connections::new(connector.clone(), ADMINISTRATION),
            connector,
        }));
        store.check().await?;
        Ok(store)
    }

    /// A sink with a connection of its own. What it committed is durable once `commit` returned.
    pub async fn sink(&self) -> Result<PostgresSink, OpenError> {
        let sink = PostgresSink::connect(self.0.connector.clone()).await;
        sink.map_err(|fault| OpenError::of_fault(&self.0.database, fault))
    }

    /// Hears of new revisions; `None` behind a pooler with no way past it.
    pub async fn listen(&self) -> Result<Option<RevisionListener>, OpenError> {
        let Some(connector) = Connector::of_sessions(&self.0.database) else {
            return Ok(None);
        };
        let listener = RevisionListener::connect(connector).await;
        listener.map(Some).map_err(|fault| OpenError::of_fault(&self.0.database, fault))
    }

    /// Makes the partitions for the decisions of the coming week. Decisions of a day without one are kept as
    /// well, at the price of a slow first append.
    pub async fn prepare_days(&self) -> Result<(), StoreError> {
        let prepared = async {
            let mut transaction = self.administration().begin(Purpose::Change).await?;
            let session = &mut *transaction;
            sqlx::query(PREPARE_DAYS).persistent(session.prepares).execute(&mut session.connection).await?;
            Ok::<_, ReadError>(transaction.commit().await?)
        };
        Ok(within(Purpose::Change.limit(), prepared).await?)
    }

    /// How well recorded decisions are protected from the user of this store, and what keeps them from more.
    pub async fn hardening(&self) -> Result<Hardening, StoreError> {
        let asked = async {
            let mut transaction = self.administration().begin(Purpose::Read).await?;
            let session = &mut *transaction;
            let hardening = Hardening::of(&mut session.connection, session.prepares).await?;
            transaction.commit().await?;
            Ok::<_, ReadError>(hardening)
        };
        Ok(within(Purpose::Read.limit(), asked).await?)
    }

    /// Closes every connection but those of sinks and listeners; what was committed is durable already.
    pub async fn close(&self) {
        self.0.following.close().await;
        self.0.administration.close().await;
    }

    pub(crate) fn database(&self) -> &Database {
        &self.0.database
    }

    /// Connections for those who follow the state.
    pub(crate) fn following(&self) -> &Connections {
        &self.0.following
    }

    /// Connections for administration, history and housekeeping.
    pub(crate) fn administration(&self) -> &Connections {
        &self.0.administration
    }

    /// Accepts a database that can be reached and is exactly at this program's schema.
    async fn check(&self) -> Result<(), OpenError> {
        let refused = |fault| OpenError::of_fault(self.database(), fault);
        let checked = async {
            let mut transaction = self.following().begin(Purpose::Glance).await.map_err(refused)?;
            schema::check(&mut transaction.connection, self.database()).await?;
            transaction.commit().await.map_err(refused)
        };
        tokio::time::timeout(Purpose::Glance.limit(), checked).await.unwrap_or_else(|_| Err(refused(Fault::Timeout)))
    }
}
