//! Clients that ask without pause and keep what they were told.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use magistrate_client::v1::{CheckRequest, CheckResponse};
use magistrate_client::{Client, ClientError};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic::Code;

use super::Deployment;
use crate::running::{Running, request};

/// Clients of a node, each with a connection of its own.
#[derive(Debug)]
pub struct Load {
    clients: JoinSet<()>,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    pause: Duration,
    run: usize,
    begun: Instant,
    begun_at: Duration,
    told: Mutex<Told>,
    counts: watch::Sender<Counts>,
    over: AtomicBool,
}

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    acknowledged: usize,
    refused: usize,
    /// The newest that was answered by.
    revision: u64,
}

/// Everything the clients were told.
#[derive(Debug, Default, Clone)]
pub struct Told {
    /// The answers.
    pub acknowledged: Vec<Acknowledged>,
    /// The refusals.
    pub refused: Vec<Refused>,
    /// What should never be, in words.
    pub wrong: Vec<String>,
}

/// A decision that a client was told.
#[derive(Debug, Clone)]
pub struct Acknowledged {
    /// Its id.
    pub id: String,
    /// Its leaf, in hexadecimal.
    pub leaf: String,
    /// The id of the request.
    pub request: String,
    /// The revision it was made by.
    pub revision: u64,
    /// When it arrived, since the load began.
    pub at: Duration,
    /// How long it took.
    pub took: Duration,
}

/// A request that was not answered.
#[derive(Debug, Clone)]
pub struct Refused {
    /// How.
    pub code: Code,
    /// Why.
    pub text: String,
    /// How long that took.
    pub took: Duration,
}

impl Load {
    /// Starts so many clients of a node, which ask without pause.
    pub async fn start(node: &Running, clients: usize) -> Self {
        Self::paced(node, clients, Duration::ZERO).await
    }

    /// The same with a pause between an answer and the next request.
    pub async fn paced(node: &Running, clients: usize, pause: Duration) -> Self {
        static RUNS: AtomicUsize = AtomicUsize::new(0);
        let shared = Arc::new(Shared {
            pause,
            run: RUNS.fetch_add(1, Ordering::SeqCst),
            begun: now(),
            begun_at: since_1970(),
            told: Mutex::default(),
            counts: watch::Sender::default(),
            over: AtomicBool::new(false),
        });
        let mut load = Self { clients: JoinSet::new(), shared };
        for number in 0..clients {
            let client = node.client().await;
            load.clients.spawn(ask(client, number, load.shared.clone()));
        }
        load
    }

    /// When the load began, since 1970; the times of answers count from here.
    pub fn begun_at(&self) -> Duration {
        self.shared.begun_at
    }

    /// Waits for so many more answers.
    #[track_caller]
    pub fn answers(&self, more: usize) -> impl Future<Output = ()> {
        let wanted = self.shared.counts.borrow().acknowledged + more;
        self.until("more answers", move |counts| counts.acknowledged >= wanted)
    }

    /// Waits for so many more refusals.
    #[track_caller]
    pub fn refusals(&self, more: usize) -> impl Future<Output = ()> {
        let wanted = self.shared.counts.borrow().refused + more;
        self.until("more refusals", move |counts| counts.refused >= wanted)
    }

    /// Waits for an answer by a revision.
    #[track_caller]
    pub fn reaches(&self, revision: u64) -> impl Future<Output = ()> {
        self.until("an answer by the revision", move |counts| counts.revision >= revision)
    }

    /// Lets every client finish its request and returns what they were told.
    pub async fn stop(self) -> Told {
        self.shared.over.store(true, Ordering::SeqCst);
        self.clients.join_all().await;
        self.shared.told.lock().unwrap().clone()
    }

    #[track_caller]
    fn until(&self, what: &str, reached: impl Fn(&Counts) -> bool) -> impl Future<Output = ()> {
        let caller = std::panic::Location::caller();
        let what = what.to_owned();
        let mut counts = self.shared.counts.subscribe();
        let shared = self.shared.clone();
        async move {
            if tokio::time::timeout(PATIENCE, counts.wait_for(reached)).await.is_err() {
                let last = shared.told.lock().unwrap().refused.last().map(|refused| refused.text.clone());
                let counts = *shared.counts.borrow();
                panic!("{caller}: {what}: not within {PATIENCE:?}; {counts:?}, last refusal: {last:?}");
            }
        }
    }
}

impl Told {
    /// Expects every answer exactly once in history, and no request recorded twice.
    #[track_caller]
    pub fn expect_recorded(&self, deployment: &Deployment) {
        let history = deployment.history();
        for told in &self.acknowledged {
            let Some(recorded) = history.get(&told.id) else { panic!("the acknowledged {} is lost", told.id) };
            assert_eq!((&recorded.leaf, &recorded.request), (&told.leaf, &told.request), "{} is another", told.id);
        }
        let mut requests = BTreeSet::new();
        for (id, recorded) in history.iter().filter(|(_, recorded)| !recorded.request.is_empty()) {
            assert!(requests.insert(&recorded.request), "{} is recorded again as {id}", recorded.request);
        }
        self.expect_nothing_wrong();
    }

    /// Expects nothing that should never be.
    #[track_caller]
    pub fn expect_nothing_wrong(&self) {
        assert!(self.wrong.is_empty(), "{:?}", self.wrong);
    }

    /// Expects every refusal to be UNAVAILABLE, and everything to have been told in time.
    #[track_caller]
    pub fn expect_told_within(&self, limit: Duration) {
        for refused in &self.refused {
            assert_eq!(refused.code, Code::Unavailable, "{}", refused.text);
        }
        assert!(self.slowest() < limit, "the slowest took {:?}", self.slowest());
    }

    /// The longest time that a caller waited.
    pub fn slowest(&self) -> Duration {
        let answers = self.acknowledged.iter().map(|it| it.took);
        answers.chain(self.refused.iter().map(|it| it.took)).max().unwrap_or_default()
    }
}

async fn ask(client: Client, number: usize, shared: Arc<Shared>) {
    for n in 0_usize.. {
        if shared.over.load(Ordering::SeqCst) {
            return;
        }
        let id = format!("load-{}-{number}-{n}", shared.run);
        let read = request(("User", "ana"), "readMessage", ("Message", "m-1001"));
        let read = CheckRequest { request_id: id.clone(), explain: false, ..read };
        let floor = shared.counts.borrow().revision;
        let asked = now();
        let answer = client.check(read, DEADLINE).await;
        let took = asked.elapsed();
        let refused = answer.is_err();
        match answer {
            Ok(answer) => shared.acknowledge(answer, id, floor, took),
            Err(error) => shared.refuse(&error, took),
        }
        // What is refused at once would be asked again at once.
        let pause = if refused { shared.pause.max(Duration::from_millis(10)) } else { shared.pause };
        if !pause.is_zero() {
            tokio::time::sleep(pause).await;
        }
    }
}

impl Shared {
    fn acknowledge(&self, answer: CheckResponse, request: String, floor: u64, took: Duration) {
        let revision = answer.revision;
        let mut told = self.told.lock().unwrap();
        let id = answer.decision_id.clone();
        if revision < floor {
            told.wrong.push(format!("{id} was answered by revision {revision} after {floor} was"));
        }
        if !magistrate_client::is_allowed(&answer) {
            told.wrong.push(format!("{id} is a deny of what is allowed"));
        }
        let leaf = answer.receipt.map(|receipt| receipt.leaf).unwrap_or_default();
        let leaf = hexadecimal(&leaf);
        let at = self.begun.elapsed();
        told.acknowledged.push(Acknowledged { id, leaf, request, revision, at, took });
        drop(told);
        self.counts.send_modify(|counts| {
            counts.acknowledged += 1;
            counts.revision = counts.revision.max(revision);
        });
    }

    fn refuse(&self, error: &ClientError, took: Duration) {
        let (code, text) = match error {
            ClientError::Refused(refusal) => (refusal.code, refusal.to_string()),
            ClientError::Endpoint { .. } | ClientError::Key(_) | ClientError::Unreachable { .. } => {
                (Code::Unknown, error.to_string())
            }
        };
        self.told.lock().unwrap().refused.push(Refused { code, text, took });
        self.counts.send_modify(|counts| counts.refused += 1);
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

#[expect(clippy::disallowed_methods, reason = "what is measured is real time")]
fn now() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "compared with the database's own clock")]
fn since_1970() -> Duration {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap()
}

/// What callers would wait for if nobody told them earlier.
const DEADLINE: Duration = Duration::from_secs(30);
/// Longer than healing takes; only failures wait so long.
const PATIENCE: Duration = Duration::from_secs(40);
