//! Hostile clients, written by hand and by h2load: memory stays bounded, the limit that is meant ends them, and honest
//! callers are answered all the while.

use std::process::Command;
use std::time::Duration;

use magistrate_tests::http2::{END, Raw, Taken, kind};
use magistrate_tests::{Running, Store, request, skip};

mod memory;
mod streams;
mod tls;

const PATIENCE: Duration = Duration::from_mins(1);
/// Bytes that a hostile client may make the process take, an unoptimised build's included.
const MOST_MORE: u64 = 96 * 1024 * 1024;

struct Attacked {
    _store: Store,
    node: Running,
    before: u64,
}

impl Attacked {
    async fn start(limits: &str) -> Self {
        let store = Store::example();
        store.file("magistrate.toml", limits);
        let node = Running::start(&store);
        let attacked = Self { before: resident(node.id()), _store: store, node };
        attacked.serves().await;
        attacked
    }

    fn address(&self) -> &str {
        self.node.address()
    }

    /// An honest caller on a connection of its own is answered.
    async fn serves(&self) {
        let answer = self.node.check(("User", "ana"), "readMessage", ("Message", "m-1001")).await;
        assert_eq!(answer.decision, 1);
    }

    async fn holds(&self) {
        self.serves().await;
        let more = resident(self.node.id()).saturating_sub(self.before);
        assert!(more < MOST_MORE, "{more} bytes more than before");
    }

    /// How many connections were ended for a reason.
    fn ended(&self, reason: &str) -> u64 {
        ended(&self.node, reason)
    }

    /// How many calls were refused for a reason.
    fn refused(&self, reason: &str) -> u64 {
        self.metric(&format!("magistrate_refusals_total{{reason=\"{reason}\"}} "))
    }

    /// A figure, or 0 where there is none yet.
    fn metric(&self, name: &str) -> u64 {
        metric(&self.node, name)
    }
}

fn ended(node: &Running, reason: &str) -> u64 {
    metric(node, &format!("magistrate_connections_ended_total{{reason=\"{reason}\"}} "))
}

fn metric(node: &Running, name: &str) -> u64 {
    let (_, text) = node.get("/metrics");
    text.lines().find_map(|line| line.strip_prefix(name)?.parse().ok()).unwrap_or(0)
}

/// Asks until it is so.
#[track_caller]
fn until(what: &str, mut reached: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !reached() {
        assert!(tokio::time::Instant::now() < deadline, "never: {what}");
        std::thread::yield_now();
    }
}

/// Bytes of a process that are resident.
fn resident(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
}

/// CVE-2023-44487: calls that are reset as soon as they were begun.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rapid_resets_end_the_connection() {
    let attacked = Attacked::start("").await;
    let mut raw = Raw::hello(attacked.address());
    for n in 0..20_000 {
        let stream = 2 * n + 1;
        if !raw.begin(stream, &[]) || !raw.frame(kind::RST_STREAM, 0, stream, &[0, 0, 0, 8]) {
            break;
        }
    }
    assert!(matches!(raw.taken(), Taken::GoAway(11) | Taken::Closed), "ENHANCE_YOUR_CALM");
    attacked.holds().await;
}

/// CVE-2024-27316 and its kin: headers that never end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn endless_headers_end_the_connection() {
    let attacked = Attacked::start("").await;
    let mut raw = Raw::hello(attacked.address());
    raw.frame(kind::HEADERS, 0, 1, &[]);
    let mut taken = 0;
    while taken < 20_000 && raw.frame(kind::CONTINUATION, 0, 1, &[0x40, 1, b'a', 1, b'b'].repeat(2_000)) {
        taken += 1;
    }
    assert!(taken < 20_000, "200 MB of headers were taken");
    attacked.holds().await;
}

/// Headers over the limit are refused before anything is decided.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn headers_over_the_limit_are_refused() {
    let attacked = Attacked::start("").await;
    let mut raw = Raw::hello(attacked.address());
    raw.begin(1, &[("x-long", &"x".repeat(9_000))]);
    raw.frame(kind::DATA, END, 1, &[]);
    assert_eq!(raw.taken(), Taken::Answered, "431, and no call");
    let (_, metrics) = attacked.node.get("/metrics");
    assert!(metrics.contains("magistrate_decisions_total{cause=\"permitted\",decision=\"allow\"} 1"), "{metrics}");
    attacked.holds().await;
}

/// Who connects and says nothing, or says it a byte at a time, is cut off after `hello_seconds`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connection_without_a_hello_is_cut_off() {
    let attacked = Attacked::start("[limits]\nhello_seconds = 1").await;
    let mut silent: Vec<Raw> = (0..200).map(|_| Raw::silent(attacked.address())).collect();
    silent.iter_mut().for_each(|raw| _ = raw.bytes(b"PRI * HTTP"));
    silent.iter_mut().for_each(|raw| assert_eq!(raw.ended(), Taken::Closed));
    let counted = std::iter::repeat_with(|| attacked.ended("no_hello")).take(100_000).find(|count| *count == 200);
    assert!(counted.is_some(), "{}", attacked.ended("no_hello"));
    attacked.holds().await;
}

/// Pings and settings without end cost memory to nobody, and honest callers are answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_of_control_frames_are_borne() {
    let attacked = Attacked::start("").await;
    for (frame, payload) in [(kind::PING, &[7; 8][..]), (kind::SETTINGS, &[0, 3, 0, 0, 0, 100]), (kind::DATA, &[])] {
        let mut raw = Raw::hello(attacked.address());
        if frame == kind::DATA {
            raw.begin(1, &[]);
        }
        let stream = u32::from(frame == kind::DATA);
        // Nobody reads the answers: the peer stops taking frames, or ends it.
        let address = attacked.address().to_owned();
        let flood = std::thread::spawn(move || {
            let taken = (0..200_000).take_while(|_| raw.frame(frame, 0, stream, payload)).count();
            raw.finish();
            (taken, address)
        });
        attacked.serves().await;
        let _taken = flood.join().unwrap();
        attacked.holds().await;
    }
}

/// A body that never comes is waited for until the deadline, and no longer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn body_that_dribbles_ends_at_the_deadline() {
    let attacked = Attacked::start("[limits]\ndeadline_seconds = 1").await;
    let mut raw = Raw::hello(attacked.address());
    raw.begin(1, &[]);
    // A message of 1 GiB is announced, and one byte of it sent.
    raw.frame(kind::DATA, 0, 1, &[0, 0x40, 0, 0, 0, 1]);
    raw.begin(3, &[]);
    raw.frame(kind::DATA, 0, 3, &[0, 0, 0, 0, 80, 1]);
    attacked.holds().await;
    let refusals = |reason: &str| {
        let (_, text) = attacked.node.get("/metrics");
        let name = format!("magistrate_refusals_total{{reason=\"{reason}\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&name)?.parse::<u64>().ok()).unwrap_or(0)
    };
    let late = std::iter::repeat_with(|| refusals("DEADLINE_EXCEEDED")).take(100_000).find(|count| *count >= 1);
    assert_eq!(late, Some(1), "the second; the first is refused for its size");
}

/// More calls than a connection may have are refused, one by one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_over_the_limit_of_a_connection_are_refused() {
    let attacked = Attacked::start("[limits]\nstreams = 4").await;
    let mut raw = Raw::settled(attacked.address());
    for n in 0..5 {
        raw.begin(2 * n + 1, &[]);
    }
    assert_eq!(raw.taken(), Taken::Reset(7), "REFUSED_STREAM, of the fifth");
    attacked.holds().await;
}

/// More calls than the process may have are shed at once, and health is told all the while.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_over_the_limit_of_the_process_are_shed() {
    let attacked = Attacked::start("[limits]\nin_flight = 3\ndeadline_seconds = 30").await;
    let mut raw = Raw::hello(attacked.address());
    for stream in [1, 3, 5] {
        raw.begin(stream, &[]);
    }
    let in_flight = |count: u32| {
        let line = format!("magistrate_calls_in_flight {count}\n");
        let told =
            std::iter::repeat_with(|| attacked.node.get("/metrics").1).take(100_000).find(|it| it.contains(&line));
        assert!(told.is_some(), "never {count} calls in flight");
    };
    in_flight(3);
    let client = attacked.node.client().await;
    let question = || request(("User", "ana"), "readMessage", ("Message", "m-1001"));
    let magistrate_client::ClientError::Refused(refusal) = client.check(question(), PATIENCE).await.unwrap_err() else {
        panic!("it is refused by the server")
    };
    assert_eq!((refusal.code, refusal.reason.as_deref()), (tonic::Code::ResourceExhausted, Some("OVERLOADED")));
    assert!(refusal.retry_after.is_some());
    let channel = tonic::transport::Endpoint::from_shared(attacked.node.url()).unwrap().connect().await.unwrap();
    let mut health = tonic_health::pb::health_client::HealthClient::new(channel);
    let told = health.check(tonic_health::pb::HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(told.status, 1);
    drop(raw);
    in_flight(0);
    assert_eq!(client.check(question(), PATIENCE).await.unwrap().decision, 1);
}

/// Connections over the limit are closed when they are accepted; those under it are served.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_over_the_limit_are_closed() {
    let attacked = Attacked::start("[limits]\nconnections = 50\nhello_seconds = 60").await;
    let client = attacked.node.client().await;
    let mut held: Vec<Raw> = (0..80).map(|_| Raw::hello(attacked.address())).collect();
    let mut last = held.pop().unwrap();
    assert_eq!(last.ended(), Taken::Closed);
    let answer = client.check(request(("User", "ana"), "readMessage", ("Message", "m-1001")), PATIENCE).await.unwrap();
    assert_eq!(answer.decision, 1);
    assert!(attacked.ended("too_many") >= 30);
}

/// Connections without calls, and old ones, are closed politely.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_and_old_connections_are_closed() {
    for (limits, reason) in
        [("idle_seconds = 1\nage_grace_seconds = 1", "idle"), ("age_seconds = 1\nage_grace_seconds = 1", "age")]
    {
        let attacked = Attacked::start(&format!("[limits]\n{limits}")).await;
        let mut raw = Raw::hello(attacked.address());
        assert_eq!(raw.ended(), Taken::GoAway(0), "{reason}");
        // It is counted once it has ended.
        let counted = std::iter::repeat_with(|| attacked.ended(reason)).take(100_000).find(|count| *count >= 1);
        assert!(counted.is_some(), "{reason}");
    }
}

/// Many connections, many calls, all at once, from a client that is made for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn saturation_is_borne() {
    if Command::new("h2load").arg("--version").output().is_err() {
        return skip("saturation_is_borne", "no h2load; run tests/run");
    }
    let attacked = Attacked::start("").await;
    let url = format!("{}/magistrate.v1.AuthorizationService/Check", attacked.node.url());
    // An empty message: no question, and refused as such.
    let message = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(message.path(), [0; 5]).unwrap();
    let flood = tokio::task::spawn_blocking(move || {
        let arguments =
            ["-n", "3000", "-c", "100", "-m", "10", "-H", "te: trailers", "-H", "content-type: application/grpc"];
        Command::new("h2load").args(arguments).arg("-d").arg(message.path()).arg(&url).output().unwrap()
    });
    for _ in 0..5 {
        attacked.serves().await;
    }
    let told = String::from_utf8_lossy(&flood.await.unwrap().stdout).into_owned();
    assert!(told.contains("3000 done"), "{told}");
    attacked.holds().await;
}
