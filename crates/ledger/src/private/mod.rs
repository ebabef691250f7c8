//! Values that can be erased: a record holds commitments to them, and an opening beside it holds the values.
//!
//! What is sealed is the record, so a value can go without changing anything that was sealed: its commitment stays.

mod commitment;
mod fields;
mod opening;
mod path;
mod places;
#[cfg(test)]
mod tests;

use magistrate_model::Digest;

pub(crate) use commitment::Salt;
pub use fields::{InvalidPrivateField, PrivateFields};
pub use opening::{InvalidOpening, Opened, OpenedValues};
pub use path::{InvalidPrivatePath, PrivatePath};

use crate::decision::DecisionRecord;

/// A value that a record does not hold, and the commitment to it that it holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// Where the value belongs.
    pub path: PrivatePath,
    /// The commitment.
    pub commitment: Digest,
}

/// Takes the private values out of a record, and puts commitments in their place. `None` where it has none.
pub(crate) fn seal_away(
    record: &mut DecisionRecord,
    fields: &PrivateFields,
    salt: impl Fn() -> Salt,
) -> Option<OpenedValues> {
    let mut taken = places::take(record, fields);
    if taken.is_empty() {
        return None;
    }
    taken.sort_by(|(one, _), (other, _)| one.cmp(other));
    let opened: Vec<Opened> = taken.into_iter().map(|(path, value)| Opened { path, salt: salt(), value }).collect();
    record.private = opened.iter().map(Opened::committed).collect();
    Some(OpenedValues(opened))
}

/// Takes the private values out of a record and puts nothing in their place.
pub(crate) fn leave_out(record: &mut DecisionRecord, fields: &PrivateFields) {
    let _left_out = places::take(record, fields);
}

/// Puts opened values back where they belong, if they are exactly those that the record commits to.
pub(crate) fn restore(record: &mut DecisionRecord, opening: &OpenedValues) -> Result<(), InvalidOpening> {
    let committed: Vec<Committed> = opening.0.iter().map(Opened::committed).collect();
    if committed.len() != record.private.len() {
        return Err(InvalidOpening::OtherPaths);
    }
    for (found, wanted) in committed.iter().zip(&record.private) {
        if found.path != wanted.path {
            return Err(InvalidOpening::OtherPaths);
        }
        if found.commitment != wanted.commitment {
            return Err(InvalidOpening::OtherValue(found.path.clone()));
        }
    }
    for Opened { path, value, .. } in &opening.0 {
        places::put(record, path, value).map_err(|_| InvalidOpening::NoPlace(path.clone()))?;
    }
    Ok(())
}

/// Whether nothing stands at the places of which a record says that it holds commitments alone.
pub(crate) fn are_empty(record: &DecisionRecord) -> bool {
    record.private.iter().all(|it| places::is_empty(record, &it.path))
}
