//! Room in a journal, taken before a decision is made.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// How much a journal can still take, and whether it takes anything. Shared by whoever appends, whoever makes room, and
/// whoever asks before deciding.
#[derive(Debug, Default)]
pub struct Room {
    /// Bytes that are free and not promised to anybody.
    free: AtomicI64,
    closed: AtomicBool,
    why: Mutex<Option<String>>,
}

/// Bytes of a journal that are promised; given back when dropped.
#[derive(Debug)]
pub struct Promise {
    room: Arc<Room>,
    bytes: i64,
}

impl Room {
    /// Room without a limit, for a journal that has none.
    pub fn unlimited() -> Arc<Self> {
        Arc::new(Self { free: AtomicI64::new(i64::MAX / 2), ..Self::default() })
    }

    /// Promises so many bytes, or says why there is no room.
    pub fn promise(self: &Arc<Self>, bytes: u32) -> Result<Promise, String> {
        if self.closed.load(Ordering::Acquire) {
            return Err(self.why().unwrap_or_else(|| "the journal is closed".to_owned()));
        }
        let bytes = i64::from(bytes);
        let promise = Promise { room: Arc::clone(self), bytes };
        match self.free.fetch_sub(bytes, Ordering::AcqRel) >= bytes {
            true => Ok(promise),
            false => Err(self.why().unwrap_or_else(|| "the journal has no room".to_owned())),
        }
    }

    /// Says that there are so many bytes more, or fewer.
    pub fn add(&self, bytes: i64) {
        self.free.fetch_add(bytes, Ordering::AcqRel);
    }

    /// Bytes that are free and not promised.
    pub fn free(&self) -> i64 {
        self.free.load(Ordering::Acquire)
    }

    /// Says what is wrong with the journal, or that nothing is; it takes records as long as there is room.
    pub fn tell(&self, why: Option<String>) {
        if !self.closed.load(Ordering::Acquire) {
            *self.lock() = why;
        }
    }

    /// Takes nothing from now on. The first reason stands.
    pub fn close(&self, why: String) {
        let mut said = self.lock();
        if !self.closed.swap(true, Ordering::AcqRel) {
            *said = Some(why);
        }
    }

    /// Why nothing is taken any more.
    pub fn closed(&self) -> Option<String> {
        self.closed.load(Ordering::Acquire).then(|| self.why().unwrap_or_default())
    }

    /// What is wrong with the journal, if anything is.
    pub fn why(&self) -> Option<String> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.why.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Promise {
    fn drop(&mut self) {
        self.room.add(self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_promised_is_not_promised_again() {
        let room = Arc::new(Room::default());
        room.add(10);
        let held = room.promise(6).unwrap();
        assert!(room.promise(6).is_err());
        assert_eq!(room.free(), 4, "a promise that was not given takes nothing");
        drop(held);
        assert!(room.promise(10).is_ok());
    }

    #[test]
    fn first_reason_for_closing_stands() {
        let room = Room::unlimited();
        room.tell(Some("nearly full".to_owned()));
        assert!(room.promise(1).is_ok());
        room.close("the disk failed".to_owned());
        room.close("another".to_owned());
        room.tell(None);
        assert_eq!(room.closed().as_deref(), Some("the disk failed"));
        assert_eq!(room.promise(1).unwrap_err(), "the disk failed");
    }
}
