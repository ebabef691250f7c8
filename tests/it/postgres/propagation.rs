//! How soon, and in which order, nodes serve what was committed.

use std::fmt::Write as _;
use std::time::Duration;

use magistrate_client::v1::CheckRequest;
use magistrate_client::{Client, is_allowed};
use magistrate_testkit::postgres::Options;
use magistrate_tests::postgres::{Deployment, Load, Told};
use magistrate_tests::{request, tell, workspace};

use super::administration::insist;
use super::network::{pooled_node, pooler};
use super::{PATIENCE, answer, is_long, ready};

/// Those who are granted and lose it again, each by an administrator of its own.
const HOLDERS: [&str; 2] = ["ana", "omar"];
/// Grants in all; each is also revoked.
const GRANTS: usize = 60;
/// Between two requests of a client: what is measured is not how much two processors can take.
const PAUSE: Duration = Duration::from_millis(1);
const MANY_GRANTS: usize = 2_000;

/// Two nodes under load while grants come and go. No client of a node is ever answered by an older revision than
/// that node has shown; who names a revision is answered by it or a newer one, on either node, with what it says.
///
/// `LONG_TESTS=1` makes it 2,000 grants instead of 60. The times from commit to the first answer by it are printed
/// and written to `target/propagation.txt`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revisions_reach_every_node_soon_and_in_order() {
    let deployment = Deployment::private(&committing());
    let nodes = [ready(deployment.node()), ready(deployment.node())];
    let loads = [Load::paced(&nodes[0], 2, PAUSE).await, Load::paced(&nodes[1], 2, PAUSE).await];
    let clients = [nodes[0].client().await, nodes[1].client().await];
    let grants = if is_long() { MANY_GRANTS } else { GRANTS };
    come_and_go(&deployment, &clients, grants).await;
    let mut all = Vec::new();
    for load in loads {
        let begun_at = load.begun_at();
        let told = load.stop().await;
        told.expect_recorded(&deployment);
        told.expect_told_within(PATIENCE);
        assert!(told.refused.is_empty(), "{:?}", told.refused.first());
        all.extend(visible_after(&deployment, &told, begun_at));
    }
    let text = report("announced", &mut all);
    std::fs::write(workspace().join("target/propagation.txt"), &text).unwrap();
    assert!(all.last().unwrap() < &Duration::from_secs(5), "{text}");
}

/// Behind a pooler, with no way past it, nothing is announced: revisions are found by polling, and later than by a
/// node beside it that hears of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn revisions_that_are_not_announced_are_found_by_polling() {
    let deployment = Deployment::private(&committing());
    let pooler = pooler(&deployment);
    let nodes = [ready(deployment.node()), ready(pooled_node(&deployment, &pooler, None))];
    let loads = [Load::paced(&nodes[0], 1, PAUSE).await, Load::paced(&nodes[1], 1, PAUSE).await];
    for n in 0..16 {
        let id = format!("g-{n}");
        let revision = tokio::task::block_in_place(|| deployment.grant(&id, "ana", "handbook"));
        for load in &loads {
            load.reaches(revision).await;
        }
    }
    let mut measured = Vec::new();
    for load in loads {
        let begun_at = load.begun_at();
        let told = load.stop().await;
        told.expect_recorded(&deployment);
        measured.push(visible_after(&deployment, &told, begun_at));
    }
    let texts: Vec<_> = ["announced", "polled"].iter().zip(&mut measured).map(|(how, all)| report(how, all)).collect();
    let mean = |all: &[Duration]| all.iter().sum::<Duration>() / u32::try_from(all.len()).unwrap();
    let (announced, polled) = (mean(&measured[0]), mean(&measured[1]));
    // On average a poll comes half its interval too late. What both take besides depends on the machine.
    assert!(announced < polled.mul_f64(0.6), "announced {announced:?}, polled {polled:?}: {texts:?}");
    assert!(measured[1].last().unwrap() < &Duration::from_secs(2), "{texts:?}");
}

/// Commit times are kept by the database.
fn committing() -> Options {
    Options::default().set("track_commit_timestamp", "on")
}

/// Administrators grant and revoke at once, and ask both nodes after each.
async fn come_and_go(deployment: &Deployment, clients: &[Client; 2], grants: usize) {
    let share = |holder: &'static str| async move {
        for n in 0..grants / HOLDERS.len() {
            let id = format!("g-{holder}-{n}");
            let holder_uid = format!("Company::User::{holder}");
            let on = ["--role", "editor", "--on", "Company::Folder::handbook", "--expires", "+1h", "--id", &id];
            change(deployment, &[&["grant", "add", &holder_uid], &on[..]].concat(), clients, holder, true).await;
            change(deployment, &["grant", "revoke", &id], clients, holder, false).await;
        }
    };
    let [one, other] = HOLDERS;
    tokio::join!(share(one), share(other));
}

/// Commits, and expects both nodes to answer by it when told of it.
async fn change(deployment: &Deployment, arguments: &[&str], clients: &[Client; 2], holder: &str, expected: bool) {
    let (ran, _conflicts) = tokio::task::block_in_place(|| insist(deployment, arguments));
    let revision = ran.revision();
    for client in clients {
        let edit = request(("User", holder), "editDocument", ("Document", "welcome"));
        let answer = answer(client, CheckRequest { at_least_revision: revision, ..edit }).await;
        assert!(answer.revision >= revision, "asked for {revision}, answered by {}", answer.revision);
        assert_eq!(is_allowed(&answer), expected, "{arguments:?} at revision {revision}");
    }
}

/// For each revision committed under load, how long after its commit the first answer by it arrived.
fn visible_after(deployment: &Deployment, told: &Told, begun_at: Duration) -> Vec<Duration> {
    let commits = "SELECT revision, (extract(epoch FROM pg_xact_commit_timestamp(xmin)) * 1000000)::bigint
        FROM magistrate.revision_lineage ORDER BY revision";
    let rows = deployment.sql(commits);
    let commits = rows.lines().map(|row| row.split_once('|').unwrap());
    let commits =
        commits.map(|(revision, at)| (revision.parse::<u64>().unwrap(), Duration::from_micros(at.parse().unwrap())));
    let mut answers: Vec<_> = told.acknowledged.iter().map(|it| (it.at, it.revision)).collect();
    answers.sort_unstable();
    let mut answers = answers.into_iter().peekable();
    let since = |(revision, at): (u64, Duration)| {
        while answers.next_if(|(_, seen)| *seen < revision).is_some() {}
        let (first, _) = answers.peek()?;
        Some((begun_at + *first).saturating_sub(at))
    };
    commits.filter(|(_, at)| *at > begun_at).filter_map(since).collect()
}

fn report(how: &str, all: &mut [Duration]) -> String {
    all.sort();
    let mut text = format!("{how}: {} revisions seen, from commit to the first answer by it:", all.len());
    for part in [50, 90, 99, 100] {
        write!(text, " p{part} {:?}", percentile(all, part)).unwrap();
    }
    tell(&text);
    text + "\n"
}

fn percentile(sorted: &[Duration], part: usize) -> Duration {
    *sorted.get(sorted.len() * part / 100).or(sorted.last()).unwrap()
}

#[test]
fn percentiles_are_of_what_was_measured() {
    let all: Vec<_> = (1..=100).map(Duration::from_millis).collect();
    assert_eq!(percentile(&all, 50), Duration::from_millis(51));
    assert_eq!(percentile(&all, 100), Duration::from_millis(100));
}
