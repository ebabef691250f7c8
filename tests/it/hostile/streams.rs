//! Calls without an end of their own, and calls that are under way when the server stops.

use std::time::Duration;

use magistrate_tests::http2::{Raw, Taken, announced, question};
use magistrate_tests::{Running, Store};
use tokio::time::Instant;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use super::{Attacked, PATIENCE};

/// Reflection takes names, not megabytes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stream_takes_no_more_than_its_method_needs() {
    let attacked = Attacked::start("").await;
    let reflection = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";
    let mut raw = Raw::hello(attacked.address());
    // Announced at once, announced as less than it is, and message after message.
    let bodies =
        [announced(4_000_000, &[b'\n'; 500]), announced(10, &vec![b'\n'; 150_000]), announced(0, &[]).repeat(30_000)];
    for (stream, body) in [1, 3, 5].into_iter().zip(&bodies) {
        raw.call(stream, reflection, &[]);
        let taken = raw.body(stream, body);
        assert!(!taken || raw.until_answered() == Taken::Answered, "stream {stream}");
    }
    attacked.holds().await;
}

/// Who watches health is told of changes only, and its stream ends when the server stops: nobody waits for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watcher_of_health_does_not_hold_up_the_stop() {
    let store = Store::example();
    let mut node = Running::start(&store);
    node.wait_for("\"ready\"");
    let channel = tonic::transport::Endpoint::from_shared(node.url()).unwrap().connect().await.unwrap();
    let mut health = HealthClient::new(channel);
    let mut told = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(told.message().await.unwrap().unwrap().status, 1);
    // Readiness is looked at every 250 ms; what has not changed is not told again.
    assert!(tokio::time::timeout(Duration::from_millis(600), told.message()).await.is_err());
    let begun = Instant::now();
    node.signal("TERM");
    assert_eq!(told.message().await.unwrap().unwrap().status, 2);
    let ended = told.message().await.unwrap_err();
    assert_eq!(ended.code(), tonic::Code::Unavailable, "{ended}");
    assert_eq!(node.wait(), 0);
    assert!(begun.elapsed() < Duration::from_secs(9), "nobody waited out the drain: {:?}", begun.elapsed());
    assert!(!node.logged().contains("did not close"), "{}", node.logged());
}

/// A call that has begun when the server is told to stop is answered, and recorded; no other is begun.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn call_under_way_is_answered_when_the_server_stops() {
    let store = Store::example();
    let mut node = Running::start(&store);
    node.wait_for("\"ready\"");
    let mut raw = Raw::settled(node.address());
    let message = question();
    let (begin, rest) = message.split_at(10);
    raw.begin(1, &[]);
    raw.body(1, &announced(message.len(), begin));
    raw.is_read();
    node.signal("TERM");
    assert_eq!(raw.taken(), Taken::GoAway(0), "no call is begun any more");
    assert!(std::net::TcpStream::connect(node.address()).is_err(), "nobody is let in any more");
    raw.last(1, rest);
    assert_eq!(raw.until_answered(), Taken::Answered);
    // What follows is at most another goodbye.
    assert!(matches!(raw.ended(), Taken::GoAway(0) | Taken::Closed));
    assert_eq!(node.wait(), 0);
    assert_eq!(store.history().len(), 1);
}

/// A server with a limit of open files, and silent peers that take more than it.
fn crowded(limit: &str) -> (Store, Running, Vec<Raw>) {
    let store = Store::example();
    store.file("magistrate.toml", "[limits]\nhello_seconds = 60");
    let mut command = std::process::Command::new("sh");
    command.args(["-c", &format!("ulimit {limit}; exec \"$0\" \"$@\"")]).arg(magistrate_tests::program());
    command.current_dir(store.home()).args(["--default-namespace", "Company"]);
    let node = Running::launch(command);
    let silent = (0..100).map(|_| Raw::silent(node.address())).collect();
    (store, node, silent)
}

/// Out of file descriptors a server waits for some to come back, and goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_without_file_descriptors_goes_on() {
    let (_store, mut node, silent) = crowded("-n 64");
    node.wait_for("cannot accept a connection; pausing");
    assert!(node.logged().contains("may open fewer files"), "{}", node.logged());
    drop(silent);
    let answered = tokio::time::timeout(PATIENCE, node.check(("User", "ana"), "readMessage", ("Message", "m-1001")));
    assert_eq!(answered.await.unwrap().decision, 1);
}

/// A limit that may be raised is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_takes_the_file_descriptors_it_may() {
    let (_store, mut node, _silent) = crowded("-S -n 64");
    let answered = tokio::time::timeout(PATIENCE, node.check(("User", "ana"), "readMessage", ("Message", "m-1001")));
    assert_eq!(answered.await.unwrap().decision, 1);
    assert!(!node.logged().contains("cannot accept"), "{}", node.logged());
}
