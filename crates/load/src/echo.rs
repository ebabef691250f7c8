//! The bare gRPC server that everything is compared with: the messages of a Check, one thread, and no decision.

use std::io::Write as _;

use anyhow::Context as _;
use magistrate_proto::v1::authorization_service_server::{AuthorizationService, AuthorizationServiceServer};
use magistrate_proto::v1::{CheckBatchRequest, CheckBatchResponse, CheckRequest, CheckResponse};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

struct Echo;

#[tonic::async_trait]
impl AuthorizationService for Echo {
    async fn check(&self, request: Request<CheckRequest>) -> Result<Response<CheckResponse>, Status> {
        let decision_id = request.into_inner().action;
        Ok(Response::new(CheckResponse { decision: 2, decision_id, ..CheckResponse::default() }))
    }

    async fn check_batch(&self, _: Request<CheckBatchRequest>) -> Result<Response<CheckBatchResponse>, Status> {
        Err(Status::unimplemented("the echo answers single questions"))
    }
}

/// Serves on a free port until killed, on one thread as the workers of the product do.
pub(crate) fn serve() -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("cannot start")?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("cannot listen")?;
        writeln!(std::io::stderr(), "{{\"address\":\"{}\"}}", listener.local_addr()?)?;
        let service = AuthorizationServiceServer::new(Echo);
        Ok(Server::builder().add_service(service).serve_with_incoming(TcpListenerStream::new(listener)).await?)
    })
}
