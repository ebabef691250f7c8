//! What one caller at a time may do, and for so long.

use std::time::Duration;

use magistrate_pdp::CheckError;
use tokio::sync::{Mutex, MutexGuard};

/// When whoever is not the one may try again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What another caller does not use just now. Nobody waits for it: the state of a revision may take long.
pub(super) fn take<T>(of: &Mutex<T>) -> Result<MutexGuard<'_, T>, CheckError> {
    of.try_lock().map_err(|_| CheckError::Overloaded { retry_after: RETRY_AFTER })
}

/// What comes out within a time; what takes longer is given up where it waits.
pub(super) async fn within<T>(limit: Duration, work: impl Future<Output = T>) -> Result<T, CheckError> {
    tokio::time::timeout(limit, work).await.map_err(|_| {
        let why = format!(
            "this took longer than {limit:?}, for the state of then is large; `magistrate audit replay` takes the time it needs"
        );
        CheckError::DeadlineExceeded(why)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn second_caller_is_refused_and_does_not_wait() {
        let of = Mutex::new(7);
        let first = take(&of).unwrap();
        assert_eq!(take(&of).map(|it| *it).err(), Some(CheckError::Overloaded { retry_after: RETRY_AFTER }));
        drop(first);
        assert_eq!(take(&of).map(|it| *it).ok(), Some(7));
    }

    #[tokio::test]
    async fn what_takes_too_long_is_given_up_and_frees_its_place() {
        let of = Mutex::new(());
        let hangs = async {
            let _held = take(&of).unwrap();
            std::future::pending::<()>().await;
        };
        let given_up = within(Duration::from_millis(1), hangs).await;
        assert!(matches!(&given_up, Err(CheckError::DeadlineExceeded(why)) if why.contains("1ms")), "{given_up:?}");
        assert!(take(&of).is_ok());
        assert_eq!(within(Duration::from_mins(1), async { 5 }).await, Ok(5));
    }
}
