//! Logs, metrics and traces of the real program, received by the real protocols.

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use magistrate_client::v1::authorization_service_client::AuthorizationServiceClient;
use magistrate_tests::{Collector, Running, Store, program, request};
use tonic::Request;
use tonic::transport::Endpoint;

mod dashboards;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const OTHER: &str = "1af7651916cd43dd8448eb211c80319c";

/// A server that exports to a collector often.
fn exporting(store: &Store, collector: &Collector, sampler: &str) -> Running {
    let mut command = Command::new(program());
    command.current_dir(store.home()).args(["--default-namespace", "Company"]);
    command.env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url()).env("OTEL_TRACES_SAMPLER", sampler);
    command.env("OTEL_METRIC_EXPORT_INTERVAL", "200").env("OTEL_BSP_SCHEDULE_DELAY", "50");
    Running::launch(command)
}

/// Asks as a caller whose own trace goes on here.
async fn ask(node: &Running, traceparent: &str) {
    let channel = Endpoint::from_shared(node.url()).unwrap().connect().await.unwrap();
    let mut question = Request::new(request(("User", "ana"), "readMessage", ("Message", "m-1001")));
    question.metadata_mut().insert("traceparent", traceparent.parse().unwrap());
    let answer = AuthorizationServiceClient::new(channel).check(question).await.unwrap().into_inner();
    assert!(magistrate_client::is_allowed(&answer));
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

/// Where it is asked for, every decision is told as a log record once it is in the store, and nowhere else.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn decisions_are_fed_to_whoever_watches() {
    use opentelemetry_proto::tonic::common::v1::any_value::Value;
    let (store, collector) = (Store::example(), Collector::start().await);
    let settings = format!("[telemetry]\notlp_endpoint = \"{}\"\ndecisions = true", collector.url());
    let _file = store.file("magistrate.toml", &settings);
    let mut node = Running::start(&store);
    let allowed = node.check(("User", "ana"), "readMessage", ("Message", "m-1001")).await;
    let denied = node.check(("Service", "payments"), "readMessage", ("Message", "m-1001")).await;
    assert_eq!(node.terminate(), 0, "{}", node.logged());
    let told = collector.logs(2).await;
    let value = |n: usize, key: &str| {
        let found = told[n].attributes.iter().find(|it| it.key == key).and_then(|it| it.value.clone());
        match found.and_then(|it| it.value) {
            Some(Value::StringValue(text)) => text,
            other => panic!("{key}: {other:?}"),
        }
    };
    for (n, answer, decision) in [(0, allowed, "allow"), (1, denied, "deny")] {
        assert_eq!(told[n].event_name, "magistrate.decision");
        assert_eq!(
            (value(n, "magistrate.decision_id"), value(n, "magistrate.decision")),
            (answer.decision_id, decision.into())
        );
    }
    assert_eq!(value(1, "magistrate.principal"), r#"Company::Service::"payments""#);
}

/// A sampled parent's trace goes on here, and one that is not sampled is left alone; both are in the record.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trace_of_the_caller_goes_on() {
    let (store, collector) = (Store::example(), Collector::start().await);
    let mut node = exporting(&store, &collector, "parentbased_always_off");
    ask(&node, &format!("00-{OTHER}-00f067aa0ba902b7-00")).await;
    ask(&node, &format!("00-{TRACE}-b7ad6b7169203331-01")).await;
    node.check(("User", "ana"), "readMessage", ("Message", "m-1001")).await;
    assert_eq!(node.terminate(), 0);
    let spans = collector.until(|spans, _| !spans.is_empty()).await;
    let [span] = spans.as_slice() else { panic!("one of three is sampled: {spans:?}") };
    assert_eq!(
        (hexadecimal(&span.trace_id), hexadecimal(&span.parent_span_id)),
        (TRACE.into(), "b7ad6b7169203331".into())
    );
    assert_eq!(span.name, "magistrate.v1.AuthorizationService/Check");
    let attributes: BTreeSet<&str> = span.attributes.iter().map(|attribute| attribute.key.as_str()).collect();
    for name in
        ["rpc.method", "rpc.response.status_code", "magistrate.decision", "magistrate.cause", "magistrate.decision_id"]
    {
        assert!(attributes.contains(name), "{name}: {attributes:?}");
    }
    let text = format!("{span:?}");
    assert!(!text.contains("m-1001") && !text.contains("ana"), "a span tells neither who asked nor what: {text}");
}

/// Without a parent, the sampler decides; metrics are pushed as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn roots_are_sampled_by_ratio_and_metrics_are_pushed() {
    let (store, collector) = (Store::example(), Collector::start().await);
    let node = exporting(&store, &collector, "parentbased_always_on");
    node.check(("User", "ana"), "readMessage", ("Message", "m-1001")).await;
    let named = |names: &[String], name: &str| names.iter().any(|it| it == name);
    let spans = collector
        .until(|spans, metrics| {
            !spans.is_empty() && named(metrics, "magistrate.decisions") && named(metrics, "rpc.server.call.duration")
        })
        .await;
    assert!(spans.iter().all(|span| span.parent_span_id.is_empty()), "a root has no parent: {spans:?}");
}

/// Nobody is told anything unless an endpoint is named: no socket of the process leads anywhere.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_telemetry_goes_home() {
    let store = Store::example();
    let node = Running::start(&store);
    node.check(("User", "ana"), "readMessage", ("Message", "m-1001")).await;
    let own = sockets(node.id());
    let ports: BTreeSet<u16> =
        [node.url().as_str(), node.ops()].iter().map(|it| it.rsplit(':').next().unwrap().parse().unwrap()).collect();
    for table in ["tcp", "tcp6", "udp", "udp6"] {
        let Ok(text) = std::fs::read_to_string(format!("/proc/{}/net/{table}", node.id())) else { continue };
        for line in text.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let port = u16::from_str_radix(fields[1].rsplit(':').next().unwrap(), 16).unwrap();
            assert!(!own.contains(fields[9]) || ports.contains(&port), "a socket of its own making: {line}");
        }
    }
}

/// The inodes of a process's sockets.
fn sockets(id: u32) -> BTreeSet<String> {
    let files = std::fs::read_dir(format!("/proc/{id}/fd")).unwrap();
    let links = files.filter_map(|file| std::fs::read_link(file.unwrap().path()).ok());
    let names = links.map(|link| link.to_string_lossy().into_owned());
    names.filter_map(|name| Some(name.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned())).collect()
}

/// A receiver that is not there costs no answer, and does not keep a server from stopping.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn receiver_that_is_gone_costs_no_answer() {
    let (store, collector) = (Store::example(), Collector::start().await);
    let mut node = exporting(&store, &collector, "parentbased_always_on");
    drop(collector);
    for _ in 0..20 {
        node.check(("User", "ana"), "readMessage", ("Message", "m-1001")).await;
    }
    let stopped = tokio::task::spawn_blocking(move || node.terminate());
    assert_eq!(tokio::time::timeout(Duration::from_secs(30), stopped).await.unwrap().unwrap(), 0);
    assert_eq!(store.history().len(), 20);
}

/// Every exit is counted, by its cause or its reason.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_exit_is_counted() {
    let store = Store::example();
    let node = Running::start(&store);
    node.check(("User", "ana"), "readMessage", ("Message", "m-1001")).await;
    node.check(("Service", "payments"), "readMessage", ("Message", "m-1001")).await;
    let client = node.client().await;
    let malformed = client.check(request(("User", "ana"), "noAction", ("Message", "m-1001")), Duration::from_mins(1));
    assert!(malformed.await.is_err());
    let (status, text) = node.get("/metrics");
    assert_eq!(status, 200);
    for line in [
        "magistrate_decisions_total{cause=\"permitted\",decision=\"allow\"} 1",
        "magistrate_decisions_total{cause=\"forbidden\",decision=\"deny\"} 1",
        "magistrate_check_duration_seconds_count{cause=\"permitted\",decision=\"allow\"} 1",
        "magistrate_refusals_total{reason=\"MALFORMED\"} 1",
        "magistrate_ledger_ship_records_sum{outcome=\"ok\"} 2",
        "magistrate_calls_in_flight 0",
        "magistrate_ready 1",
        "magistrate_served_revision 1",
        "magistrate_served_policies 62",
    ] {
        assert!(text.contains(line), "`{line}` is not in:\n{text}");
    }
    let digest = "magistrate_policy_set_info{policy_set_digest=\"";
    assert!(text.contains(digest), "{text}");
}
