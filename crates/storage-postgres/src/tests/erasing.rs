//! Private values: a day that is taken out takes its own with it, and what belongs to no record is found.

use magistrate_ledger::Sink;
use magistrate_pdp::history::stray_openings;
use magistrate_testkit::instant;
use magistrate_testkit::store_suite::sample::{Decided, sealed, stream};

use super::fresh::Fresh;

async fn filled() -> Fresh {
    let fresh = Fresh::new().await;
    let day = |at| Decided { email: Some("hidden"), private: &["context.email"], ..Decided::at(instant(at)) };
    let records = sealed(stream(1), &[day("2026-06-01T12:00:00Z"), day("2026-06-02T12:00:00Z")]);
    fresh.store.sink().await.unwrap().commit(&records).await.unwrap();
    fresh
}

#[tokio::test]
async fn values_go_with_their_day() {
    let fresh = filled().await;
    assert_eq!(fresh.created.sql("SELECT count(*) FROM audit.opening"), "2");
    fresh.created.sql(
        "SELECT audit.record_act(decode(repeat('01', 16), 'hex'), 'retention', sha256(''), '');
         INSERT INTO audit.expiry (day, act, records) VALUES ('2026-06-01', decode(repeat('01', 16), 'hex'), 1);
         DROP TABLE audit.decision_20260601",
    );
    assert_eq!(fresh.created.sql("SELECT day FROM audit.opening"), "2026-06-02");
    assert_eq!(stray_openings(&fresh.store, 9, 1).await.unwrap(), []);
}

#[tokio::test]
async fn values_of_no_record_are_found() {
    let fresh = filled().await;
    fresh.created.sql("INSERT INTO audit.opening SELECT day + 1, stream, seq, body FROM audit.opening WHERE seq = 1");
    let stray = stray_openings(&fresh.store, 9, 1).await.unwrap();
    assert_eq!(stray.iter().map(|id| (id.stream, id.seq)).collect::<Vec<_>>(), [(stream(1), 1)]);
}

/// A node that was not upgraded yet ships as before.
#[tokio::test]
async fn records_are_shipped_without_naming_private_values() {
    let fresh = Fresh::new().await;
    let shipped = fresh.created.sql(
        "SELECT audit.ship(decode(repeat('03', 16), 'hex'), ARRAY[1::bigint], ARRAY[sha256('')],
            ARRAY[(extract(epoch FROM now()) * 1000000)::bigint], ARRAY['database'], ARRAY['p'], ARRAY['a'], ARRAY['r'],
            ARRAY['allow'], ARRAY['permitted'], ARRAY[NULL::text], ARRAY[''::bytea])",
    );
    assert_eq!(shipped, "1");
}
