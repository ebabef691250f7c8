//! What history is verified by, read page by page.

use magistrate_ledger::verify::{Asked, HeaderChain, StreamVerifier, Trusted};
use magistrate_ledger::{NoteSigner, Opening, SealedHeader, Sealer, Sink};
use magistrate_model::{Instant, Span};
use magistrate_pdp::Evidence;
use magistrate_pdp::history::each_header;

use super::StoreUnderTest;
use super::sample::{Decided, sealed, stream};
use crate::instant;

fn noon() -> Instant {
    instant("2026-06-01T12:00:00Z")
}

/// Headers are read in order, none twice and none left out, in pages of any size; and what is found with so many at hand is
/// what is found with all.
pub async fn headers_are_read_page_by_page<S: StoreUnderTest>() {
    let subject = S::fresh().await;
    let records = sealed(stream(1), &(0..7).map(|n| Decided::at(noon().plus(Span::seconds(n)))).collect::<Vec<_>>());
    let signer = NoteSigner::new("node-1", &[1; 32]);
    let opening = Opening { node: "node-1".to_owned(), key: signer.verifier().key(), left: Vec::new() };
    let (mut sealer, first) = Sealer::begin(stream(1), signer, opening, noon());
    let mut headers = vec![first];
    for record in &records {
        sealer.take(record, noon());
        headers.extend(sealer.seal_now(noon()));
    }
    let mut sink = subject.sink().await;
    sink.commit(&records).await.unwrap();
    sink.seal(&headers, None).await.unwrap();
    let store = subject.store();
    let number = |it: &SealedHeader| i64::try_from(it.header.number).unwrap();
    for after in 0..=9 {
        for limit in 1..=9 {
            let page = store.headers(stream(1), after, limit).await.unwrap();
            let behind = headers.iter().filter(|it| it.header.number > after).take(limit as usize);
            assert_eq!(page.iter().map(|it| it.number).collect::<Vec<_>>(), behind.map(number).collect::<Vec<_>>());
        }
    }
    assert!(store.headers(stream(1), u64::MAX, 9).await.unwrap().is_empty());
    assert!(store.headers(stream(2), 0, 9).await.unwrap().is_empty());
    let rows = store.records(stream(1), 0, 9).await.unwrap();
    let verify = async |page: u32| {
        let mut chain = HeaderChain::new(stream(1), &Trusted::default(), Asked::default());
        each_header(store, stream(1), 0, page, |rows| {
            chain.take(rows);
            Ok::<_, magistrate_pdp::HistoryError>(true)
        })
        .await
        .unwrap();
        let mut verifier = StreamVerifier::new(chain);
        for row in rows.iter().filter(|row| row.seq() != 4) {
            magistrate_pdp::history::give_headers(store, &mut verifier, row.seq(), page).await.unwrap();
            verifier.record(row);
        }
        magistrate_pdp::history::give_headers(store, &mut verifier, u64::MAX, page).await.unwrap();
        verifier.finish(7, noon())
    };
    let all = verify(100).await;
    assert_eq!((all.headers, all.records), (8, 6));
    assert!(all.findings.iter().any(|it| it.at.ends_with("-4") && it.kind.is_failure()), "{:?}", all.findings);
    for page in 1..=8 {
        assert_eq!(verify(page).await, all, "in pages of {page}");
    }
}
