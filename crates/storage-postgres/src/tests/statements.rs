//! Every statement is one that the schema knows, and pages of history are read in the order of an index.

use magistrate_ledger::Sink;
use magistrate_model::Span;
use magistrate_testkit::instant;
use magistrate_testkit::store_suite::sample::{Decided, sealed, stream};
use sqlx::{Connection, Executor, PgConnection, SqlSafeStr};

use super::fresh::Fresh;
use crate::{decisions, hardening, policy, schema};

#[tokio::test]
async fn every_statement_prepares() {
    let fresh = Fresh::new().await;
    let mut connection = PgConnection::connect(&fresh.url()).await.unwrap();
    for (name, sql) in [
        decisions::statements::ALL,
        decisions::log_statements::ALL,
        decisions::retention_statements::ALL,
        decisions::erasing_statements::ALL,
        policy::statements::ALL,
        schema::ALL,
        hardening::ALL,
    ]
    .concat()
    {
        let prepared = (&mut connection).prepare(sql.into_sql_str()).await;
        assert!(prepared.is_ok(), "{name}: {:?}", prepared.err());
    }
}

/// Decisions of five days, and statistics about them.
async fn filled() -> Fresh {
    let fresh = Fresh::new().await;
    let mut sink = fresh.store.sink().await.unwrap();
    for day in 0..5 {
        let start = instant("2026-06-01T12:00:00Z").plus(Span::hours(24 * day));
        let decided = |n| {
            let request_id = (n % 2 == 0).then_some("r");
            Decided {
                principal: USERS[usize::try_from(n % 40).unwrap()],
                request_id,
                ..Decided::at(start.plus(Span::millis(n)))
            }
        };
        let decided: Vec<Decided> = (0..2_000).map(decided).collect();
        sink.commit(&sealed(stream(u8::try_from(day + 1).unwrap()), &decided)).await.unwrap();
    }
    fresh.created.sql("ANALYZE audit.decision");
    fresh
}

/// Forty users, of whom the first is rare by name only.
const USERS: [&str; 40] = {
    let mut users = ["User::ana"; 40];
    let others = ["User::u1", "User::u2", "User::u3", "User::u4", "User::u5", "User::u6", "User::u7"];
    let mut n = 1;
    while n < users.len() {
        users[n] = others[n % others.len()];
        n += 1;
    }
    users
};

/// How a statement is executed: what is searched or counted as it is planned then, everything else planned for its values
/// and for any.
fn plans(fresh: &Fresh, sql: &str, values: &str) -> Vec<String> {
    let is_search = sql.contains(" LIMIT $15") || sql.contains(" AS start, ");
    let settings: &[&str] = match is_search {
        true => &["SET plan_cache_mode = force_custom_plan; SET enable_bitmapscan = off; SET enable_sort = off"],
        false => &["SET plan_cache_mode = force_custom_plan", "SET plan_cache_mode = force_generic_plan"],
    };
    let plan = |settings: &&str| {
        let explain = format!("{settings}; PREPARE p AS {sql}; EXPLAIN (COSTS OFF) EXECUTE p ({values})");
        fresh.created.sql(&explain)
    };
    settings.iter().map(plan).collect()
}

/// Values for a search: principals, resources, days and a limit.
fn values(principals: &str, resources: &str, days: (i64, i64)) -> String {
    let (first, last) = days;
    format!(
        "{principals}, NULL, {resources}, NULL, NULL, NULL, {first}, {last}, {}, {}, {last}, {}, '\\xff', 1, 50, NULL, NULL,
            NULL, 0, 8640000",
        first * 86_400_000_000,
        (last + 1) * 86_400_000_000,
        last * 86_400_000_000,
    )
}

#[tokio::test]
async fn pages_of_history_read_the_days_they_are_asked_for() {
    let fresh = filled().await;
    let day = instant("2026-06-03T00:00:00Z").day();
    let (ana, doc) = (r#"'{"User::\"ana\""}'"#, r#"'{"Doc::\"doc1\""}'"#);
    for (name, sql) in decisions::statements::ALL.iter().filter(|(name, _)| name.contains("EST")) {
        let (principals, resources) = match (name.contains("PRINCIPAL"), name.contains("RESOURCE")) {
            (true, _) => (ana, doc),
            (_, true) => ("NULL", doc),
            _ => ("NULL", "NULL"),
        };
        for plan in plans(&fresh, sql, &values(principals, resources, (day - 1, day))) {
            assert!(plan.contains("decision_20260603"), "{name}:\n{plan}");
            assert!(!plan.contains("decision_20260605") && !plan.contains("decision_20260601"), "{name}:\n{plan}");
            assert!(!plan.contains("Bitmap"), "{name}:\n{plan}");
        }
    }
}

/// Counting reads what is counted, and nothing of other days.
#[tokio::test]
async fn counts_read_no_more_than_is_counted() {
    let fresh = filled().await;
    let day = instant("2026-06-03T00:00:00Z").day();
    let (ana, doc) = (r#"'{"User::\"ana\""}'"#, r#"'{"Doc::\"doc1\""}'"#);
    let stretch = format!(
        "{}, {day}, {}, {}, 3600000000, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, 8640000",
        day - 1,
        (day - 1) * 86_400_000_000,
        (day + 1) * 86_400_000_000,
    );
    for (name, principals, resources) in
        [("COUNT", "NULL", "NULL"), ("COUNT_BY_PRINCIPAL", ana, "NULL"), ("COUNT_BY_RESOURCE", "NULL", doc)]
    {
        let sql = decisions::statements::ALL.iter().find(|(known, _)| *known == name).unwrap().1;
        let values = format!("{principals}, NULL, {resources}, NULL, NULL, NULL, {stretch}");
        for plan in plans(&fresh, sql, &values) {
            assert!(plan.contains("decision_20260603"), "{name}:\n{plan}");
            assert!(!plan.contains("decision_20260605") && !plan.contains("decision_20260601"), "{name}:\n{plan}");
        }
    }
}

#[tokio::test]
async fn one_decision_is_found_by_its_key() {
    let fresh = filled().await;
    let find = decisions::statements::ALL.iter().find(|(name, _)| *name == "FIND").unwrap().1;
    for plan in plans(&fresh, find, "'\\x01010101010101010101010101010101', 7") {
        // The days ahead are empty, and read in whatever way.
        assert!(!plan.contains("Seq Scan on decision_202606") && !plan.contains("Bitmap"), "{plan}");
        let key = "using decision_20260603_pkey on decision_20260603 c";
        let by_key = plan.lines().skip_while(|line| !line.contains(key)).nth(1).unwrap();
        assert!(by_key.contains("day = ") && by_key.contains("stream = ") && by_key.contains("seq = "), "{plan}");
    }
}

/// A million decisions of five days: whoever is looked for by principal, resource or id is found by an index, and pages and
/// counts read a part that does not grow with the rest.
#[tokio::test]
async fn a_million_decisions_are_searched_by_index() {
    let fresh = Fresh::new().await;
    fresh.created.sql(
        "SELECT audit.prepare_day(DATE '2026-06-01' + n) FROM generate_series(0, 4) n;
         INSERT INTO audit.decision (day, stream, seq, leaf, recorded_at, class, principal, action, resource, decision,
            cause, request_id, dictionary, body)
         SELECT DATE '2026-06-01' + (n / 200000)::integer, '\\x01010101010101010101010101010101', n + 1,
             sha256(int8send(n)), 1780272000000000 + n * 432000, 'p',
             CASE n % 7 WHEN 3 THEN 'User::\"often\"' ELSE 'User::\"u' || n % 9973 || '\"' END,
             'Action::\"read\"', 'Doc::\"d' || n % 49999 || '\"', CASE n % 10 WHEN 0 THEN 'd' ELSE 'a' END::\"char\",
             CASE n % 10 WHEN 0 THEN 'n' ELSE 'p' END::\"char\", '', 0, '\\x00'
         FROM generate_series(0::bigint, 999999) n;
         ANALYZE audit.decision;",
    );
    let days = (instant("2026-06-01T00:00:00Z").day(), instant("2026-06-05T00:00:00Z").day());
    let (user, often, doc) = (r#"'{"User::\"u7\""}'"#, r#"'{"User::\"often\""}'"#, r#"'{"Doc::\"d7\""}'"#);
    let stretch = format!(
        "{}, {}, {}, {}, 3600000000, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, 8640000",
        days.0,
        days.1,
        days.0 * 86_400_000_000,
        (days.1 + 1) * 86_400_000_000,
    );
    for (name, values, index) in [
        ("NEWEST", values("NULL", "NULL", days), "Index Cond: ((day >="),
        ("NEWEST_BY_PRINCIPAL", values(user, "NULL", days), "Index Cond: ((hashtext(principal"),
        ("NEWEST_BY_PRINCIPAL", values(often, "NULL", days), "Index Cond: ((hashtext(principal"),
        ("NEWEST_BY_RESOURCE", values("NULL", doc, days), "Index Cond: ((hashtext(resource"),
        (
            "COUNT_BY_PRINCIPAL",
            format!("{user}, NULL, NULL, NULL, NULL, NULL, {stretch}"),
            "Cond: ((hashtext(principal",
        ),
        ("COUNT_BY_RESOURCE", format!("NULL, NULL, {doc}, NULL, NULL, NULL, {stretch}"), "Cond: ((hashtext(resource"),
        ("FIND", r"'\x01010101010101010101010101010101', 700000".to_owned(), "Index Cond: ((day ="),
    ] {
        let sql = decisions::statements::ALL.iter().find(|(known, _)| *known == name).unwrap().1;
        for plan in plans(&fresh, sql, &values) {
            let mut pairs = plan.lines().zip(plan.lines().skip(1));
            let by_index = |(scan, by): (&str, &str)| scan.contains(" on decision_20260604") && by.contains(index);
            assert!(pairs.any(by_index), "{name}:\n{plan}");
            // In the order of the index, so that a page ends when it is full.
            let ordered = plan.contains("Presorted Key: d.day, (((");
            assert_eq!(ordered, name.contains("EST"), "{name}:\n{plan}");
            assert!(!plan.contains("Seq Scan on decision_202606"), "{name}:\n{plan}");
        }
    }
}

/// What is asked with every change goes by an index.
#[tokio::test]
async fn administrative_state_is_read_by_its_keys() {
    let fresh = Fresh::new().await;
    fresh.created.sql(
        "ALTER TABLE magistrate.entity DISABLE TRIGGER USER; ALTER TABLE magistrate.entity_parent DISABLE TRIGGER USER;
         ALTER TABLE magistrate.role_assignment DISABLE TRIGGER USER;
         INSERT INTO magistrate.entity SELECT 'User', 'u' || n, '{}', 1, NULL FROM generate_series(1, 20000) n;
         INSERT INTO magistrate.entity_parent SELECT 'User', 'u' || n, 'Team', 't', 1, NULL FROM generate_series(1, 20000) n;
         INSERT INTO magistrate.role_assignment SELECT 'g' || n, 'User', 'u' || n, 'Role', 'r', NULL, NULL, NULL, NULL,
            'r', 1, NULL FROM generate_series(1, 20000) n;
         ALTER TABLE magistrate.change_log DISABLE TRIGGER USER;
         INSERT INTO magistrate.change_log SELECT n, 0, 'k', 'k', NULL, NULL, 'a', 'r', 0 FROM generate_series(1, 20000) n;
         ANALYZE;",
    );
    for (name, values) in [
        ("ENTITIES_LISTED", "'{User}', '{u7}', NULL, NULL, NULL, NULL, NULL, NULL, NULL"),
        ("GRANTS_LISTED", "'{g7}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL"),
        ("LOG", "500, 600"),
        ("SINCE", "19900, 10"),
    ] {
        let sql = policy::statements::ALL.iter().find(|(known, _)| *known == name).unwrap().1;
        for plan in plans(&fresh, sql, values) {
            let large = ["entity e", "entity_parent", "role_assignment", "change_log"];
            assert!(!large.iter().any(|table| plan.contains(&format!("Seq Scan on {table}"))), "{name}:\n{plan}");
        }
    }
}
