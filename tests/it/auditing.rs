//! The auditors' door, against the real server on both stores.

use std::time::Duration;

use magistrate_client::WireDuration;
use magistrate_client::v1::audit_service_client::AuditServiceClient;
use magistrate_client::v1::{
    Cause, CountDecisionsRequest, Decision, DecisionFilter, GetDecisionRequest, ListCheckpointsRequest, ProveRequest,
    ReplayDecisionRequest, SearchDecisionsRequest, TailDecisionsRequest,
};
use magistrate_tests::postgres::{Deployment, Login};
use magistrate_tests::{ADMIN, CLASS, Running, Secured, Store, request};
use serde_json::Value as Json;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt as _;

const PATIENCE: Duration = Duration::from_mins(1);

type Client = AuditServiceClient<Channel>;

async fn auditor(node: &Running) -> Client {
    let url = format!("http://{}", node.admin().unwrap());
    AuditServiceClient::connect(Endpoint::from_shared(url).unwrap()).await.unwrap()
}

async fn ask(node: &Running, user: &str) -> String {
    let asked = request(("User", user), "readMessage", ("Message", "m-1001"));
    node.client().await.check(asked, PATIENCE).await.unwrap().decision_id
}

fn of(principal: &str) -> DecisionFilter {
    DecisionFilter { principal: vec![principal.to_owned()], ..DecisionFilter::default() }
}

fn reason(status: &Status) -> String {
    status.get_details_error_info().map(|info| info.reason).unwrap_or_default()
}

/// Every method, on a store that holds the example.
async fn check_service(node: &mut Running) {
    let (first, second) = (ask(node, "ana").await, ask(node, "ben").await);
    let mut client = auditor(node).await;

    let found = client.get_decision(GetDecisionRequest { decision_id: first.clone() }).await.unwrap().into_inner();
    assert_eq!((found.decision(), found.cause()), (Decision::Allow, Cause::Permitted));
    assert_eq!((found.principal.unwrap().id.as_str(), found.leaf.len()), ("ana", 32));
    assert_eq!((found.determining_policies, found.revision), (vec!["messages.owner.read".to_owned()], 1));
    let nowhere = GetDecisionRequest { decision_id: format!("{}-9", "0".repeat(32)) };
    let refused = client.get_decision(nowhere).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::NotFound, "NO_SUCH_DECISION"));

    check_search(node, &mut client, &first, &second).await;

    let filter = Some(of("!Company::User::ana"));
    let counted = client.count_decisions(CountDecisionsRequest { filter, stretch: None }).await.unwrap().into_inner();
    assert_eq!((counted.total, counted.causes.get("no_permit")), (2, Some(&2)), "{counted:?}");
    let stretch = Some(WireDuration { seconds: 3_600, nanos: 0 });
    let unbounded = client.count_decisions(CountDecisionsRequest { filter: None, stretch }).await.unwrap_err();
    assert!(unbounded.code() == Code::InvalidArgument && unbounded.message().contains("filter.since"), "{unbounded}");

    let replay = ReplayDecisionRequest { decision_id: first.clone(), under_current: false };
    let replayed = client.replay_decision(replay.clone()).await.unwrap().into_inner();
    assert!(replayed.same && replayed.departures.is_empty(), "{replayed:?}");
    let prove = ProveRequest { decision_id: first.clone() };
    let proof = loop {
        let told = client.prove(prove.clone()).await.unwrap().into_inner();
        if told.pending.is_empty() {
            break told.proof;
        }
        // The next checkpoint of the global log.
        node.wait_for("magistrate/log/");
    };
    assert!(proof.contains(&first) && proof.contains("magistrate/log/"), "{proof}");

    let current = ReplayDecisionRequest { under_current: true, ..replay };
    assert!(client.replay_decision(current).await.unwrap().into_inner().same);
}

/// Pages go on where they ended whatever is recorded meanwhile, for the question they were given for.
async fn check_search(node: &Running, client: &mut Client, first: &str, second: &str) {
    let page = SearchDecisionsRequest { page_size: 1, ..SearchDecisionsRequest::default() };
    let newest = client.search_decisions(page.clone()).await.unwrap().into_inner();
    assert_eq!(newest.decisions.first().unwrap().decision_id, second);
    let _third = ask(node, "ben").await;
    let on = SearchDecisionsRequest { page_token: newest.next_page_token, ..page.clone() };
    let older = client.search_decisions(on.clone()).await.unwrap().into_inner();
    assert_eq!(older.decisions.first().unwrap().decision_id, first);
    let other = SearchDecisionsRequest { filter: Some(of("Company::User::ana")), ..on };
    let refused = client.search_decisions(other).await.unwrap_err();
    assert!(refused.message().contains("another filter"), "{refused}");
    let wrong = DecisionFilter { cause: vec!["!nonsense".into()], ip: vec!["x".into()], ..DecisionFilter::default() };
    let refused = client.search_decisions(SearchDecisionsRequest { filter: Some(wrong), ..page }).await.unwrap_err();
    let fields = refused.get_details_bad_request().unwrap().field_violations;
    assert_eq!(fields.iter().map(|it| it.field.as_str()).collect::<Vec<_>>(), ["cause[0]", "ip[0]"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn embedded_history_is_read_over_grpc() {
    let store = Store::example();
    let mut node = Running::with(&store, &[(ADMIN, "127.0.0.1:0")]);
    check_service(&mut node).await;
    let id = store.run(&["-o", "json", "audit", "search", "--limit", "1"]).code(0).json();
    let _shown = store.run(&["audit", "show", id.pointer("/0/id").and_then(Json::as_str).unwrap()]).code(0);
    let _exported = store.run(&["audit", "export", "exported"]).code(0);
    let told = store.run(&["-o", "json", "audit", "acts", "--kind", "access"]).code(0).json();
    expect_accesses(&told, &["search : 1 records", "show ", "export : 3 records"], "os:");
}

/// Who read what was recorded: by the service, and by these verbs.
#[track_caller]
fn expect_accesses(told: &Json, verbs: &[&str], actor: &str) {
    let acts = told.as_array().unwrap();
    let by = |actor: &str, what: &str| {
        let text = |act: &Json, field: &str| act.get(field).and_then(Json::as_str).unwrap_or_default().to_owned();
        acts.iter().any(|act| text(act, "actor").starts_with(actor) && text(act, "what").starts_with(what))
    };
    for call in [
        "GetDecision ",
        "SearchDecisions ",
        "CountDecisions principal=!Company::User::ana",
        "ReplayDecision ",
        "Prove ",
    ] {
        assert!(by("peer:127.0.0.1", call), "{call}: {told}");
    }
    for verb in verbs {
        assert!(by(actor, verb), "{verb}: {told}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shared_history_is_read_by_the_auditors_login() {
    let deployment = Deployment::shared();
    let url = deployment.home().join("auditor-url");
    std::fs::write(&url, deployment.url_with_password(Login::Auditor)).unwrap();
    let mut command = deployment.command(Login::App);
    command.env(ADMIN, "127.0.0.1:0").env("MAGISTRATE_AUDITOR_DATABASE_URL_FILE", &url);
    check_service(&mut Running::launch(command)).await;
    let told = deployment.run(Login::Auditor, &["-o", "json", "audit", "acts", "--kind", "access"]).code(0).json();
    expect_accesses(&told, &[], "os:");
}

/// What is decided is told within a second, once, and only what is wanted; the stream ends with the server.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn decisions_are_followed_as_they_are_made() {
    let store = Store::example();
    let mut node = Running::with(&store, &[(ADMIN, "127.0.0.1:0"), (CLASS, "process")]);
    let before = ask(&node, "ana").await;
    let mut client = auditor(&node).await;
    let find = GetDecisionRequest { decision_id: before.clone() };
    while client.get_decision(find.clone()).await.is_err() {}
    let wanted = TailDecisionsRequest { filter: Some(of("Company::User::ana")), newest: 1, ..Default::default() };
    let mut tail = client.tail_decisions(wanted).await.unwrap().into_inner();
    assert_eq!(tail.message().await.unwrap().unwrap().decision_id, before);
    for _ in 0..3 {
        let (_other, wanted) = (ask(&node, "ben").await, ask(&node, "ana").await);
        assert_eq!(tail.message().await.unwrap().unwrap().decision_id, wanted);
    }
    assert_eq!(node.terminate(), 0, "{}", node.logged());
    let ended = tail.message().await;
    assert!(matches!(&ended, Err(status) if status.code() == Code::Unavailable), "{ended:?}");
}

/// A feed that broke off goes on behind what was told, on the next run of the server as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn followed_decisions_go_on_where_the_feed_broke_off() {
    let store = Store::example();
    let environment = [(ADMIN, "127.0.0.1:0")];
    let mut node = Running::with(&store, &environment);
    let (_old, before) = (ask(&node, "ana").await, ask(&node, "ana").await);
    let mut client = auditor(&node).await;
    let wanted = |resume_token: &str, told: &[String]| TailDecisionsRequest {
        filter: Some(of("Company::User::ana")),
        resumable: true,
        resume_token: resume_token.to_owned(),
        told: told.to_vec(),
        newest: u32::from(resume_token.is_empty()),
    };
    let mut tail = client.tail_decisions(wanted("", &[])).await.unwrap().into_inner();
    let begun = tail.message().await.unwrap().unwrap();
    assert_eq!(begun.decision_id, before);
    let (_other, second) = (ask(&node, "ben").await, ask(&node, "ana").await);
    assert_eq!(tail.message().await.unwrap().unwrap().decision_id, second);
    drop(tail);
    let mut missed = vec![ask(&node, "ana").await, ask(&node, "ana").await];
    // From the token alone what was told behind it is told again; who says what that was is told the rest.
    let mut again = client.tail_decisions(wanted(&begun.tail_token, &[])).await.unwrap().into_inner();
    assert_eq!(again.message().await.unwrap().unwrap().decision_id, "", "where it is");
    assert_eq!(again.message().await.unwrap().unwrap().decision_id, second);
    assert_eq!(node.terminate(), 0, "{}", node.logged());

    let mut node = Running::with(&store, &environment);
    missed.push(ask(&node, "ana").await);
    let mut client = auditor(&node).await;
    let mut tail = client.tail_decisions(wanted(&begun.tail_token, &[second])).await.unwrap().into_inner();
    let (mut told, mut token) = (Vec::new(), String::new());
    while told.len() < missed.len() {
        let message = tail.message().await.unwrap().unwrap();
        told.extend(Some(message.decision_id).filter(|id| !id.is_empty()));
        token = Some(message.tail_token).filter(|it| !it.is_empty()).unwrap_or(token);
    }
    assert_eq!(told, missed);
    let next = ask(&node, "ana").await;
    assert_eq!(tail.message().await.unwrap().unwrap().decision_id, next, "and then as they are made");
    let elsewhere = format!("t1,{}-1", "0".repeat(32));
    for (bad, says) in [(elsewhere.as_str(), "another history"), ("nonsense", "no place in a feed")] {
        let refused = client.tail_decisions(wanted(bad, &[])).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused}");
        assert!(refused.get_details_bad_request().unwrap().field_violations[0].description.contains(says), "{refused}");
    }
    assert!(token.starts_with("t1,"), "{token}");
    assert_eq!(node.terminate(), 0, "{}", node.logged());
}

/// What the command line tells is kept as told, and the next run tells what arrived since.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tail_of_the_command_line_goes_on_where_it_ended() {
    let store = Store::example();
    let node = Running::start(&store);
    let file = store.home().join("feed").to_str().unwrap().to_owned();
    let tail = |more: &[&str]| {
        let told = store.run(&[&["-o", "json", "audit", "tail", "--resume-from", &file], more].concat()).code(0).out;
        let id = |line: &str| serde_json::from_str::<Json>(line).unwrap()["id"].as_str().unwrap().to_owned();
        told.lines().map(id).collect::<Vec<_>>()
    };
    let mut made = Vec::new();
    for _ in 0..3 {
        made.push(ask(&node, "ana").await);
    }
    assert_eq!(tail(&["-n", "2"]), made[1..]);
    assert_eq!(tail(&[]), [""; 0]);
    let (first, other) = (ask(&node, "ana").await, ask(&node, "ben").await);
    assert_eq!(tail(&[]), [first, other]);
    let (_unwanted, wanted) = (ask(&node, "ben").await, ask(&node, "ana").await);
    assert_eq!(tail(&["--principal", "Company::User::ana"]), [wanted], "and only what is wanted");
    assert_eq!(tail(&[]), [""; 0], "what was not wanted was passed over");
    std::fs::write(&file, "t1,x").unwrap();
    let _told = store.run(&["audit", "tail", "--resume-from", &file]).code(1).says(&["feed", "begin again"]);
    let elsewhere = Store::example();
    let _made = ask(&Running::start(&elsewhere), "ana").await;
    std::fs::remove_file(&file).unwrap();
    let _told = elsewhere.run(&["audit", "tail", "--resume-from", &file]).code(0);
    let _told = store.run(&["audit", "tail", "--resume-from", &file]).code(1).says(&["another history"]);
}

/// Checkpoints are told as they are stored, page by page.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checkpoints_are_listed() {
    let store = Store::example();
    let mut node = Running::with(&store, &[(ADMIN, "127.0.0.1:0")]);
    let _logged = node.wait_for("\"checkpoint\"");
    assert_eq!(node.terminate(), 0, "{}", node.logged());
    // Another run is another stream, with a checkpoint of its own.
    let mut node = Running::with(&store, &[(ADMIN, "127.0.0.1:0")]);
    let _logged = node.wait_for("\"checkpoint\"");
    let mut client = auditor(&node).await;
    let mut list = ListCheckpointsRequest { page_size: 1, ..ListCheckpointsRequest::default() };
    let mut paged = Vec::new();
    let told = loop {
        let told = client.list_checkpoints(list.clone()).await.unwrap().into_inner();
        paged.extend(told.checkpoints.iter().map(|it| (it.origin.clone(), it.size)));
        list.page_token.clone_from(&told.next_page_token);
        if told.next_page_token.is_empty() {
            break told;
        }
        assert_eq!(told.checkpoints.len(), 1, "{told:?}");
    };
    let origins: std::collections::BTreeSet<_> = paged.iter().map(|(origin, _)| origin.clone()).collect();
    assert!(origins.len() >= 3 && paged.is_sorted(), "two streams and the log: {paged:?}");
    let origin = paged[0].0.clone();
    let of_one = ListCheckpointsRequest { origin: origin.clone(), ..ListCheckpointsRequest::default() };
    let of_one = client.list_checkpoints(of_one).await.unwrap().into_inner();
    let expected: Vec<_> = paged.iter().filter(|it| it.0 == origin).cloned().collect();
    assert_eq!(of_one.checkpoints.iter().map(|it| (it.origin.clone(), it.size)).collect::<Vec<_>>(), expected);
    let checkpoint = told.checkpoints.first().unwrap();
    assert!(checkpoint.origin.starts_with("magistrate/") && checkpoint.size >= 1, "{checkpoint:?}");
    assert!(checkpoint.note.contains("\u{2014} magistrate/"), "{checkpoint:?}");
}

/// Where keys are asked for, only one of an auditor reads history.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_is_for_keys_of_auditors() {
    let secured = Secured::example();
    let [check, audit] = ["check", "audit"].map(|kind| secured.key(kind));
    let node = Running::with(&secured.store, &[(ADMIN, "127.0.0.1:0"), ("MAGISTRATE_REQUIRE_KEY", "true")]);
    let mut client = auditor(&node).await;
    let mut ask = async |key: Option<&str>| {
        let mut request = Request::new(SearchDecisionsRequest::default());
        if let Some(key) = key {
            request.metadata_mut().insert("authorization", format!("Bearer {key}").parse().unwrap());
        }
        client.search_decisions(request).await.map(drop).map_err(|status| status.code())
    };
    assert_eq!(ask(None).await, Err(Code::Unauthenticated));
    assert_eq!(ask(Some(&check)).await, Err(Code::PermissionDenied));
    assert_eq!(ask(Some(&audit)).await, Ok(()));
}
