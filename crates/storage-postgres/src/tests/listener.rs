//! New revisions are heard of, and lost notifications are made up for.

use std::time::Duration;

use magistrate_model::{Change, EntityData};
use magistrate_testkit::postgres::{Cluster, Options, Proxy};
use magistrate_testkit::store_suite::commit;
use magistrate_testkit::store_suite::sample::uid;
use tokio::time::timeout;

use super::fresh::Fresh;
use crate::connect::Connector;
use crate::{Database, RevisionListener};

async fn change(fresh: &Fresh) {
    commit(fresh, &[Change::PutEntity(EntityData::bare(uid("User::ana")))]).await.unwrap();
}

async fn heard(listener: &mut RevisionListener) -> bool {
    timeout(Duration::from_secs(10), listener.changed()).await.is_ok()
}

async fn silent(listener: &mut RevisionListener) -> bool {
    timeout(Duration::from_millis(300), listener.changed()).await.is_err()
}

async fn by_way_of(proxy: &Proxy, fresh: &Fresh) -> RevisionListener {
    let database = Database::new(&proxy.url(&fresh.url())).unwrap();
    RevisionListener::connect(Connector::of_sessions(&database).unwrap()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_revision_is_heard_of() {
    let fresh = Fresh::new().await;
    let mut listener = fresh.store.listen().await.unwrap().unwrap();
    assert!(silent(&mut listener).await);
    for _ in 0..3 {
        change(&fresh).await;
        assert!(heard(&mut listener).await);
        assert!(silent(&mut listener).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_lost_connection_a_change_is_assumed() {
    let fresh = Fresh::new().await;
    let proxy = Proxy::start(fresh.created.cluster().address());
    let mut listener = by_way_of(&proxy, &fresh).await;
    proxy.reset();
    change(&fresh).await;
    assert!(heard(&mut listener).await, "the notification was lost");
    assert!(silent(&mut listener).await, "once is enough");
    change(&fresh).await;
    assert!(heard(&mut listener).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_is_ended_is_begun_again() {
    let fresh = Fresh::new().await;
    let mut listener = fresh.store.listen().await.unwrap().unwrap();
    let name = fresh.created.name().to_owned();
    fresh.created.cluster().terminate_backends(&format!("datname = '{name}' AND query LIKE 'LISTEN%'"));
    assert!(heard(&mut listener).await);
    assert!(silent(&mut listener).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_outlasts_its_server() {
    let cluster = Cluster::private(&Options::default());
    let fresh = Fresh::on(&cluster).await;
    let mut listener = fresh.store.listen().await.unwrap().unwrap();
    cluster.kill_9();
    assert!(silent(&mut listener).await);
    assert!(silent(&mut listener).await, "a call that was dropped is made again");
    cluster.start();
    assert!(heard(&mut listener).await);
    change(&fresh).await;
    assert!(heard(&mut listener).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_says_nothing_is_noticed() {
    let fresh = Fresh::new().await;
    let proxy = Proxy::start(fresh.created.cluster().address());
    let mut listener = by_way_of(&proxy, &fresh).await;
    listener.be_impatient(Duration::from_millis(100));
    proxy.black_hole();
    assert!(silent(&mut listener).await);
    let reached = tokio::spawn(async move { heard(&mut listener).await });
    // Until the question has gone unanswered.
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    proxy.redirect(fresh.created.cluster().address());
    proxy.heal();
    assert!(reached.await.unwrap());
}

#[test]
fn a_listener_may_be_dropped_anywhere() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (fresh, one, two) = runtime.block_on(async {
        let fresh = Fresh::new().await;
        let (one, two) = (fresh.store.listen().await.unwrap(), fresh.store.listen().await.unwrap());
        (fresh, one, two)
    });
    drop(one);
    drop(runtime);
    drop(two);
    drop(fresh);
}
