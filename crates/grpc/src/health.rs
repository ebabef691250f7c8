//! What `grpc.health.v1` says.

use std::sync::Arc;

use magistrate_proto::v1::authorization_service_server::SERVICE_NAME;
use tokio::sync::Mutex;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

/// The health that a server reports for itself and for its service. Clones share it.
#[derive(Debug, Clone)]
pub struct Health {
    reporter: HealthReporter,
    /// What was reported last; held while reporting, so that two reports cannot overtake each other.
    told: Arc<Mutex<Option<bool>>>,
}

impl Health {
    /// Not serving, until somebody says otherwise.
    pub async fn not_ready() -> Self {
        let health = Self { reporter: HealthReporter::new(), told: Arc::default() };
        health.set(false).await;
        health
    }

    /// Reports whether decisions can be made. Who watches is told of changes only.
    pub async fn set(&self, ready: bool) {
        let mut told = self.told.lock().await;
        if told.replace(ready) == Some(ready) {
            return;
        }
        let status = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
        for service in ["", SERVICE_NAME] {
            self.reporter.set_service_status(service, status).await;
        }
    }

    pub(crate) fn service(&self) -> HealthServer<HealthService> {
        HealthServer::new(HealthService::from_health_reporter(self.reporter.clone()))
    }
}
