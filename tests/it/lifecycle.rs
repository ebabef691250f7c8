//! Starting, reloading, draining and restarting the real program.

use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

use magistrate_tests::{Running, Store, program, request};

mod rolling;

const PATIENCE: Duration = Duration::from_mins(1);

/// Health and readiness in words, and the verb that asks for them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readiness_gives_its_reasons() {
    let store = Store::empty();
    let mut node = Running::start(&store);
    let health = |kind: &str| store.run(&["health", kind, "--ops", node.ops()]);
    assert_eq!(node.get("/livez"), (200, "alive\n".to_owned()));
    let (status, says) = node.get("/readyz");
    assert!(status == 503 && says.starts_with("not ready\n") && says.contains("policy apply"), "{status} {says}");
    assert!(health("--live").code(0).out.contains("alive"));
    assert!(health("--ready").code(1).out.contains("policy apply"));
    let policies = magistrate_tests::workspace().join("policies");
    let _ran = store.run(&["policy", "apply", policies.to_str().unwrap(), "--with-data", "--reason", "test"]).code(0);
    node.wait_for("\"ready\"");
    assert_eq!(node.get("/readyz"), (200, "ready\n".to_owned()));
    let ops = node.ops().to_owned();
    assert!(store.run(&["health", "--ops", &ops]).code(0).out.contains("ready"));
    assert_eq!(store.run(&["-o", "json", "health", "--ops", &ops]).code(0).json()["well"], true);
    assert_eq!(node.get("/elsewhere").0, 404);
    assert_eq!(node.terminate(), 0);
    let _told = store.run(&["health", "--ops", &ops]).code(1).says(&["is the server running there", &ops]);
}

/// A server told to stop says so at once, and answers on until the delay is over or it is told again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drain_says_not_ready_first_and_answers_on() {
    let store = Store::example();
    let mut node = Running::with(&store, &[("MAGISTRATE_DRAIN_DELAY", "600")]);
    let client = node.client().await;
    node.signal("TERM");
    node.wait_for("told to stop");
    let (status, says) = node.get("/readyz");
    assert!(status == 503 && says.contains("told to stop"), "{status} {says}");
    let answer = client.check(request(("User", "ana"), "readMessage", ("Message", "m-1001")), PATIENCE).await.unwrap();
    assert_eq!(answer.decision, 1);
    assert_eq!(node.terminate(), 0, "told again, it stops at once");
    assert_eq!(store.history().len(), 1);
}

/// SIGHUP: what is logged is read again; a file that does not parse changes nothing and stops nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn log_level_is_reloaded() {
    let store = Store::example();
    let file = store.file("magistrate.toml", "[telemetry]\nlog = \"info\"\n");
    let mut node = Running::start(&store);
    std::fs::write(&file, "[telemetry]\nlog = \"info,magistrate=loud\"\n").unwrap();
    node.signal("HUP");
    node.wait_for("cannot reload; what was loaded before stays");
    std::fs::write(&file, "[telemetry]\nlog = \"debug\"\n").unwrap();
    node.signal("HUP");
    node.wait_for("the file says what is logged");
    node.check(("User", "ana"), "readMessage", ("Message", "m-1001")).await;
    node.wait_for("\"DEBUG\"");
}

/// What systemd is told, in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn systemd_is_told() {
    let store = Store::example();
    let path = store.home().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    let until = |wanted: &str| {
        let mut buffer = [0; 1_024];
        loop {
            let length = socket.recv(&mut buffer).unwrap_or_else(|error| panic!("`{wanted}` was never told: {error}"));
            let told = String::from_utf8_lossy(&buffer[..length]).into_owned();
            if told.contains(wanted) {
                return told;
            }
        }
    };
    let mut node = Running::with(&store, &[("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "400000")]);
    until("READY=1");
    until("STATUS=ready");
    until("WATCHDOG=1");
    node.signal("HUP");
    assert!(until("RELOADING=1").contains("MONOTONIC_USEC="));
    until("READY=1");
    node.signal("TERM");
    until("STOPPING=1");
    assert_eq!(node.wait(), 0);
}

/// `serve --check` tries everything a server needs, prints it, and serves nothing.
#[test]
fn configuration_is_checked_without_serving() {
    let store = Store::example();
    let check = |arguments: &[&str]| store.run(&[&["serve", "--check", "--ops-listen", "off"], arguments].concat());
    let told = check(&["--listen", "127.0.0.1:0"]).code(0).out;
    for text in ["default_namespace", "`Company`", "soft 5 s, hard 300 s", "nothing is pushed", "62 policies"] {
        assert!(told.contains(text), "`{text}` is not in {told}");
    }
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    assert!(check(&["--listen", &address]).code(1).out.contains("cannot listen"));
    let _told = Store::nowhere().run(&["serve", "--check", "--listen", "127.0.0.1:0"]).code(1);
    store.file("magistrate.toml", "[telemetry]\ntrace_ratio = 7\n");
    let _told = check(&[]).code(1).says(&["telemetry.trace_ratio", "between 0 and 1"]);
}

/// Two servers that would share an operations address: the second says what to do.
#[test]
fn operations_address_in_use_is_named() {
    let store = Store::example();
    let node = Running::start(&store);
    let mut command = Command::new(program());
    command.current_dir(store.home()).args([
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--ops-listen",
        node.ops(),
        "--admin-listen",
        "off",
    ]);
    command.env("MAGISTRATE_JOURNAL", "another");
    let _told = magistrate_tests::ran(&mut command).code(1).says(&["cannot listen for operations", "--ops-listen"]);
    command.args(["--ops-listen", "0.0.0.0:0"]);
}
