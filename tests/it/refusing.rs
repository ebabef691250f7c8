//! What a server refuses is in the ledger: one by one, or summed up, and nothing else suffers from it.

use std::collections::BTreeMap;
use std::time::Duration;

use magistrate_client::structure::Struct;
use magistrate_client::v1::audit_service_client::AuditServiceClient;
use magistrate_client::v1::{BatchItem, CheckBatchRequest, CheckRequest, ListCheckpointsRequest};
use magistrate_client::{Client, ClientError, Options};
use magistrate_testkit::postgres;
use magistrate_tests::http2::{CHECK, Raw, Taken};
use magistrate_tests::postgres::{Deployment, Login};
use magistrate_tests::{ADMIN, CLASS, Ran, Running, Store, ran, request, tell};
use serde_json::Value as Json;
use tonic::transport::Endpoint;
use tonic::{Code, Request};

const PATIENCE: Duration = Duration::from_mins(1);

/// Three of a caller and minute stand alone, and what is summed up is due after a second.
const SETTINGS: &str = "[ledger]\nrefusals_per_minute = 3\nrefusal_summary_seconds = 1\n";

fn question() -> CheckRequest {
    request(("User", "ana"), "readMessage", ("Message", "m-1001"))
}

/// Asks, and says with which code and reason it was refused.
async fn refusal(client: &Client, request: CheckRequest) -> (Code, String) {
    match client.check(request, PATIENCE).await {
        Err(ClientError::Refused(refusal)) => (refusal.code, refusal.reason.clone().unwrap_or_default()),
        other => panic!("{other:?}"),
    }
}

async fn connect(url: &str, key: Option<&str>) -> Client {
    let options = Options { api_key: key.map(str::to_owned), ..Options::default() };
    Client::connect_with(url, &options).await.unwrap()
}

fn id(key: &str) -> &str {
    key.split('_').nth(2).unwrap()
}

fn metric(node: &Running, name: &str) -> u64 {
    let (_, text) = node.get("/metrics");
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok()).unwrap_or(0)
}

/// Waits until so many refusals are in the ledger.
#[track_caller]
fn until_recorded(node: &Running, count: u64) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let recorded =
        || metric(node, "magistrate_refusals_recorded_total ") + metric(node, "magistrate_refusals_summed_total ");
    while recorded() < count {
        assert!(tokio::time::Instant::now() < deadline, "{} of {count} are recorded", recorded());
        std::thread::yield_now();
    }
    assert_eq!((recorded(), metric(node, "magistrate_refusals_waiting ")), (count, 0));
}

/// Acts, as `audit acts` tells them.
type Audit<'a> = Box<dyn Fn(&[&str]) -> Ran + 'a>;

#[track_caller]
fn acts(audit: &Audit<'_>, arguments: &[&str]) -> Vec<Json> {
    let told = audit(&[&["-o", "json", "audit", "acts", "-n", "100000"], arguments].concat()).code(0).json();
    told.as_array().unwrap().clone()
}

fn text<'a>(act: &'a Json, field: &str) -> &'a str {
    act.get(field).and_then(Json::as_str).unwrap_or_default()
}

/// What was summed up, over all summaries, by cause and source.
fn summed(audit: &Audit<'_>) -> BTreeMap<String, u64> {
    let mut summed = BTreeMap::new();
    for act in acts(audit, &["--kind", "refusal"]) {
        let pair = format!("{} from {}", text(&act, "cause"), text(&act, "source"));
        *summed.entry(pair).or_default() += act.get("count").and_then(Json::as_u64).unwrap();
    }
    summed
}

/// Everything in the ledger is in the global log, under a checkpoint.
#[track_caller]
fn expect_proven(audit: &Audit<'_>) {
    let key = audit(&["audit", "key"]).code(0).out.trim().to_owned();
    let told = audit(&["-o", "json", "audit", "verify", "--key", &key]).code(0).json();
    let at = |place: &str| told.pointer(place).and_then(Json::as_u64);
    assert_eq!(at("/counts/not_covered"), Some(0), "{told}");
    assert!(at("/log/entries") > Some(0) && at("/log/entries") == at("/log/covered"), "{told}");
}

/// A node that asks for keys, and how its store is asked.
struct World<'a> {
    node: Running,
    check: String,
    audit_key: String,
    audit: Audit<'a>,
}

/// Refused calls of every kind become acts; answers do not.
async fn check_refusals(mut world: World<'_>) {
    let url = world.node.url();
    let known = connect(&url, Some(&world.check)).await;
    // One that is answered, and five whose key is for something else: the quota and two more.
    assert!(known.check(question(), PATIENCE).await.is_ok());
    let auditor = connect(&url, Some(&world.audit_key)).await;
    for _ in 0..5 {
        let refused = refusal(&auditor, question()).await;
        assert_eq!(refused, (Code::PermissionDenied, "NOT_PERMITTED_TO_ASK".to_owned()));
    }
    // What is not understood, of a known caller: as a call, as items of a batch, and as bytes.
    for _ in 0..4 {
        assert_eq!(refusal(&known, CheckRequest::default()).await.0, Code::InvalidArgument);
    }
    let batch = CheckBatchRequest { items: vec![BatchItem::default(); 6], ..CheckBatchRequest::default() };
    assert!(known.check_batch(batch, PATIENCE).await.is_ok());
    let mut raw = Raw::hello(world.node.address());
    raw.call(1, CHECK, &[("authorization", &format!("Bearer {}", world.check))]);
    assert!(raw.last(1, &[0, 0, 0, 0, 2, 0xff, 0xff]));
    assert_eq!(raw.taken(), Taken::Answered);
    drop(raw);
    // Nobody in particular.
    let nobody = connect(&url, None).await;
    for _ in 0..7 {
        assert_eq!(refusal(&nobody, question()).await.0, Code::Unauthenticated);
    }
    // What a known caller asked is told, without context and secrets.
    let context = Struct::from_iter([("why", "secret-context")]);
    let token = CheckRequest { token: "secret-token".to_owned(), context: Some(context), ..question() };
    assert_eq!(refusal(&known, token).await.0, Code::Unimplemented);
    // The administration listener.
    let admin = format!("http://{}", world.node.admin().unwrap());
    let mut history = AuditServiceClient::connect(Endpoint::from_shared(admin).unwrap()).await.unwrap();
    let mut list = Request::new(ListCheckpointsRequest::default());
    list.metadata_mut().insert("authorization", format!("Bearer {}", world.check).parse().unwrap());
    assert_eq!(history.list_checkpoints(list).await.unwrap_err().code(), Code::PermissionDenied);
    until_recorded(&world.node, 5 + 4 + 6 + 1 + 7 + 1 + 1);
    expect_acts(&world);
    assert_eq!(world.node.terminate(), 0, "{}", world.node.logged());
    expect_proven(&world.audit);
}

#[track_caller]
fn expect_acts(World { check, audit_key, audit, .. }: &World<'_>) {
    let (check, auditor) = (id(check), id(audit_key));
    let alone: Vec<_> = acts(audit, &["--kind", "refused"])
        .iter()
        .map(|act| {
            let method = text(act, "method").rsplit('/').next().unwrap_or_default().to_owned();
            (text(act, "cause").to_owned(), text(act, "caller").to_owned(), method)
        })
        .collect();
    let expect = |cause: &str, caller: &str, method: &str| (cause.to_owned(), caller.to_owned(), method.to_owned());
    let expected = [
        expect("NOT_PERMITTED_TO_ASK", auditor, "Check"),
        expect("NOT_PERMITTED_TO_ASK", auditor, "Check"),
        expect("NOT_PERMITTED_TO_ASK", auditor, "Check"),
        expect("INTERNAL", check, "Check"),
        expect("IDENTITY_UNSUPPORTED", check, "Check"),
        expect("NOT_PERMITTED_TO_ASK", check, "ListCheckpoints"),
    ];
    assert_eq!(alone, expected);
    let expected = [
        (format!("MALFORMED from key:{check}"), 4 + 6),
        (format!("NOT_PERMITTED_TO_ASK from key:{auditor}"), 2),
        ("UNAUTHENTICATED from 127.0.0.1".to_owned(), 7),
    ];
    assert_eq!(summed(audit), BTreeMap::from(expected));
    let told = acts(audit, &["--cause", "IDENTITY_UNSUPPORTED", "--caller", check, "--since", "1h"]);
    let [told] = told.as_slice() else { panic!("{told:?}") };
    let asked = ["principal", "action", "resource", "address"].map(|field| text(told, field));
    let expected =
        [r#"Company::User::"ana""#, r#"Company::Action::"readMessage""#, r#"Company::Message::"m-1001""#, "127.0.0.1"];
    assert_eq!(asked, expected);
    let node = text(told, "actor").to_owned();
    assert!(node.starts_with("node/"), "{told}");
    assert_eq!(acts(audit, &["--actor", &node, "--kind", "refused"]).len(), 6);
    assert_eq!(acts(audit, &["--until", "1h"]).len(), 0);
    let everything = audit(&["audit", "acts"]).code(0).out;
    assert!(everything.contains("UNAUTHENTICATED from 127.0.0.1: 7") && !everything.contains("secret"), "{everything}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_are_acts_on_sqlite() {
    let store = Store::example();
    let _file = store.file("magistrate.toml", SETTINGS);
    let key = |kind| {
        let made = store.run(&["caller", "key", "new", "--name", "test", "--kind", kind, "--reason", "test"]);
        made.code(0).out.trim().to_owned()
    };
    let [check, audit_key] = ["check", "audit"].map(key);
    let node = Running::with(&store, &[(ADMIN, "127.0.0.1:0"), ("MAGISTRATE_REQUIRE_KEY", "true")]);
    check_refusals(World { node, check, audit_key, audit: Box::new(|arguments| store.run(arguments)) }).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_are_acts_on_postgres() {
    let deployment = Deployment::shared();
    let _file = deployment.file("magistrate.toml", SETTINGS);
    let key = |kind| {
        let make = ["caller", "key", "new", "--name", "test", "--kind", kind, "--reason", "test"];
        deployment.run(Login::Admin, &make).code(0).out.trim().to_owned()
    };
    let [check, audit_key] = ["check", "audit"].map(key);
    let url = deployment.file("auditor-url", &deployment.url_with_password(Login::Auditor));
    let journal = deployment.home().join("journal");
    let mut command = deployment.command(Login::App);
    command.env(ADMIN, "127.0.0.1:0").env("MAGISTRATE_AUDITOR_DATABASE_URL_FILE", url);
    command.env("MAGISTRATE_REQUIRE_KEY", "true").env("MAGISTRATE_JOURNAL", &journal);
    let node = Running::launch(command);
    let audit = |arguments: &[&str]| {
        let mut command = deployment.command(Login::Auditor);
        ran(command.env("MAGISTRATE_JOURNAL", &journal).args(arguments))
    };
    check_refusals(World { node, check, audit_key, audit: Box::new(audit) }).await;
}

/// A call that is not answered within its deadline is a refusal of whoever made it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn call_that_is_late_is_told() {
    let store = Store::example();
    let _file = store.file("magistrate.toml", &format!("{SETTINGS}[limits]\ndeadline_seconds = 1\n"));
    let made = store.run(&["caller", "key", "new", "--name", "test", "--kind", "check", "--reason", "test"]);
    let key = made.code(0).out.trim().to_owned();
    let node = Running::start(&store);
    let mut raw = Raw::hello(node.address());
    raw.begin(1, &[("authorization", &format!("Bearer {key}"))]);
    until_recorded(&node, 1);
    let audit: Audit<'_> = Box::new(|arguments| store.run(arguments));
    let told = acts(&audit, &["--kind", "refused"]);
    assert_eq!((told.len(), text(&told[0], "cause"), text(&told[0], "caller")), (1, "DEADLINE_EXCEEDED", id(&key)));
}

/// While the database is away refusals are summed up; when it is back, each is there once. Answers go on all the while.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_wait_for_a_database_that_is_away() {
    let deployment = Deployment::private(&postgres::Options::default());
    let _file = deployment.file("magistrate.toml", SETTINGS);
    let journal = deployment.home().join("journal");
    let mut command = deployment.command(Login::App);
    command.env(CLASS, "process").env("MAGISTRATE_JOURNAL", &journal);
    let mut node = Running::launch(command);
    node.wait_for("\"ready\"");
    let client = node.client().await;
    let mut refused = 0;
    let mut refuse = async |times: u64| {
        for _ in 0..times {
            assert_eq!(refusal(&client, CheckRequest::default()).await.0, Code::InvalidArgument);
        }
        refused += times;
        refused
    };
    until_recorded(&node, refuse(3).await);
    deployment.cluster().stop();
    refuse(50).await;
    node.wait_for("the decision store does not take refusals");
    refuse(500).await;
    assert!(client.check(question(), PATIENCE).await.is_ok(), "answers go on");
    deployment.cluster().start();
    node.wait_for("the decision store takes refusals again");
    let all = refuse(5).await;
    until_recorded(&node, all);
    let audit: Audit<'_> = Box::new(|arguments| {
        let mut command = deployment.command(Login::Auditor);
        ran(command.env("MAGISTRATE_JOURNAL", &journal).args(arguments))
    });
    assert_eq!(summed(&audit), BTreeMap::from([("MALFORMED from 127.0.0.1".to_owned(), all)]));
    assert_eq!(metric(&node, "magistrate_refusals_dropped_total "), 0);
    assert_eq!(node.terminate(), 0, "{}", node.logged());
    expect_proven(&audit);
}

/// What cannot be recorded when the server stops is told in its log, with how many there are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_that_are_lost_at_the_end_are_told() {
    let deployment = Deployment::private(&postgres::Options::default());
    let mut command = deployment.command(Login::App);
    command.env(CLASS, "process");
    let mut node = Running::launch(command);
    node.wait_for("\"ready\"");
    let client = node.client().await;
    deployment.cluster().stop();
    for _ in 0..3 {
        assert_eq!(refusal(&client, CheckRequest::default()).await.0, Code::InvalidArgument);
    }
    drop(client);
    node.signal("TERM");
    let told = node.wait_for("the last refusals are not recorded");
    assert!(told.contains("\"refusals\":3"), "{told}");
    assert_eq!(node.wait(), 0, "{}", node.logged());
}

/// Far more sources than there is room for: each refusal is counted, what is kept is bounded, and who asks is answered.
/// What is left is recorded when the server stops.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flood_is_summed_up_and_recorded_at_the_end() {
    const SOURCES: u8 = 240;
    const EACH: u64 = 40;
    let store = Store::example();
    let _file = store.file("magistrate.toml", "[ledger]\nrefusal_summary_seconds = 3600\n");
    let mut node = Running::start(&store);
    let honest = node.client().await;
    assert!(honest.check(question(), PATIENCE).await.is_ok());
    let before = resident(node.id());
    for of in 0..2 {
        for source in 0..SOURCES {
            let from = Some([127, 0, of, 2 + source].into());
            let endpoint = Endpoint::from_shared(node.url()).unwrap().local_address(from);
            let client = Client::over(endpoint.connect().await.unwrap());
            for _ in 0..EACH {
                assert_eq!(refusal(&client, CheckRequest::default()).await.0, Code::InvalidArgument);
            }
        }
        assert!(honest.check(question(), PATIENCE).await.is_ok());
    }
    let more = resident(node.id()).saturating_sub(before);
    tell(&format!("{more} bytes more than before"));
    assert!(more < 32 << 20, "{more} bytes more than before");
    let all = 2 * u64::from(SOURCES) * EACH;
    assert_eq!(metric(&node, "magistrate_refusals_waiting "), all);
    assert_eq!(node.terminate(), 0, "{}", node.logged());
    assert!(!node.logged().contains("refusals are not recorded"), "{}", node.logged());
    let audit: Audit<'_> = Box::new(|arguments| store.run(arguments));
    let summed = summed(&audit);
    assert_eq!((summed.len(), summed.values().sum::<u64>()), (257, all));
    assert_eq!(summed.get("MALFORMED from elsewhere"), Some(&((2 * u64::from(SOURCES) - 256) * EACH)));
    assert_eq!(acts(&audit, &["--kind", "refusal"]).len(), 257, "one act each");
    expect_proven(&audit);
    assert_eq!(store.history().len(), 3, "every answer, and nothing else");
}

/// Bytes of a process that are resident.
fn resident(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
}
