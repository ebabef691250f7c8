//! The journal's two threads: one makes room, one syncs.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use magistrate_model::Instant;

use crate::format::SegmentId;
use crate::segment::Segment;
use crate::shared::{Shared, tell};

/// How often it is looked whether files are where they were, and whether room can be made after all.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Empty segments that are kept ready.
const SPARES: usize = 1;

/// Both threads. Dropping it ends them, after everything appended was synced.
#[derive(Debug)]
pub(crate) struct Threads {
    shared: Arc<Shared>,
    running: Vec<JoinHandle<()>>,
}

impl Threads {
    pub(crate) fn start(shared: &Arc<Shared>, now: fn() -> Instant) -> io::Result<Self> {
        let mut threads = Self { shared: Arc::clone(shared), running: Vec::new() };
        let (space, sync) = (Arc::clone(shared), Arc::clone(shared));
        threads.spawn("journal-space", move || make_room(&space, now))?;
        threads.spawn("journal-sync", move || sync_all(&sync))?;
        Ok(threads)
    }

    fn spawn(&mut self, name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
        self.running.push(std::thread::Builder::new().name(name.to_owned()).spawn(run)?);
        Ok(())
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.shared.space().stopping = true;
        self.shared.space_changed().notify_all();
        self.shared.syncing().stopping = true;
        self.shared.sync_wanted().notify_all();
        for thread in self.running.drain(..) {
            let _panicked = thread.join();
        }
    }
}

/// Keeps an empty segment ready, and watches that no file is taken away.
fn make_room(shared: &Shared, now: fn() -> Instant) {
    let mut space = shared.space();
    while !space.stopping {
        if let Some(moved) = space.used.values().chain(&space.spare).find(|segment| !segment.is_in_place()) {
            let why =
                format!("`{}` was removed or replaced while in use; put it back, and restart", moved.path.display());
            if shared.room.closed().is_none() {
                drop(space);
                shared.refuse(&why);
                space = shared.space();
                continue;
            }
        }
        if space.spare.len() < SPARES && shared.room.closed().is_none() {
            let made = if space.bytes + shared.segment_bytes > shared.max_bytes {
                Err(too_much(space.bytes, shared.max_bytes))
            } else {
                let id = SegmentId { stream: shared.stream, number: space.next };
                drop(space);
                let made = Segment::create(&shared.dir, id, shared.segment_bytes, now());
                space = shared.space();
                made.map_err(|error| cannot_make(shared, &error))
            };
            match made {
                Ok(segment) => {
                    space.next += 1;
                    space.bytes += segment.size;
                    space.spare.push_back(Arc::new(segment));
                    shared.room.tell(None);
                    shared.room.add(i64::try_from(shared.capacity()).unwrap_or(i64::MAX));
                    continue;
                }
                Err(why) => shared.room.tell(Some(why)),
            }
        }
        space = match shared.space_changed().wait_timeout(space, LOOK_EVERY) {
            Ok((space, _)) => space,
            Err(poisoned) => poisoned.into_inner().0,
        };
    }
}

fn too_much(bytes: u64, most: u64) -> String {
    format!(
        "the journal holds {bytes} bytes that are not in the store yet, and may hold {most}; see why they are not shipped, \
         or raise `ledger.journal_bytes`"
    )
}

fn cannot_make(shared: &Shared, error: &io::Error) -> String {
    let (bytes, dir) = (shared.segment_bytes, shared.dir.display());
    format!(
        "cannot make a segment of {bytes} bytes in `{dir}`: {error}; free space there, and see that it can be written to"
    )
}

/// Syncs as soon as the sync before has ended, whatever was appended meanwhile: batches form by themselves.
fn sync_all(shared: &Shared) {
    loop {
        let synced = {
            let mut syncing = shared.syncing();
            while syncing.wanted <= syncing.synced && !syncing.stopping {
                syncing = match shared.sync_wanted().wait(syncing) {
                    Ok(syncing) => syncing,
                    Err(poisoned) => poisoned.into_inner(),
                };
            }
            if syncing.stopping && shared.end() <= syncing.synced {
                return;
            }
            syncing.synced
        };
        let end = shared.end();
        if let Err(error) = sync_between(shared, synced.number, end.number) {
            // What the kernel could not write it may forget: a second sync that succeeds proves nothing.
            shared.fail(&format!(
                "the journal could not be brought to the disk: {error}; look at the disk and the kernel log"
            ));
            return;
        }
        let mut syncing = shared.syncing();
        syncing.synced = end;
        let (done, waiting) = std::mem::take(&mut syncing.waiters).into_iter().partition(|(wanted, _)| *wanted <= end);
        syncing.waiters = waiting;
        drop(syncing);
        tell(done, &Ok(()));
    }
}

/// Segments that are released are in a store, and need no disk.
fn sync_between(shared: &Shared, first: u32, last: u32) -> io::Result<()> {
    (first..=last).filter_map(|number| shared.segment(number)).try_for_each(|segment| segment.sync())
}
