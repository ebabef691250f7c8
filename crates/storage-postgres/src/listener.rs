//! Hearing of new revisions as they are committed.

use std::time::Duration;

use sqlx::postgres::{PgListener, PgPoolOptions};
use tokio::runtime::Handle;
use tokio::time::{sleep, timeout};

use crate::connect::{CONNECT, Connector, within};
use crate::fault::Fault;

/// What `magistrate.commit` notifies.
const CHANNEL: &str = "magistrate_revision";

/// Between attempts to connect: at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// A network that is gone says nothing: after so long, the connection is asked.
const SILENCE: Duration = Duration::from_secs(15);

/// Hears of new revisions, on a connection of its own, which lasts until this is dropped.
///
/// It only makes followers faster: who relies on it alone may miss what was committed while it was connecting.
#[derive(Debug)]
pub struct RevisionListener {
    connector: Connector,
    listener: Option<PgListener>,
    /// After how long a silence the connection is asked whether it is still there.
    patience: Duration,
    /// The driver ends a listener with a task.
    runtime: Handle,
}

impl RevisionListener {
    pub(crate) async fn connect(connector: Connector) -> Result<Self, Fault> {
        let listener = Some(listen(&connector).await?);
        Ok(Self { connector, listener, patience: SILENCE, runtime: Handle::current() })
    }

    #[cfg(test)]
    pub(crate) fn be_impatient(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// Returns when a revision may have been committed: on every notification, and once after every new
    /// connection, since notifications may have been lost before it. Connects again by itself, for as long as it
    /// takes. The call may be dropped and made again.
    pub async fn changed(&mut self) {
        match &mut self.listener {
            Some(listener) => {
                if hear(listener, self.patience).await.is_err() {
                    self.listener = None;
                    self.reconnect().await;
                }
            }
            None => self.reconnect().await,
        }
    }

    async fn reconnect(&mut self) {
        let mut pause = FIRST_PAUSE;
        while self.listener.is_none() {
            match listen(&self.connector).await {
                Ok(listener) => self.listener = Some(listener),
                Err(_) => {
                    sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }
}

impl Drop for RevisionListener {
    fn drop(&mut self) {
        let _within = self.runtime.enter();
        drop(self.listener.take());
    }
}

async fn listen(connector: &Connector) -> Result<PgListener, Fault> {
    let once = PgPoolOptions::new().max_connections(1).acquire_timeout(CONNECT).max_lifetime(None).idle_timeout(None);
    let pool = once.connect_lazy_with(connector.options().clone());
    let listening = async {
        let mut listener = PgListener::connect_with(&pool).await?;
        listener.ignore_pool_close_event(true);
        listener.eager_reconnect(false);
        listener.listen(CHANNEL).await?;
        Ok(listener)
    };
    Box::pin(within(CONNECT, async { listening.await.map_err(|error: sqlx::Error| Fault::of(&error)) })).await
}

/// Returns on a notification, or fails when the connection is lost.
async fn hear(listener: &mut PgListener, patience: Duration) -> Result<(), Fault> {
    loop {
        match timeout(patience, listener.try_recv()).await {
            Ok(Ok(Some(_))) => return Ok(()),
            Ok(Ok(None)) => return Err(Fault::Unreachable),
            Ok(Err(error)) => return Err(Fault::of(&error)),
            Err(_) => probe(listener).await?,
        }
    }
}

/// Asks whether the connection is still there: a network that is gone says nothing.
async fn probe(listener: &mut PgListener) -> Result<(), Fault> {
    let asked = async { sqlx::raw_sql("SELECT 1").execute(listener).await.map_err(|error| Fault::of(&error)) };
    within(CONNECT, asked).await.map(drop)
}
