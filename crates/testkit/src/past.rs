//! A history of some days ago, as SQL that puts it into a store: for tests of a program whose clock tells today.

use std::fmt::Write as _;

use magistrate_ledger::{NoteSigner, Opening, SealedHeader, SealedRecord, Sealer};
use magistrate_model::{Instant, Span};

use crate::store_suite::sample::{Decided, sealed, stream};

const DAY: i64 = 86_400_000_000;

/// Ten records of one stream over a midnight, UTC, six before and four after, under headers of four, four and two, and the
/// stream's last word.
#[derive(Debug)]
pub struct Past {
    records: Vec<SealedRecord>,
    headers: Vec<SealedHeader>,
    signer: NoteSigner,
}

impl Past {
    /// The first of its two days lies so many days before today.
    pub fn of(days_ago: i64, number: u8) -> Self {
        let since = std::time::UNIX_EPOCH.elapsed().unwrap();
        let today = Instant::from_micros(i64::try_from(since.as_micros()).unwrap()).unwrap().day();
        let midnight = Instant::from_micros((today - days_ago + 1) * DAY).unwrap();
        let decided: Vec<Decided> = (0..10).map(|n| Decided::at(midnight.plus(Span::millis(n - 6)))).collect();
        let records = sealed(stream(number), &decided);
        let signer = NoteSigner::new("magistrate/past", &[number; 32]);
        let opening = Opening { node: "past".to_owned(), key: signer.verifier().key(), left: Vec::new() };
        let (mut sealer, first) = Sealer::begin(stream(number), signer.clone(), opening, midnight);
        let mut headers = vec![first];
        for record in &records {
            sealer.take(record, midnight);
            if record.id.seq % 4 == 0 {
                headers.extend(sealer.seal_now(midnight));
            }
        }
        headers.push(sealer.close(midnight));
        Self { records, headers, signer }
    }

    /// The key that its stream was opened with, to be pinned.
    pub fn key(&self) -> String {
        self.signer.verifier().to_string()
    }

    /// The ids of its records, in order.
    pub fn ids(&self) -> Vec<String> {
        self.records.iter().map(|record| record.id.to_string()).collect()
    }

    /// Its first day, `2026-01-31`.
    pub fn first_day(&self) -> String {
        self.records[0].recorded_at.to_string().chars().take(10).collect()
    }

    /// Statements for the embedded store.
    pub fn sqlite(&self) -> String {
        let mut sql = String::new();
        for it in &self.records {
            let (day, at) = (it.recorded_at.day(), it.recorded_at.micros());
            let (stream, leaf, body) = (it.id.stream, it.leaf, hex(&it.bytes));
            let (seq, class, index) = (it.id.seq, it.class.name(), &it.index);
            write!(
                sql,
                "INSERT INTO decision VALUES ({day}, x'{stream}', {seq}, x'{leaf}', {at}, '{class}', '{}', '{}', '{}', '{}',
                    '{}', NULL, x'{body}');",
                index.principal, index.action, index.resource, index.decision, index.cause
            )
            .unwrap();
        }
        for it in &self.headers {
            let (header, covers) = (&it.header, it.header.covers);
            write!(
                sql,
                "INSERT INTO header VALUES (x'{}', {}, {}, {}, x'{}', x'{}');",
                header.stream,
                header.number,
                covers.first_seq,
                covers.count,
                covers.root,
                hex(&it.bytes)
            )
            .unwrap();
        }
        sql
    }

    /// Statements for PostgreSQL, through the functions that nodes use.
    pub fn postgres(&self) -> String {
        let mut sql = String::new();
        for it in &self.records {
            let (at, class, index) = (it.recorded_at.micros(), it.class.name(), &it.index);
            let (seq, stream, leaf, body) = (it.id.seq, it.id.stream, it.leaf, hex(&it.bytes));
            write!(
                sql,
                "SELECT audit.ship('\\x{stream}', ARRAY[{seq}], ARRAY['\\x{leaf}'::bytea], ARRAY[{at}], ARRAY['{class}'],
                    ARRAY['{}'], ARRAY['{}'], ARRAY['{}'], ARRAY['{}'], ARRAY['{}'], ARRAY[NULL::text],
                    ARRAY['\\x{body}'::bytea]);",
                index.principal, index.action, index.resource, index.decision, index.cause
            )
            .unwrap();
        }
        for it in &self.headers {
            let (header, covers) = (&it.header, it.header.covers);
            write!(
                sql,
                "SELECT audit.seal('\\x{}', ARRAY[{}], ARRAY[{}], ARRAY[{}], ARRAY['\\x{}'::bytea], ARRAY['\\x{}'::bytea]);",
                header.stream,
                header.number,
                covers.first_seq,
                covers.count,
                covers.root,
                hex(&it.bytes)
            )
            .unwrap();
        }
        sql
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}
