//! Nobody elsewhere is answered without TLS and a key in force.

use std::io::{Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use magistrate_client::v1::authorization_service_client::AuthorizationServiceClient;
use magistrate_client::{Client, ClientError, Refusal};
use magistrate_tests::{Secured, Store, request};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint};
use tonic::{Code, Request};

const PATIENCE: Duration = Duration::from_mins(1);

/// A command of the binary on a store.
fn command(store: &Store) -> std::process::Command {
    let mut command = std::process::Command::new(magistrate_tests::program());
    command.current_dir(store.home());
    command
}

async fn ask(client: &Client) -> Result<(), Refusal> {
    match client.check(request(("User", "ana"), "readMessage", ("Message", "m-1001")), PATIENCE).await {
        Ok(_) => Ok(()),
        Err(ClientError::Refused(refusal)) => Err(*refusal),
        Err(other) => panic!("{other}"),
    }
}

#[track_caller]
fn refused(outcome: Result<(), Refusal>, code: Code, reason: &str) {
    let refusal = outcome.unwrap_err();
    assert_eq!((refusal.code, refusal.reason.as_deref()), (code, Some(reason)), "{refusal}");
}

/// A key of the right kind is answered and named in the record; nothing else is answered, and nothing is recorded.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_a_key_in_force_is_answered() {
    let secured = Secured::example();
    let [check, audit] = ["check", "audit"].map(|kind| secured.key(kind));
    let node = secured.start(&[]);
    let with = |key: Option<String>| {
        let (secured, node) = (&secured, &node);
        async move { ask(&secured.connect(node, key.as_deref()).await.unwrap()).await }
    };
    let mut typo = check.clone();
    typo.replace_range(30..31, if check.as_bytes()[30] == b'a' { "b" } else { "a" });
    for wrong in [None, Some(typo), Some("mag_check_x".to_owned()), Some(check.replace("check", "admin"))] {
        refused(with(wrong).await, Code::Unauthenticated, "UNAUTHENTICATED");
    }
    refused(with(Some(audit)).await, Code::PermissionDenied, "NOT_PERMITTED_TO_ASK");
    assert!(secured.store.history().is_empty(), "who may not ask leaves no decision");
    with(Some(check.clone())).await.unwrap();
    let id = check.split('_').nth(2).unwrap().to_owned();
    let history = secured.store.history();
    let shown = secured.store.run(&["-o", "json", "audit", "show", history[0]["id"].as_str().unwrap()]).code(0);
    assert!(shown.out.contains(&id) && !shown.out.contains(check.split('_').nth(3).unwrap()), "{}", shown.out);
    let (_, metrics) = node.get("/metrics");
    assert!(metrics.contains("magistrate_refusals_total{reason=\"UNAUTHENTICATED\"} 4"), "{metrics}");
    assert!(metrics.contains("magistrate_refusals_total{reason=\"NOT_PERMITTED_TO_ASK\"} 1"), "{metrics}");
    for (cause, count) in [("missing", 1), ("unreadable", 3), ("unknown", 0), ("ended", 0), ("other_kind", 1)] {
        let line = format!("magistrate_callers_refused_total{{cause=\"{cause}\"}} {count}");
        assert!(metrics.contains(&line), "{line} is not in {metrics}");
    }
}

/// A key that is revoked while a server runs is refused there, on connections that are open.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revocation_reaches_a_running_server() {
    let secured = Secured::example();
    let node = secured.start(&[]);
    let key = secured.key("check");
    let client = secured.connect(&node, Some(&key)).await.unwrap();
    until(&client, Ok(())).await;
    let id = key.split('_').nth(2).unwrap();
    let listed = secured.store.run(&["-o", "json", "caller", "key", "list"]).code(0).json();
    assert_eq!((listed[0]["id"].as_str(), listed[0]["state"].as_str()), (Some(id), Some("in force")));
    let revoke = || secured.store.run(&["caller", "key", "revoke", id, "--reason", "test"]);
    let _told = revoke().code(0);
    until(&client, Err(Code::Unauthenticated)).await;
    let _told = revoke().code(1).says(&["no key", "caller key list"]);
    let brief = secured.store.run(&[
        "caller",
        "key",
        "new",
        "--name",
        "x",
        "--kind",
        "check",
        "--expires",
        "+2s",
        "--reason",
        "x",
    ]);
    let client = secured.connect(&node, Some(brief.code(0).out.trim())).await.unwrap();
    until(&client, Err(Code::Unauthenticated)).await;
}

/// Asks until it is answered so: what is made elsewhere is known here within a second.
async fn until(client: &Client, expected: Result<(), Code>) {
    let reached = async {
        while ask(client).await.map_err(|refusal| refusal.code) != expected {
            tokio::task::yield_now().await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, reached).await.is_ok(), "never {expected:?}");
}

/// One header, once, short.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn key_is_presented_once_and_in_one_form() {
    let secured = Secured::example();
    let key = secured.key("check");
    let node = secured.start(&[]);
    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(secured.authority()));
    let channel = Endpoint::from_shared(secured.url(&node)).unwrap().tls_config(tls).unwrap().connect().await.unwrap();
    let ask = |headers: Vec<String>| {
        let mut service = AuthorizationServiceClient::new(channel.clone());
        let mut question = Request::new(request(("User", "ana"), "readMessage", ("Message", "m-1001")));
        headers.iter().for_each(|it| _ = question.metadata_mut().append("authorization", it.parse().unwrap()));
        async move { service.check(question).await.map(drop).map_err(|status| status.code()) }
    };
    assert_eq!(ask(vec![format!("bearer {key}")]).await, Ok(()));
    let twice = vec![format!("Bearer {key}"); 2];
    for wrong in
        [twice, vec![key.clone()], vec![format!("Basic {key}")], vec![format!("Bearer {key}{}", " ".repeat(500))]]
    {
        assert_eq!(ask(wrong).await, Err(Code::Unauthenticated));
    }
    assert_eq!(secured.store.history().len(), 1, "what was refused is no decision");
}

/// On this machine no key is needed, unless asked for; one that is presented must be in force.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn key_on_this_machine_is_required_only_where_asked_for() {
    let store = Store::example();
    let mut node = magistrate_tests::Running::start(&store);
    ask(&node.client().await).await.unwrap();
    let wrong = node.client().await.with_api_key("mag_check_wrong").unwrap();
    refused(ask(&wrong).await, Code::Unauthenticated, "UNAUTHENTICATED");
    assert_eq!(node.terminate(), 0);
    let strict = magistrate_tests::Running::with(&store, &[("MAGISTRATE_REQUIRE_KEY", "true")]);
    refused(ask(&strict.client().await).await, Code::Unauthenticated, "UNAUTHENTICATED");
    let made = store.run(&["caller", "key", "new", "--name", "x", "--kind", "check", "--reason", "x"]).code(0);
    let key = strict.client().await.with_api_key(&made.out).unwrap();
    until(&key, Ok(())).await;
}

/// A key is shown once, or written for its owner alone; what cannot be one is refused.
#[test]
fn key_is_shown_once_and_written_for_its_owner() {
    let store = Store::example();
    let new = |more: &[&str]| store.run(&[&["caller", "key", "new", "--reason", "x"], more].concat());
    let file = store.home().join("key").to_str().unwrap().to_owned();
    let made = new(&["--name", "gateway", "--kind", "check", "--out", &file]).code(0).says(&["is not shown again"]);
    assert!(made.out.is_empty());
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!made.err.contains(text.trim().split('_').nth(3).unwrap()));
    let _told = new(&["--name", "gateway", "--kind", "check", "--out", &file]).code(1).says(&["cannot write the key"]);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text, "what is there stays");
    let _told = new(&["--name", "g", "--kind", "root"]).code(1).says(&["no kind of key"]);
    let _told = new(&["--name", "", "--kind", "check"]).code(1).says(&["a caller's name"]);
    let _told = new(&["--name", "g", "--kind", "check", "--expires", "+400d"]).code(1).says(&["within 366 days"]);
    let listed = store.run(&["caller", "key", "list"]).code(0).out;
    assert!(listed.contains("gateway") && !listed.contains("mag_"), "{listed}");
    assert!(store.run(&["caller", "key", "list", "--expiring", "7d"]).code(0).out.contains("nothing found"));
}

/// Who made a key and who revoked it, and why, is there to be read.
#[test]
fn keys_tell_who_made_and_revoked_them() {
    let store = Store::example();
    let made = ["--name", "gateway", "--kind", "audit", "--reason", "the auditors", "--actor", "ana"];
    let made = store.run(&[&["-o", "json", "caller", "key", "new"], &made[..]].concat()).code(0).json();
    let id = made["id"].as_str().unwrap();
    assert!(made["key"].as_str().unwrap().starts_with(&format!("mag_audit_{id}_")), "{id}");
    let revoke = ["caller", "key", "revoke", id, "--reason", "leaked", "--actor", "bob"];
    assert!(store.run(&revoke).code(0).out.contains("is revoked"));
    let listed = store.run(&["-o", "json", "caller", "key", "list"]).code(0).json();
    let told = |field: &str| listed[0][field].as_str().unwrap_or_default().to_owned();
    let fields = ["caller", "kind", "state", "created_by", "reason", "revoked_by", "revoked_reason"].map(told);
    assert_eq!(fields, ["gateway", "audit", "revoked", "ana", "the auditors", "bob", "leaked"]);
}

/// Keys that callers lack, or that end soon, are told of before somebody is refused.
#[test]
fn doctor_tells_of_keys() {
    let store = Store::example();
    let doctor = || {
        let mut doctor = command(&store);
        magistrate_tests::ran(doctor.env("MAGISTRATE_REQUIRE_KEY", "true").arg("doctor")).code(0).out
    };
    let told = doctor();
    assert!(told.contains("callers must present a key") && told.contains("caller key new --kind check"), "{told}");
    let new = |kind: &str, expires: &str| {
        let new = ["caller", "key", "new", "--name", "x", "--kind", kind, "--expires", expires, "--reason", "x"];
        let _made = store.run(&new).code(0);
    };
    new("check", "+8d");
    let told = doctor();
    assert!(told.contains("1 is in force") && !told.contains("successor"), "{told}");
    new("admin", "+6d");
    let told = doctor();
    assert!(told.contains("2 are in force") && told.contains("of `x` for admin ends at"), "{told}");
}

/// A key is read from a file, and is not sent where everybody could read it.
#[test]
fn key_is_not_sent_in_clear() {
    let store = Store::example();
    let file = store.home().join("key").to_str().unwrap().to_owned();
    let new = ["caller", "key", "new", "--name", "x", "--kind", "check", "--reason", "x", "--out", &file];
    let _made = store.run(&new).code(0);
    let key = std::fs::read_to_string(&file).unwrap();
    let check = ["check", "Company::User::ana", "readMessage", "Company::Message::m-1001"];
    let mut told = command(&store);
    told.args(check).args(["--server", "http://192.0.2.1:7700"]).env("MAGISTRATE_API_KEY_FILE", &file);
    let told = magistrate_tests::ran(&mut told).code(1).says(&["everybody could read it", "https://"]);
    assert!(!told.err.contains(key.trim()), "{}", told.err);
}

/// A new certificate is shown to new connections, and old ones live on; one that cannot be used is told of.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn certificate_is_replaced_under_open_connections() {
    let secured = Secured::example();
    let key = secured.key("check");
    let mut node = secured.start(&[]);
    let before = secured.connect(&node, Some(&key)).await.unwrap();
    ask(&before).await.unwrap();
    let refused = |node: &magistrate_tests::Running| {
        let (_, metrics) = node.get("/metrics");
        metrics
            .lines()
            .find_map(|line| line.strip_prefix("magistrate_certificate_refused ").map(str::to_owned))
            .unwrap()
    };
    std::fs::write(secured.directory().join("tls_key"), "no key").unwrap();
    node.signal("HUP");
    node.wait_for("the old one is shown on to callers");
    assert_eq!(refused(&node), "1");
    ask(&secured.connect(&node, Some(&key)).await.unwrap()).await.unwrap();
    secured.certify();
    node.wait_for("a new certificate is shown to callers");
    assert_eq!(refused(&node), "0");
    ask(&before).await.unwrap();
    ask(&secured.connect(&node, Some(&key)).await.unwrap()).await.unwrap();
}

/// TLS 1.2, clear text, another authority, a key that everybody may read: none of it works.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn weaker_ways_are_refused() {
    let secured = Secured::example();
    let node = secured.start(&[]);
    let port = node.address().rsplit(':').next().unwrap().to_owned();
    let speaks = |version: &str| {
        let output = std::process::Command::new("openssl")
            .args(["s_client", "-connect", &format!("127.0.0.1:{port}"), version, "-alpn", "h2"])
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).contains("ALPN protocol: h2")
    };
    assert!(speaks("-tls1_3") && !speaks("-tls1_2"));
    assert!(
        Client::connect(&format!("http://127.0.0.1:{port}")).await.is_err() || {
            let clear = Client::connect(&format!("http://127.0.0.1:{port}")).await.unwrap();
            clear.check(request(("User", "ana"), "readMessage", ("Message", "m-1001")), PATIENCE).await.is_err()
        }
    );
    let error = Client::connect(&secured.url(&node)).await.unwrap_err().to_string();
    assert!(error.contains("cannot connect"), "{error}");
    let file = secured.directory().join("tls_key");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
    let mut command = secured.command(&[]);
    command.args(["serve", "--listen", "127.0.0.1:0", "--ops-listen", "off", "--admin-listen", "off"]);
    let _told = magistrate_tests::ran(&mut command).code(1).says(&["everybody on this machine may use it", "0600"]);
}

/// Health and metrics for others: over TLS, with a key of those who operate or audit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operations_for_others_take_a_key() {
    let secured = Secured::example();
    let [check, audit] = ["check", "audit"].map(|kind| secured.key(kind));
    let mut command = secured.command(&[]);
    command.args([
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--ops-listen",
        "0.0.0.0:0",
        "--admin-listen",
        "off",
        "--workers",
        "1",
    ]);
    let mut server = command.stderr(std::process::Stdio::piped()).spawn().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(server.stderr.take().unwrap()));
    let line = lines.find(|line| line.as_ref().unwrap().contains("\"ops\"")).unwrap().unwrap();
    let json: serde_json::Value = serde_json::from_str(&line).unwrap();
    let port = json["fields"]["ops"].as_str().unwrap().rsplit(':').next().unwrap().to_owned();
    let get = |key: Option<&str>| {
        let mut child = std::process::Command::new("openssl")
            .args(["s_client", "-quiet", "-verify_return_error", "-CAfile", &secured.file("ca.pem")])
            .args(["-connect", &format!("localhost:{port}"), "-alpn", "http/1.1"])
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let authorization = key.map(|key| format!("authorization: Bearer {key}\r\n")).unwrap_or_default();
        let text = format!("GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{authorization}\r\n");
        child.stdin.as_mut().unwrap().write_all(text.as_bytes()).unwrap();
        let mut answer = String::new();
        child.stdout.as_mut().unwrap().read_to_string(&mut answer).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        (answer.split_whitespace().nth(1).unwrap_or_default().to_owned(), answer)
    };
    let answers = [get(None), get(Some("x")), get(Some(&check)), get(Some(&audit))];
    server.kill().unwrap();
    server.wait().unwrap();
    assert_eq!(answers.each_ref().map(|(status, _)| status.as_str()), ["401", "401", "403", "200"]);
    for cause in ["missing", "unreadable", "other_kind"] {
        let line = format!("magistrate_callers_refused_total{{cause=\"{cause}\"}} 1");
        assert!(answers[3].1.contains(&line), "{line} is not in {}", answers[3].1);
    }
}
