//! Bodies that are coded: had again as they were, and told when what they were coded by was altered.

use magistrate_ledger::{SealedRecord, Sink, StoredDecision};
use magistrate_model::{Cause, Instant, Span};
use magistrate_pdp::history::{DecisionHistory as _, Evidence as _};
use magistrate_testkit::store_suite::sample::{Decided, sealed, stream};

use super::fresh::Fresh;
use super::setup::hex;

/// Records of a day that ended, enough of them to make a dictionary.
fn records(count: i64) -> Vec<SealedRecord> {
    sealed(stream(1), &(0..count).map(|n| decided(noon(), n)).collect::<Vec<_>>())
}

fn decided(start: Instant, n: i64) -> Decided {
    let (principal, cause) = if n % 3 == 0 { ("User::bob", Cause::NoPermit) } else { ("User::ana", Cause::Permitted) };
    Decided { principal, cause, ..Decided::at(start.plus(Span::millis(n))) }
}

fn noon() -> Instant {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap().as_micros();
    let day = Instant::from_micros(i64::try_from(since).unwrap()).unwrap().day() - 3;
    Instant::from_micros((day * 24 + 12) * 3_600_000_000).unwrap()
}

async fn stored(fresh: &Fresh) -> Vec<StoredDecision> {
    fresh.store.records(stream(1), 0, 10_000).await.unwrap()
}

fn said(stored: &[StoredDecision]) -> Vec<String> {
    stored.iter().filter_map(|row| row.decode().err()).map(|damaged| damaged.to_string()).collect()
}

#[tokio::test]
async fn records_are_coded_and_had_again() {
    let fresh = Fresh::new().await;
    let mut sink = fresh.store.sink().await.unwrap();
    let records = records(600);
    for batch in records.chunks(100) {
        sink.commit(batch).await.unwrap();
    }
    let coded = "SELECT count(*) FILTER (WHERE dictionary = 0), count(DISTINCT dictionary) FROM audit.decision";
    // Until there were enough of them to learn from, they are as they were.
    assert_eq!(fresh.created.sql(coded), "200|2");
    let stored = stored(&fresh).await;
    let bytes = |record: &SealedRecord| record.bytes.clone();
    assert_eq!(
        stored.iter().map(|row| row.body.clone()).collect::<Vec<_>>(),
        records.iter().map(bytes).collect::<Vec<_>>()
    );
    assert_eq!(said(&stored), [""; 0]);
    let shorter = "SELECT avg(octet_length(body)) FILTER (WHERE dictionary = 0) >
        2 * avg(octet_length(body)) FILTER (WHERE dictionary > 0) FROM audit.decision";
    assert_eq!(fresh.created.sql(shorter), "t");
    // Those who ask in SQL have them as well.
    let readable = fresh.created.sql("SELECT body FROM audit.decision_readable ORDER BY seq");
    let hex = |record: &SealedRecord| hex(&record.bytes);
    assert_eq!(readable.lines().collect::<Vec<_>>(), records.iter().map(hex).collect::<Vec<_>>());
    let found = fresh.store.find(records[500].id).await.unwrap().unwrap();
    assert_eq!(found.leaf, records[500].leaf);
}

/// However it was coded, what is there is compared with what comes.
#[tokio::test]
async fn coded_records_are_shipped_again() {
    let fresh = Fresh::new().await;
    let records = records(800);
    let mut sink = fresh.store.sink().await.unwrap();
    sink.commit(&records).await.unwrap();
    // By the same dictionary, plain, and by another one.
    sink.commit(&records).await.unwrap();
    fresh.store.sink().await.unwrap().commit(&records[..100]).await.unwrap();
    fresh.store.sink().await.unwrap().commit(&records[100..]).await.unwrap();
    assert_eq!(fresh.created.sql("SELECT count(*), count(DISTINCT dictionary) FROM audit.decision"), "800|1");
    let mut other = records.clone();
    other[700].bytes[200] ^= 1;
    let refused = fresh.store.sink().await.unwrap().commit(&other).await.unwrap_err();
    assert!(refused.conflict && refused.why.contains("place 701"), "{}", refused.why);
}

#[tokio::test]
async fn altered_dictionaries_are_told() {
    let alter = "SET session_replication_role = replica; ALTER TABLE audit.dictionary DISABLE TRIGGER ALL;";
    for altered in [
        "UPDATE audit.dictionary SET body = substr(body, 2)",
        "UPDATE audit.dictionary SET body = set_byte(body, 5, get_byte(body, 5) # 1)",
        "DELETE FROM audit.dictionary",
        "ALTER TABLE {part} DISABLE TRIGGER ALL; UPDATE audit.decision SET dictionary = 999",
        "ALTER TABLE {part} DISABLE TRIGGER ALL; UPDATE audit.decision SET dictionary = 0",
    ] {
        let fresh = Fresh::new().await;
        fresh.store.sink().await.unwrap().commit(&records(300)).await.unwrap();
        assert_eq!(said(&stored(&fresh).await), [""; 0]);
        let part = fresh.created.sql("SELECT DISTINCT tableoid::regclass FROM audit.decision");
        let parent = "ALTER TABLE audit.decision DISABLE TRIGGER ALL;";
        fresh.created.sql(&format!("{alter} {parent} {}", altered.replace("{part}", &part)));
        let said = said(&stored(&fresh).await);
        assert_eq!(said.len(), 300, "{altered}: {said:?}");
        assert!(said[0].contains(&format!("{}-1 is damaged", stream(1))), "{altered}: {}", said[0]);
    }
}

/// A store that was put back may hold another dictionary by the same id.
#[tokio::test]
async fn records_are_not_coded_by_what_is_there_no_more() {
    let fresh = Fresh::new().await;
    let records = records(900);
    let mut sink = fresh.store.sink().await.unwrap();
    sink.commit(&records[..300]).await.unwrap();
    fresh.created.sql(
        "ALTER TABLE audit.dictionary DISABLE TRIGGER ALL; UPDATE audit.dictionary SET body = body || '\\x00';
         ALTER TABLE audit.dictionary ENABLE ALWAYS TRIGGER refuse_change",
    );
    let refused = sink.commit(&records[300..600]).await.unwrap_err();
    assert!(!refused.conflict, "{}", refused.why);
    assert_eq!(fresh.stored(stream(1)).len(), 300);
    // It learns anew.
    sink.commit(&records[300..600]).await.unwrap();
    sink.commit(&records[600..]).await.unwrap();
    assert_eq!(fresh.created.sql("SELECT count(*) FROM audit.dictionary"), "2");
    assert_eq!(said(&stored(&fresh).await[300..]), [""; 0]);
}

/// What tells of records goes with them, and is of no other day.
#[tokio::test]
async fn dictionaries_go_with_their_day() {
    let fresh = Fresh::new().await;
    let midnight = noon().plus(Span::hours(12));
    let decided: Vec<Decided> = (-400..400).map(|n| decided(midnight, n)).collect();
    fresh.store.sink().await.unwrap().commit(&sealed(stream(1), &decided)).await.unwrap();
    let days = "SELECT count(*), count(DISTINCT r.day), bool_and(r.day = d.day) FROM audit.dictionary d
        JOIN (SELECT DISTINCT day, dictionary FROM audit.decision) r ON r.dictionary = d.id";
    assert_eq!(fresh.created.sql(days), "2|2|t");
    assert_eq!(said(&stored(&fresh).await), [""; 0]);
    let part = fresh.created.sql("SELECT tableoid::regclass FROM audit.decision WHERE seq = 1");
    fresh.created.sql(&format!(
        "BEGIN; SELECT audit.record_act(decode(repeat('01', 16), 'hex'), 'retention', sha256(''), '');
         INSERT INTO audit.expiry (day, act, records) SELECT day, decode(repeat('01', 16), 'hex'), 400 FROM audit.decision
         WHERE seq = 1; DROP TABLE {part}; COMMIT"
    ));
    assert_eq!(fresh.created.sql("SELECT count(*) FROM audit.dictionary"), "1");
    assert_eq!(said(&stored(&fresh).await), [""; 0]);
}

/// Records that become others are coded by another dictionary.
#[tokio::test]
async fn another_dictionary_is_made_when_records_change() {
    let fresh = Fresh::new().await;
    let of = |n: i64| match n < 20_000 {
        true => decided(noon(), n),
        false => Decided {
            action: "changeEverythingThatThereIs",
            resource: "Document::another-kind-of-resource-with-a-long-name",
            policies: &["another.policy.of.another.set", "and.one.more.of.the.same"],
            ..decided(noon(), n)
        },
    };
    let records = sealed(stream(1), &(0..40_000).map(of).collect::<Vec<_>>());
    let mut sink = fresh.store.sink().await.unwrap();
    for batch in records.chunks(2_000) {
        sink.commit(batch).await.unwrap();
    }
    let used = "SELECT count(DISTINCT dictionary) FROM audit.decision";
    assert_eq!(fresh.created.sql(used), "2");
    assert_eq!(said(&fresh.store.records(stream(1), 38_000, 10_000).await.unwrap()), [""; 0]);
}

/// Columns hold letters that the schema knows by the same names.
#[tokio::test]
async fn letters_stand_for_names() {
    let fresh = Fresh::new().await;
    let all: Vec<Decided> = Cause::ALL.iter().map(|cause| Decided { cause: *cause, ..Decided::at(noon()) }).collect();
    fresh.store.sink().await.unwrap().commit(&sealed(stream(1), &all)).await.unwrap();
    let readable = fresh.created.sql("SELECT class, decision, cause FROM audit.decision_readable ORDER BY seq");
    let names = Cause::ALL.map(|cause| format!("process|{}|{}", cause.decision().name(), cause.name()));
    assert_eq!(readable.lines().collect::<Vec<_>>(), names);
    let again = "SELECT bool_and(d.class = audit.class_letter(r.class) AND d.decision = audit.decision_letter(r.decision)
            AND d.cause = audit.cause_letter(r.cause)) FROM audit.decision d JOIN audit.decision_readable r USING (seq)";
    assert_eq!(fresh.created.sql(again), "t");
    assert_eq!(said(&stored(&fresh).await), [""; 0]);
}

/// A dictionary goes with its day and no sooner, whoever asks: not by an expiry of another day, nor by one of its own while the
/// records are there.
#[tokio::test]
async fn dictionaries_go_with_their_day_alone() {
    let fresh = Fresh::new().await;
    fresh.store.sink().await.unwrap().commit(&records(300)).await.unwrap();
    let day = fresh.created.sql("SELECT DISTINCT day FROM audit.decision");
    let expiry = |day: &str, then: &str| {
        format!(
            "BEGIN; SELECT audit.record_act(decode(repeat('01', 16), 'hex'), 'retention', sha256(''), '');
             INSERT INTO audit.expiry (day, act, records) VALUES ('{day}', decode(repeat('01', 16), 'hex'), 0); {then} COMMIT"
        )
    };
    for attempt in [
        "DELETE FROM audit.dictionary".to_owned(),
        expiry("2020-01-01", "DELETE FROM audit.dictionary;"),
        expiry(&day, ""),
        expiry(&day, "DELETE FROM audit.dictionary;"),
    ] {
        let refused = fresh.created.try_sql(&attempt);
        assert!(refused.as_ref().is_err_and(|why| why.contains("is refused")), "{attempt}: {refused:?}");
        assert_eq!(fresh.created.sql("SELECT count(*) FROM audit.dictionary"), "1");
    }
    assert_eq!(said(&stored(&fresh).await), [""; 0]);
}

/// Of a day that was taken out nothing is kept again, and what still comes of it is shipped as it is.
#[tokio::test]
async fn days_that_were_taken_out_get_no_dictionary() {
    let fresh = Fresh::new().await;
    let records = records(600);
    let day = records[0].recorded_at.to_string();
    fresh.created.sql(&format!(
        "SET session_replication_role = replica; ALTER TABLE audit.expiry DISABLE TRIGGER ALL;
         INSERT INTO audit.expiry (day, act, records) VALUES ('{}', substr(sha256('x'), 1, 16), 0)",
        day.get(..10).unwrap()
    ));
    let mut sink = fresh.store.sink().await.unwrap();
    for batch in records.chunks(300) {
        sink.commit(batch).await.unwrap();
    }
    assert_eq!(fresh.created.sql("SELECT count(*) FROM audit.dictionary"), "0");
    assert_eq!(fresh.created.sql("SELECT count(*), max(dictionary) FROM audit.decision"), "600|0");
    assert_eq!(said(&stored(&fresh).await), [""; 0]);
}
