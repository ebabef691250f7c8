//! The conformance suite over this store.

use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, any, proptest};

use super::store_suite::{StoreUnderTest, past};
use super::{Fresh, SqliteSink, SqliteStore};

impl StoreUnderTest for Fresh {
    type Store = SqliteStore;
    type Sink = SqliteSink;

    async fn fresh() -> Self {
        Self::new().await
    }

    fn store(&self) -> &SqliteStore {
        &self.store
    }

    async fn sink(&self) -> SqliteSink {
        self.store.sink().await.unwrap()
    }
}

magistrate_testkit::store_suite!(Fresh);

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn every_past_state_can_be_read_again(history in vec(vec(any::<u32>(), 1..8), 1..10)) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(past::every_past_state_can_be_read_again::<Fresh>(&history));
    }
}
