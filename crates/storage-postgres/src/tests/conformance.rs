//! The conformance suite over this store.

use magistrate_testkit::store_suite::{StoreUnderTest, past};
use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, any, proptest};

use super::fresh::Fresh;
use crate::{PostgresSink, PostgresStore};

impl StoreUnderTest for Fresh {
    type Store = PostgresStore;
    type Sink = PostgresSink;

    async fn fresh() -> Self {
        Self::new().await
    }

    fn store(&self) -> &PostgresStore {
        &self.store
    }

    async fn sink(&self) -> PostgresSink {
        self.store.sink().await.unwrap()
    }
}

magistrate_testkit::store_suite!(Fresh);

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_past_state_can_be_read_again(history in vec(vec(any::<u32>(), 1..8), 1..8)) {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(past::every_past_state_can_be_read_again::<Fresh>(&history));
    }
}
