//! Private values that belong to no record.

use magistrate_ledger::DecisionId;

use super::{Evidence, HistoryError};

/// The first so many of them. All private values are looked at, a page at a time.
pub async fn stray_openings<S: Evidence>(store: &S, most: usize, page: u32) -> Result<Vec<DecisionId>, HistoryError> {
    let (mut strays, mut after) = (Vec::new(), None);
    loop {
        let openings = store.openings(after, page).await?;
        let stray = openings.iter().filter(|it| it.is_stray).map(|it| it.id);
        strays.extend(stray.take(most.saturating_sub(strays.len())));
        if openings.len() < page as usize || strays.len() >= most {
            return Ok(strays);
        }
        after = openings.last().copied();
    }
}
