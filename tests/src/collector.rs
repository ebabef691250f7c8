//! A receiver of OTLP over gRPC, as telemetry backends run one.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{LogsService, LogsServiceServer};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{ExportMetricsServiceRequest, ExportMetricsServiceResponse};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::logs::v1::LogRecord;
use opentelemetry_proto::tonic::trace::v1::Span;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

/// What was received. The receiver ends when this is dropped.
#[derive(Debug)]
pub struct Collector {
    address: SocketAddr,
    received: Received,
    serving: JoinHandle<()>,
}

#[derive(Debug, Clone, Default)]
struct Received {
    spans: Arc<Mutex<Vec<Span>>>,
    metrics: Arc<Mutex<Vec<String>>>,
    logs: Arc<Mutex<Vec<LogRecord>>>,
    news: watch::Sender<usize>,
}

impl Collector {
    /// Starts one on a free port of this machine.
    #[expect(clippy::disallowed_methods, reason = "the handle is held here, and the task ended with it")]
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let received = Received::default();
        let serving = Server::builder()
            .add_service(TraceServiceServer::new(received.clone()))
            .add_service(MetricsServiceServer::new(received.clone()))
            .add_service(LogsServiceServer::new(received.clone()))
            .serve_with_incoming(TcpListenerStream::new(listener));
        let serving = tokio::spawn(async move { serving.await.unwrap() });
        Self { address, received, serving }
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits until spans and the names of metrics satisfy `enough`, and returns the spans.
    #[track_caller]
    pub fn until(&self, enough: impl Fn(&[Span], &[String]) -> bool) -> impl Future<Output = Vec<Span>> {
        let caller = std::panic::Location::caller();
        let received = self.received.clone();
        async move {
            let mut news = received.news.subscribe();
            let waited = news.wait_for(|_| enough(&received.spans.lock().unwrap(), &received.metrics.lock().unwrap()));
            let late = tokio::time::timeout(PATIENCE, waited).await.is_err();
            assert!(!late, "{caller}: not received: {:?}", received.metrics.lock().unwrap());
            received.spans.lock().unwrap().clone()
        }
    }
}

impl Collector {
    /// Waits until so many log records came, and returns them.
    #[track_caller]
    pub fn logs(&self, count: usize) -> impl Future<Output = Vec<LogRecord>> {
        let caller = std::panic::Location::caller();
        let received = self.received.clone();
        async move {
            let mut news = received.news.subscribe();
            let waited = news.wait_for(|_| received.logs.lock().unwrap().len() >= count);
            let late = tokio::time::timeout(PATIENCE, waited).await.is_err();
            let logs = received.logs.lock().unwrap().clone();
            assert!(!late, "{caller}: {} of {count} log records came", logs.len());
            logs
        }
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

#[tonic::async_trait]
impl TraceService for Received {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let scopes = request.into_inner().resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
        self.spans.lock().unwrap().extend(scopes.flat_map(|scope| scope.spans));
        self.news.send_modify(|news| *news += 1);
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl LogsService for Received {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        let scopes = request.into_inner().resource_logs.into_iter().flat_map(|resource| resource.scope_logs);
        self.logs.lock().unwrap().extend(scopes.flat_map(|scope| scope.log_records));
        self.news.send_modify(|news| *news += 1);
        Ok(Response::new(ExportLogsServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Received {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let scopes = request.into_inner().resource_metrics.into_iter().flat_map(|resource| resource.scope_metrics);
        let names = scopes.flat_map(|scope| scope.metrics).map(|metric| metric.name);
        self.metrics.lock().unwrap().extend(names);
        self.news.send_modify(|news| *news += 1);
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

/// Longer than exporting takes on a loaded machine.
const PATIENCE: Duration = Duration::from_mins(1);
