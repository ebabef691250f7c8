//! The bare gRPC server that everything is compared with: the messages of a Check, the runtime and the allocator of
//! the product, and no decision.

use std::io::Write as _;
use std::net::SocketAddr;

use anyhow::Context as _;
use magistrate_proto::v1::authorization_service_server::{AuthorizationService, AuthorizationServiceServer};
use magistrate_proto::v1::{
    CheckBatchRequest, CheckBatchResponse, CheckRequest, CheckResponse, Decision, DurabilityClass, Receipt,
};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::transport::Server;
use tonic::{Request, Response, Status};

/// Connections on their way to a worker.
const WAITING: usize = 1_024;

/// How the echo is served.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Echoing {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Threads that serve, each with the connections it was handed; 0: one a core
    #[arg(long, default_value_t = 0)]
    workers: usize,
    /// One runtime of several threads instead, which share every connection: what most gRPC servers in Rust run on
    #[arg(long)]
    shared: bool,
}

#[derive(Debug, Clone)]
struct Echo {
    answer: CheckResponse,
}

#[tonic::async_trait]
impl AuthorizationService for Echo {
    async fn check(&self, request: Request<CheckRequest>) -> Result<Response<CheckResponse>, Status> {
        drop(request.into_inner());
        Ok(Response::new(self.answer.clone()))
    }

    async fn check_batch(&self, _: Request<CheckBatchRequest>) -> Result<Response<CheckBatchResponse>, Status> {
        Err(Status::unimplemented("the echo answers single questions"))
    }
}

/// Serves until killed.
pub(crate) fn serve(echoing: &Echoing) -> anyhow::Result<()> {
    let workers = match echoing.workers {
        0 => std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        some => some,
    };
    match echoing.shared {
        true => shared(echoing.listen, workers),
        false => handed_out(echoing.listen, workers),
    }
}

/// One runtime for everything.
fn shared(listen: SocketAddr, workers: usize) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build()?;
    runtime.block_on(async {
        let incoming = TcpListenerStream::new(bind(listen).await?).map(prompt);
        Ok(server().serve_with_incoming(incoming).await?)
    })
}

/// One acceptor, and a runtime for each worker, which gets connections in turn.
fn handed_out(listen: SocketAddr, workers: usize) -> anyhow::Result<()> {
    let mut hands = Vec::new();
    for number in 0..workers {
        let (hand, taken) = mpsc::channel(WAITING);
        hands.push(hand);
        let thread = std::thread::Builder::new().name(format!("echo-{number}"));
        // Never joined: it serves until the process is killed.
        let _serving = thread.spawn(move || work(taken)).context("cannot start a thread")?;
    }
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let listener = bind(listen).await?;
        for hand in hands.iter().cycle() {
            let (stream, _) = listener.accept().await.context("cannot accept a connection")?;
            hand.send(stream.into_std()?).await.context("a thread that serves has ended")?;
        }
        Ok(())
    })
}

fn work(taken: mpsc::Receiver<std::net::TcpStream>) -> anyhow::Result<()> {
    let incoming = ReceiverStream::new(taken).map(|stream| prompt(TcpStream::from_std(stream)));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(server().serve_with_incoming(incoming))?)
}

async fn bind(listen: SocketAddr) -> anyhow::Result<TcpListener> {
    let listener = TcpListener::bind(listen).await.with_context(|| format!("cannot listen on `{listen}`"))?;
    writeln!(std::io::stderr(), "{{\"address\":\"{}\"}}", listener.local_addr()?)?;
    Ok(listener)
}

/// Answers leave at once.
fn prompt(accepted: std::io::Result<TcpStream>) -> std::io::Result<TcpStream> {
    let stream = accepted?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn server() -> tonic::transport::server::Router {
    Server::builder().add_service(AuthorizationServiceServer::new(Echo { answer: answer() }))
}

/// As long as a real one.
fn answer() -> CheckResponse {
    let stream = "0123456789abcdef0123456789abcdef";
    CheckResponse {
        decision: Decision::Deny.into(),
        cause: 3,
        decision_id: format!("{stream}-123456"),
        determining_policies: vec!["documents.published.read".into()],
        revision: 7,
        policy_set_digest: format!("{stream}{stream}"),
        receipt: Some(Receipt {
            stream: stream.into(),
            seq: 123_456,
            leaf: vec![7; 32],
            class: DurabilityClass::Database.into(),
        }),
        ..CheckResponse::default()
    }
}
