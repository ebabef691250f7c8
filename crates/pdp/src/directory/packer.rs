//! Packs beside whoever reads: one thread takes rows out of a store, another looks their uids up and packs them.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};

use magistrate_model::{EntityData, GrantRef};

use super::base::{Base, Builder};
use super::batch::Batch;

/// Pieces of a batch: enough that handing it over costs nothing, and few enough that it stays in the processor's cache.
/// Tests have several of few pieces.
const BATCH: usize = if cfg!(test) { 8 } else { 256 };

/// Batches that may wait for the thread that packs; whoever reads waits from then on.
const WAITING: usize = 4;

/// Takes entities and grants one by one. A thread begins with the second batch: what fits into one is packed at once.
#[derive(Debug, Default)]
pub(super) struct Packer {
    batch: Batch,
    beside: Beside,
}

#[derive(Debug, Default)]
enum Beside {
    #[default]
    Nobody,
    /// No thread could be had, so whoever reads packs.
    Here(Box<Builder>),
    Thread(SyncSender<Batch>, JoinHandle<Builder>),
}

impl Packer {
    pub(super) fn entity(&mut self, entity: EntityData) {
        self.batch.entity(entity);
        self.pass_on();
    }

    pub(super) fn grant(&mut self, grant: &GrantRef<'_>) {
        self.batch.grant(grant);
        self.pass_on();
    }

    fn pass_on(&mut self) {
        if self.batch.is_full(BATCH) {
            let full = std::mem::take(&mut self.batch);
            self.beside.take(full);
        }
    }

    /// What was taken, packed; `None` where that was more than can be numbered.
    ///
    /// # Panics
    ///
    /// Where the thread that packed has: there is no answer without what it had.
    pub(super) fn finish(self) -> Option<Base> {
        let mut builder = match self.beside {
            Beside::Nobody => Builder::default(),
            Beside::Here(builder) => *builder,
            Beside::Thread(batches, thread) => {
                drop(batches);
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            }
        };
        builder.take(&self.batch);
        builder.is_whole().then(|| builder.finish())
    }
}

impl Beside {
    fn take(&mut self, batch: Batch) {
        if let Self::Nobody = self {
            *self = Self::start();
        }
        match self {
            Self::Nobody => {}
            Self::Here(builder) => builder.take(&batch),
            // A thread that is gone has panicked, which is found when it is joined.
            Self::Thread(batches, _) => drop(batches.send(batch)),
        }
    }

    fn start() -> Self {
        let (batches, coming) = sync_channel(WAITING);
        match thread::Builder::new().name("directory".into()).spawn(move || pack(&coming)) {
            Ok(thread) => Self::Thread(batches, thread),
            Err(_) => Self::Here(Box::default()),
        }
    }
}

fn pack(coming: &Receiver<Batch>) -> Builder {
    let mut builder = Builder::default();
    coming.iter().for_each(|batch| builder.take(&batch));
    builder
}
