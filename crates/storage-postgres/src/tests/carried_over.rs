//! Decisions from before bodies were coded are there after the upgrade as they were, whatever was done to them.

use magistrate_ledger::{SealedRecord, Sink};
use magistrate_model::{Cause, Span};
use magistrate_pdp::history::{DecisionHistory as _, Evidence as _};
use magistrate_testkit::instant;
use magistrate_testkit::store_suite::sample::{Decided, sealed, stream};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};

use super::setup::{Installed, hex, migrated, options};
use crate::schema::{STRICT, migrator};
use crate::{Database, Hardening, HardeningLevel, PostgresStore, Role};

/// Records of two days: each cause, with and without a request id.
fn records() -> Vec<SealedRecord> {
    let decided = |(n, cause): (usize, &Cause)| Decided {
        cause: *cause,
        request_id: (n % 2 == 0).then_some("a request"),
        ..Decided::at(instant("2026-06-01T23:59:59Z").plus(Span::millis(i64::try_from(n).unwrap() * 300)))
    };
    sealed(stream(1), &Cause::ALL.iter().enumerate().map(decided).collect::<Vec<_>>())
}

/// A database at the schema of before, with these records.
async fn before(installed: &Installed, records: &[SealedRecord], hardening: HardeningLevel) {
    let owner = installed.prefix.name_of(Role::Owner);
    installed.created.sql(&format!(
        "CREATE ROLE {owner}; CREATE SCHEMA magistrate AUTHORIZATION {owner}; CREATE SCHEMA audit AUTHORIZATION {owner}"
    ));
    let mut connection = PgConnection::connect(&installed.created.superuser_url()).await.unwrap();
    let become_owner = AssertSqlSafe(format!("SET SESSION AUTHORIZATION {owner}"));
    sqlx::raw_sql(become_owner).execute(&mut connection).await.unwrap();
    migrator().run_to(17, &mut connection).await.unwrap();
    for it in records {
        let request = it.index.request_id.as_ref().map_or("NULL::text".to_owned(), |id| format!("'{id}'"));
        installed.created.sql(&format!(
            "SELECT audit.prepare_day('{}'); SELECT audit.ship('\\x{}', ARRAY[{}::bigint], ARRAY['\\x{}'::bytea],
                ARRAY[{}::bigint], ARRAY['{}'], ARRAY['{}'], ARRAY['{}'], ARRAY['{}'], ARRAY['{}'], ARRAY['{}'],
                ARRAY[{request}], ARRAY['\\x{}'::bytea])",
            it.recorded_at.to_string().get(..10).unwrap(),
            it.id.stream,
            it.id.seq,
            it.leaf,
            it.recorded_at.micros(),
            it.class.name(),
            it.index.principal,
            it.index.action,
            it.index.resource,
            it.index.decision,
            it.index.cause,
            hex(&it.bytes),
        ));
    }
    if hardening == HardeningLevel::Strict {
        installed.created.sql(STRICT);
    }
}

async fn upgraded(records: &[SealedRecord], hardening: HardeningLevel, done: &str) -> (Installed, PostgresStore) {
    let installed = Installed::empty();
    before(&installed, records, hardening).await;
    installed.created.sql(done);
    let url = installed.created.superuser_url();
    let options = options(&installed.prefix, HardeningLevel::Standard);
    let migrated = migrated(&url, &options).await.unwrap();
    assert_eq!(migrated.steps.iter().map(|step| step.version).collect::<Vec<_>>(), [18]);
    assert_eq!(migrated.is_strict, hardening == HardeningLevel::Strict);
    let store = PostgresStore::connect(&Database::new(&url).unwrap()).await.unwrap();
    (installed, store)
}

#[tokio::test]
async fn decisions_are_carried_over_under_each_hardening() {
    for hardening in [HardeningLevel::Standard, HardeningLevel::Strict] {
        let records = records();
        let (installed, store) = upgraded(&records, hardening, "SELECT 1").await;
        let stored = store.records(stream(1), 0, 100).await.unwrap();
        let bytes: Vec<&[u8]> = stored.iter().map(|row| row.body.as_slice()).collect();
        assert_eq!(bytes, records.iter().map(|it| it.bytes.as_slice()).collect::<Vec<_>>());
        for (row, record) in stored.iter().zip(&records) {
            assert_eq!(row.decode().unwrap().leaf, record.leaf);
            assert!(store.find(record.id).await.unwrap().is_some());
        }
        // The guards are those of before, and what is shipped again is known.
        let mut app = PgConnection::connect(&installed.login(Role::App)).await.unwrap();
        assert_eq!(Hardening::of(&mut app, true).await.unwrap().level, hardening);
        for part in ["audit.decision", "audit.decision_20260601", "audit.decision_20260602"] {
            let refused = installed.created.try_sql(&format!("DELETE FROM {part}")).unwrap_err();
            assert!(refused.contains("is refused"), "{refused}");
        }
        store.sink().await.unwrap().commit(&records).await.unwrap();
        assert_eq!(installed.created.sql("SELECT count(*) FROM audit.decision"), records.len().to_string());
        let left = "SELECT count(*) FROM pg_class WHERE relname ~ 'before|moved'";
        assert_eq!(installed.created.sql(left), "0");
    }
}

/// What was altered before is found to be altered afterwards.
#[tokio::test]
async fn what_was_altered_stays_altered() {
    let (_installed, store) = upgraded(
        &records(),
        HardeningLevel::Standard,
        "ALTER TABLE audit.decision DISABLE TRIGGER ALL; ALTER TABLE audit.decision_20260601 DISABLE TRIGGER ALL;
         UPDATE audit.decision SET cause = 'mine' WHERE seq = 1; UPDATE audit.decision SET class = 'database' WHERE seq = 2;
         UPDATE audit.decision SET body = substr(body, 2) WHERE seq = 3;
         UPDATE audit.decision SET request_id = NULL WHERE seq = 3",
    )
    .await;
    let stored = store.records(stream(1), 0, 100).await.unwrap();
    let said: Vec<_> = stored.iter().filter_map(|row| row.decode().err()).map(|damaged| damaged.to_string()).collect();
    assert_eq!(said.len(), 3, "{said:?}");
    assert!(said[0].contains("-1 is damaged: the column `cause`"), "{said:?}");
    assert!(said[1].contains("-2 is damaged: the column `class`"), "{said:?}");
    assert!(said[2].contains("-3 is damaged"), "{said:?}");
}
