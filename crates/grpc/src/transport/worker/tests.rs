//! Connections are spread evenly, a worker that ends is noticed, and stopping waits for calls but not for ever.

use std::convert::Infallible;
use std::sync::atomic::AtomicBool;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tonic::body::Body;
use tower_service::Service;

use super::*;
use crate::call::{Inbound, Outbound};
use crate::transport::Arriving;
use crate::transport::places::Places;
use crate::transport::room::Room;

const PATIENCE: Duration = Duration::from_mins(1);

/// Answers once it may. Told to, it panics where a worker takes its next connection.
struct Slow {
    may: Arc<Semaphore>,
    begun: Arc<Semaphore>,
    panics: Arc<AtomicBool>,
}

impl Clone for Slow {
    fn clone(&self) -> Self {
        assert!(!self.panics.load(Ordering::SeqCst), "told to");
        Self { may: Arc::clone(&self.may), begun: Arc::clone(&self.begun), panics: Arc::clone(&self.panics) }
    }
}

impl Service<http::Request<Inbound<Arriving<Incoming>>>> for Slow {
    type Response = http::Response<Outbound>;
    type Error = Infallible;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _request: http::Request<Inbound<Arriving<Incoming>>>) -> Self::Future {
        let may = Arc::clone(&self.may);
        self.begun.add_permits(1);
        Box::pin(async move {
            may.acquire().await.unwrap().forget();
            Ok(Outbound::routed(http::Response::new(Body::empty())))
        })
    }
}

struct Set {
    workers: Workers,
    listener: TcpListener,
    places: Arc<Places>,
    slow: Slow,
}

impl Set {
    async fn of(count: usize) -> Self {
        let slow =
            Slow { may: Arc::new(Semaphore::new(0)), begun: Arc::new(Semaphore::new(0)), panics: Arc::default() };
        let (limits, stats) = (Limits::default(), Arc::<TransportStats>::default());
        let stack = slow.clone();
        let serving = Serving { stack, limits, certificates: None, room: Room::new(0), stats: Arc::clone(&stats) };
        let plan = Plan { workers: count, stack_bytes: 1 << 20, limits };
        let workers = Workers::start(&plan, &serving).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { workers, listener, places: Places::new(limits, stats), slow }
    }

    /// A connection that is handed out.
    async fn connect(&self) -> TcpStream {
        let near = TcpStream::connect(self.listener.local_addr().unwrap()).await.unwrap();
        let (far, peer) = self.listener.accept().await.unwrap();
        assert!(self.workers.hand_out(far, self.places.take(peer.ip()).unwrap()));
        near
    }

    fn loads(&self) -> Vec<usize> {
        self.workers.all.iter().map(|worker| worker.load.load(Ordering::SeqCst)).collect()
    }

    /// A call on a connection of its own, which has begun.
    async fn call(&self) -> impl Future<Output = bool> + use<> {
        let stream = TokioIo::new(self.connect().await);
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
        let mut call = JoinSet::new();
        call.spawn(async move { connection.await.is_ok() });
        call.spawn(async move {
            let request = http::Request::post("http://x/y").body(Body::empty()).unwrap();
            sender.send_request(request).await.is_ok()
        });
        self.slow.begun.acquire().await.unwrap().forget();
        async move { call.join_all().await.into_iter().all(|well| well) }
    }
}

#[tokio::test]
async fn connections_are_spread_evenly() {
    let set = Set::of(3).await;
    let mut held = Vec::new();
    for n in 1..=10 {
        held.push(set.connect().await);
        let loads = set.loads();
        assert_eq!(loads.iter().sum::<usize>(), n);
        assert!(loads.iter().max().unwrap() - loads.iter().min().unwrap() <= 1, "{loads:?}");
    }
    // Whoever has fewest is next, whosever turn it is.
    held.drain(..6);
    let ended = async {
        while set.loads().iter().sum::<usize>() > 4 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.unwrap();
    for _ in 0..5 {
        held.push(set.connect().await);
    }
    assert_eq!(set.loads(), [3, 3, 3]);
}

#[tokio::test]
async fn worker_that_panics_is_noticed() {
    let set = Set::of(2).await;
    let crashed = set.workers.crashed();
    tokio::pin!(crashed);
    assert!(tokio::time::timeout(Duration::ZERO, crashed.as_mut()).await.is_err());
    set.slow.panics.store(true, Ordering::SeqCst);
    let _taken = set.connect().await;
    tokio::time::timeout(PATIENCE, crashed).await.unwrap();
}

#[tokio::test]
async fn calls_under_way_are_answered_when_workers_are_stopped() {
    let set = Set::of(1).await;
    let (call, may) = (set.call().await, Arc::clone(&set.slow.may));
    let stop = set.workers.stop();
    tokio::pin!(stop);
    assert!(tokio::time::timeout(Duration::from_millis(50), stop.as_mut()).await.is_err(), "it waits for the call");
    may.add_permits(1);
    tokio::time::timeout(PATIENCE, stop).await.unwrap();
    assert!(call.await);
}

/// Nothing that a call holds outlives the wait for it.
#[tokio::test]
async fn calls_are_cut_off_when_nobody_waits_for_them_any_more() {
    let set = Set::of(1).await;
    let call = set.call().await;
    let held = Arc::downgrade(&set.slow.may);
    drop(tokio::time::timeout(Duration::from_millis(50), set.workers.stop()).await);
    drop(set.slow);
    let released = async {
        while held.strong_count() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, released).await.unwrap();
    assert!(!call.await);
}
