//! What `grpc.health.v1` says.

use magistrate_proto::v1::authorization_service_server::SERVICE_NAME;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

/// The health that a server reports for itself and for its service. Clones share it.
#[derive(Debug, Clone)]
pub struct Health(HealthReporter);

impl Health {
    /// Not serving, until somebody says otherwise.
    pub async fn not_ready() -> Self {
        let health = Self(HealthReporter::new());
        health.set(false).await;
        health
    }

    /// Reports whether decisions can be made.
    pub async fn set(&self, ready: bool) {
        let status = if ready { ServingStatus::Serving } else { ServingStatus::NotServing };
        for service in ["", SERVICE_NAME] {
            self.0.set_service_status(service, status).await;
        }
    }

    pub(crate) fn service(&self) -> HealthServer<HealthService> {
        HealthServer::new(HealthService::from_health_reporter(self.0.clone()))
    }
}
