//! Problems of many items: the first are kept, the rest are counted.

use crate::problem::{AdminError, Problem};

/// How many problems are kept: far more than are shown, far fewer than a file may have.
const KEPT: usize = 1_000;

/// What was found wrong so far.
#[derive(Debug, Default)]
pub(super) struct Problems {
    kept: Vec<(u32, Problem)>,
    count: usize,
}

impl Problems {
    /// Notes a problem with the item of a line.
    pub(super) fn note(&mut self, line: u32, place: String, what: String) {
        self.count += 1;
        if self.kept.len() < KEPT {
            self.kept.push((line, Problem { place, what }));
        }
    }

    /// Notes what a plan found; a place ends in its line.
    pub(super) fn note_all(&mut self, problems: Vec<Problem>) {
        for Problem { place, what } in problems {
            let line = place.rsplit_once(':').and_then(|(_, line)| line.parse().ok()).unwrap_or(0);
            self.note(line, place, what);
        }
    }

    /// Fails with them in the order of their lines, if there are any.
    pub(super) fn none(self) -> Result<(), AdminError> {
        let Self { mut kept, count } = self;
        if count == 0 {
            return Ok(());
        }
        kept.sort_by_key(|(line, _)| *line);
        let first: Vec<Problem> = kept.into_iter().map(|(_, problem)| problem).collect();
        Err(match first.len() == count {
            true => AdminError::Problems(first),
            false => AdminError::ManyProblems { first, count },
        })
    }
}
