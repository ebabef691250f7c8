//! What a node says of itself over the standard health service.

use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::running::Running;

/// Watches whether a node serves. Ends when dropped.
#[derive(Debug)]
pub struct Health {
    serving: watch::Receiver<Option<bool>>,
    watching: JoinHandle<()>,
}

impl Health {
    /// Watches a node from now on.
    #[expect(clippy::disallowed_methods, reason = "the handle is held here, and the task ended with it")]
    pub async fn of(node: &Running) -> Self {
        let channel = Endpoint::from_shared(node.url()).unwrap().connect().await.unwrap();
        let mut states = HealthClient::new(channel).watch(HealthCheckRequest::default()).await.unwrap().into_inner();
        let (told, serving) = watch::channel(None);
        let watching = tokio::spawn(async move {
            while let Ok(Some(state)) = states.message().await {
                let _nobody_looks = told.send(Some(state.status == 1));
            }
        });
        Self { serving, watching }
    }

    /// Waits until the node says that it serves, or that it does not.
    #[track_caller]
    pub fn until(&self, serving: bool) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        let mut states = self.serving.clone();
        async move {
            let reached = tokio::time::timeout(PATIENCE, states.wait_for(|state| *state == Some(serving)));
            let reached = reached.await.map(|ended| ended.map(|_| ()));
            assert!(matches!(reached, Ok(Ok(()))), "{caller}: the node never said serving = {serving}: {reached:?}");
        }
    }
}

impl Drop for Health {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

const PATIENCE: Duration = Duration::from_secs(90);
