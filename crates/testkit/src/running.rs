//! A decision point that runs in memory.

use std::sync::Arc;

use magistrate_ledger::{Room, StreamId, Writer};
use magistrate_model::{Dataset, Instant};
use magistrate_pdp::{Follower, Pdp, Settings};

use crate::memory::{MemorySink, MemoryStore, nonce};

/// A decision point over memory. The follower polls when told to.
#[derive(Debug)]
pub struct Running {
    /// The decision point.
    pub pdp: Arc<Pdp>,
    /// The follower.
    pub follower: Follower<MemoryStore>,
    /// What it follows.
    pub store: MemoryStore,
    /// What is recorded.
    pub sink: MemorySink,
    /// The room of its journal.
    pub room: Arc<Room>,
}

impl Running {
    /// Starts a decision point over a dataset that holds a policy set; the first poll is made.
    pub async fn start(dataset: Dataset, settings: Settings, now: Instant) -> Self {
        let store = MemoryStore::of(dataset);
        let sink = MemorySink::default();
        let room = Room::unlimited();
        let writer = Writer::new(sink.clone(), Arc::clone(&room), StreamId::new(nonce()), nonce);
        let (pdp, mut follower, _comparer) = Pdp::new(store.clone(), settings, Arc::new(writer));
        follower.poll(&now).await.unwrap();
        Self { pdp: Arc::new(pdp), follower, store, sink, room }
    }
}
