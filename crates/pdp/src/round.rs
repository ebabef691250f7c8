//! Decisions that are made at the same time, appended together.
//!
//! An append is a system call under a lock. A thread that serves has several calls at hand at once, more the more it has to do:
//! each leaves its record in a round and gives way, once; whichever is polled next appends the whole round. Nobody waits for a
//! clock, and a call that is alone is appended as soon as the thread has looked for others.

use std::cell::RefCell;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::FutureExt as _;
use futures_util::future::Shared;
use magistrate_ledger::{Appended, Draft, NotRecorded, Receipt, Writer};
use magistrate_model::DurabilityClass;

use crate::error::CheckError;

/// Records of a round at most: what is appended at once is held by one lock.
const MOST: usize = 256;

/// Receipts of a round whose records are not durable yet, for all who wait.
pub(crate) type Receipts = Shared<Pin<Box<dyn Future<Output = Result<Arc<[Receipt]>, NotRecorded>> + Send>>>;

thread_local! {
    /// The round that calls of this thread may still join.
    static OPEN: RefCell<Option<Arc<Round>>> = const { RefCell::new(None) };
}

/// Records that are appended together: of one writer and one class, so that none waits for what another one needs.
#[derive(Debug)]
struct Round {
    writer: Arc<Writer>,
    class: DurabilityClass,
    state: Mutex<State>,
}

#[derive(Debug)]
enum State {
    /// Each in the place of its member; none where nobody waits for it any more.
    Open(Vec<Option<Draft>>),
    /// What became of each, until its member has asked.
    Settled(Vec<Option<Result<Settled, CheckError>>>),
}

/// What became of one record.
#[derive(Debug)]
pub(crate) enum Settled {
    /// It is durable.
    Durable(Receipt),
    /// It has its place, and will be durable: its receipt is the one at this position.
    Pending(Receipts, usize),
}

/// A record in a round. Dropped before the round is appended, its record is not.
#[derive(Debug)]
pub(crate) struct Member {
    round: Arc<Round>,
    place: usize,
}

/// Puts a record into the round that is open on this thread, or begins one.
pub(crate) fn join(writer: &Arc<Writer>, draft: Draft) -> Member {
    OPEN.with_borrow_mut(|open| {
        let class = draft.class();
        let suits = |round: &&Arc<Round>| Arc::ptr_eq(&round.writer, writer) && round.class == class;
        let draft = match open.as_ref().filter(suits) {
            Some(round) => match round.add(draft) {
                Ok(place) => return Member { round: Arc::clone(round), place },
                Err(draft) => draft,
            },
            None => draft,
        };
        let state = Mutex::new(State::Open(vec![Some(draft)]));
        let round = Arc::new(Round { writer: Arc::clone(writer), class, state });
        *open = Some(Arc::clone(&round));
        Member { round, place: 0 }
    })
}

impl Round {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The place of a record in it; the record again, if it takes no more.
    fn add(&self, draft: Draft) -> Result<usize, Draft> {
        match &mut *self.state() {
            State::Open(drafts) if drafts.len() < MOST => {
                drafts.push(Some(draft));
                Ok(drafts.len() - 1)
            }
            State::Open(_) | State::Settled(_) => Err(draft),
        }
    }
}

impl Member {
    /// What became of its record. The first of a round to ask has the round appended.
    pub(crate) fn settle(
        self,
        append: impl Fn(&[Draft]) -> Result<Appended, CheckError>,
    ) -> Result<Settled, CheckError> {
        let mut state = self.round.state();
        if let State::Open(drafts) = &mut *state {
            let drafts = std::mem::take(drafts);
            // Nobody joins it any more, whatever becomes of the append: should it panic, no member has a receipt.
            *state = State::Settled(Vec::new());
            let places: Vec<bool> = drafts.iter().map(Option::is_some).collect();
            let drafts: Vec<Draft> = drafts.into_iter().flatten().collect();
            let mut settled = settle(&drafts, &append).into_iter();
            *state = State::Settled(places.into_iter().map(|is_there| is_there.then(|| settled.next())?).collect());
        }
        let own = match &mut *state {
            State::Settled(settled) => settled.get_mut(self.place).and_then(Option::take),
            State::Open(_) => None,
        };
        own.unwrap_or_else(|| Err(CheckError::NotRecorded("the recorder returned no receipt".to_owned())))
    }
}

/// Appends records at once. Where that fails, each is tried on its own: one that is too large for what room is left must not
/// take the others with it.
fn settle(
    drafts: &[Draft],
    append: &impl Fn(&[Draft]) -> Result<Appended, CheckError>,
) -> Vec<Result<Settled, CheckError>> {
    match (append(drafts), drafts) {
        (Ok(Appended::Durable(receipts)), _) => receipts.into_iter().map(|it| Ok(Settled::Durable(it))).collect(),
        (Ok(Appended::Pending(pending)), _) => {
            let receipts = async { pending.receipts().await.map(Arc::from) };
            let receipts: Receipts = receipts.boxed().shared();
            (0..drafts.len()).map(|position| Ok(Settled::Pending(receipts.clone(), position))).collect()
        }
        (Err(refused), [_]) => vec![Err(refused)],
        (Err(_), several) => several.chunks(1).flat_map(|one| settle(one, append)).collect(),
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if let State::Open(drafts) = &mut *self.round.state()
            && let Some(draft) = drafts.get_mut(self.place)
        {
            *draft = None;
        }
    }
}
