use std::io::{Read as _, Write as _};
use std::time::Duration;

use super::process::wait_for;
use super::{Cluster, Disk, Options, PgBouncer, PoolMode, Proxy, psql};

#[tokio::test]
async fn template_is_made_once_and_cloned() {
    let cluster = Cluster::shared();
    let print = super::run::unique("");
    let fill = async |url: String| {
        psql::run(&url, "CREATE TABLE made (n int); INSERT INTO made VALUES (7)").unwrap();
    };
    let template = cluster.template(&print, fill).await;
    assert_eq!(cluster.template(&print, async |_| panic!("made again")).await, template);
    let (one, two) = (cluster.database(Some(&template)), cluster.database(Some(&template)));
    one.sql("UPDATE made SET n = 8");
    assert_eq!((one.sql("SELECT n FROM made"), two.sql("SELECT n FROM made")), ("8".into(), "7".into()));
}

#[test]
fn shared_cluster_is_found_by_a_second_process() {
    let name = "shared_cluster_is_found_by_a_second_process";
    let started = Cluster::shared().sql("postgres", "SELECT pg_postmaster_start_time()");
    if let Ok(expected) = std::env::var("MAGISTRATE_TESTKIT_STARTED") {
        assert_eq!(started, expected);
        return;
    }
    let mut again = std::process::Command::new(std::env::current_exe().unwrap());
    again.args(["--exact", &format!("postgres::tests::{name}")]).env("MAGISTRATE_TESTKIT_STARTED", started);
    let ran = again.output().unwrap();
    let out = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(ran.status.success() && out.contains("1 passed"), "{out}");
}

#[test]
fn errors_carry_their_sqlstate() {
    let error = Cluster::shared().try_sql("postgres", "SELECT 1/0").unwrap_err();
    assert!(error.contains("ERROR:  22012:"), "{error}");
}

#[test]
fn committed_rows_survive_a_kill() {
    let cluster = Cluster::private(&Options { durable: true, ..Options::default() });
    cluster.sql("postgres", "CREATE TABLE kept (n int); INSERT INTO kept VALUES (1)");
    cluster.kill_9();
    assert!(cluster.try_sql("postgres", "SELECT 1").unwrap_err().contains("refused"));
    cluster.start();
    assert_eq!(cluster.sql("postgres", "SELECT n FROM kept"), "1");
    cluster.stop();
    cluster.start();
    assert_eq!(cluster.sql("postgres", "SELECT n FROM kept"), "1");
}

#[test]
fn restored_copy_has_forgotten_what_came_later() {
    let cluster = Cluster::private(&Options::default());
    cluster.sql("postgres", "CREATE TABLE kept (n int); INSERT INTO kept VALUES (1)");
    let copied = cluster.copy();
    cluster.sql("postgres", "INSERT INTO kept VALUES (2)");
    cluster.restore(&copied);
    assert_eq!(cluster.sql("postgres", "SELECT n FROM kept"), "1");
}

#[test]
fn paused_server_answers_when_it_is_resumed() {
    let cluster = Cluster::private(&Options::default());
    cluster.pause();
    let url = cluster.superuser_url("postgres");
    let asking = std::thread::spawn(move || psql::run(&url, "SELECT 1"));
    std::thread::sleep(Duration::from_millis(300));
    assert!(!asking.is_finished());
    cluster.resume();
    assert_eq!(asking.join().unwrap().unwrap(), "1");
}

#[test]
fn sessions_are_terminated_by_condition() {
    let database = Cluster::shared().database(None);
    let url = database.superuser_url();
    let sleeping = std::thread::spawn(move || psql::run(&url, "SELECT pg_sleep(600)"));
    let condition = format!("datname = '{}' AND state = 'active' AND query LIKE '%pg_sleep%'", database.name());
    wait_for("a session", || (database.cluster().terminate_backends(&condition) == 1).then_some(()));
    assert!(sleeping.join().unwrap().unwrap_err().contains("57P01"));
}

#[test]
#[expect(clippy::print_stderr, reason = "a test that does nothing says so")]
fn full_disk_refuses_and_recovers() {
    let disk = match Disk::of_mebibytes(100) {
        Ok(disk) => disk,
        Err(why) => return eprintln!("SKIPPED full_disk_refuses_and_recovers: {why}"),
    };
    let cluster = Cluster::private(&Options { data_on: Some(disk.path().to_owned()), ..Options::default() });
    cluster.sql("postgres", "CREATE TABLE filled (t text)");
    disk.fill();
    let insert = "INSERT INTO filled SELECT repeat('x', 1000) FROM generate_series(1, 1000)";
    assert!(cluster.try_sql("postgres", insert).unwrap_err().contains("53100"));
    disk.free();
    cluster.sql("postgres", insert);
}

#[test]
fn tls_is_trusted_by_its_authority_only() {
    let cluster = Cluster::private(&Options { tls: true, ..Options::default() });
    let url = cluster.superuser_url("postgres");
    let strict = |root: &str| format!("{url}?sslmode=verify-full&sslrootcert={root}");
    let used = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    assert_eq!(psql::run(&strict(cluster.authority().to_str().unwrap()), used).unwrap(), "t");
    let other = Cluster::private(&Options { tls: true, ..Options::default() });
    psql::run(&strict(other.authority().to_str().unwrap()), used).unwrap_err();
}

#[test]
fn pooler_shares_connections_between_clients() {
    let cluster = Cluster::shared();
    let database = cluster.database(None);
    let role = format!("pooled_{}", database.name());
    database.sql(&format!("CREATE ROLE {role} LOGIN PASSWORD 'it''s'"));
    let pooler = PgBouncer::start(&cluster, PoolMode::Transaction, &[(&role, "it's")]);
    let url = pooler.url(&database.login(&role, "it's"));
    let ask = || psql::run(&url, "SELECT current_user, pg_backend_pid()").unwrap();
    let first = ask();
    assert!(first.starts_with(&format!("{role}|")) && first == ask(), "{first}");
    assert!(pooler.console("SHOW POOLS").contains(&role));
    drop((pooler, database));
    cluster.sql("postgres", &format!("DROP ROLE {role}"));
}

#[test]
fn proxy_resets_after_and_before_a_commit() {
    let database = Cluster::shared().database(None);
    database.sql("CREATE TABLE kept (n int)");
    let proxy = Proxy::start(database.cluster().address());
    let url = proxy.url(&database.superuser_url());
    let insert = |n: u8| psql::run(&url, &format!("BEGIN; INSERT INTO kept VALUES ({n}); COMMIT;"));
    insert(1).unwrap();
    proxy.reset_after(b"COMMIT");
    insert(2).unwrap_err();
    proxy.reset_before(b"COMMIT");
    insert(3).unwrap_err();
    insert(4).unwrap();
    assert_eq!((proxy.sprung(), proxy.accepted()), (2, 4));
    assert_eq!(database.sql("SELECT string_agg(n::text, ',' ORDER BY n) FROM kept"), "1,2,4");
}

#[test]
fn proxy_resets_holds_up_refuses_and_heals() {
    let cluster = Cluster::shared();
    let proxy = Proxy::start(cluster.address());
    let url = proxy.url(&cluster.superuser_url("postgres"));
    let mut open = std::net::TcpStream::connect(proxy.address()).unwrap();
    wait_for("the connection", || (proxy.connections() == 1).then_some(()));
    proxy.reset();
    assert_eq!(open.read(&mut [0]).unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    proxy.refuse();
    psql::run(&url, "SELECT 1").unwrap_err();
    proxy.black_hole();
    let mut held = std::net::TcpStream::connect(proxy.address()).unwrap();
    held.write_all(&[0, 0, 0, 8, 4, 210, 22, 47]).unwrap();
    held.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
    assert_eq!(held.read(&mut [0]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    proxy.heal();
    held.set_read_timeout(None).unwrap();
    // To the question whether it speaks TLS, the server says no.
    let mut answer = [0];
    held.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"N");
    assert_eq!(psql::run(&url, "SELECT 1").unwrap(), "1");
}
