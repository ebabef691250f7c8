//! Principals and resources from the wire.

use std::collections::BTreeSet;

use magistrate_model::{Caller, EntityData, EntityInput, EntityUid, InvalidUid};
use magistrate_proto::v1::{Entity, EntityRef};

use crate::finding::{Findings, Parsed, Path};
use crate::value::bounded_record;

/// Parents an asserted entity may have.
const MAX_PARENTS: usize = 100;

const PARENTS_OF_A_REFERENCE: &str = "are given without attributes: leave them out, for those of a reference are looked \
     up, or assert the entity by sending `attributes`, even empty";

/// What only some callers may do, in words.
pub(crate) const MAY_NOT_ASSERT: &str =
    "is accepted only from callers on the server's own machine, until callers have identities and rights; leave it out";

/// A reference if attributes are absent; asserted if they are present, even empty.
pub(crate) fn entity(wire: &Entity, at: Path<'_>, caller: &Caller, findings: &mut Findings) -> Parsed<EntityInput> {
    let uid = match &wire.uid {
        Some(uid) => entity_uid(uid, at.field("uid"), findings),
        None => findings.report(at.field("uid"), "is required: give `type` and `id`"),
    };
    let Some(attributes) = &wire.attributes else {
        return match wire.parents.as_slice() {
            [] => uid.map(EntityInput::Reference),
            [..] => findings.report(at.field("parents"), PARENTS_OF_A_REFERENCE),
        };
    };
    if !caller.may_assert() {
        return findings.report(at.field("attributes"), MAY_NOT_ASSERT);
    }
    let attributes = bounded_record(attributes, at.field("attributes"), findings);
    let parents = parents(&wire.parents, at.field("parents"), findings);
    Ok(EntityInput::Asserted(EntityData { uid: uid?, attributes: attributes?, parents: parents? }))
}

fn parents(wire: &[EntityRef], at: Path<'_>, findings: &mut Findings) -> Parsed<BTreeSet<EntityUid>> {
    if wire.len() > MAX_PARENTS {
        let why = format_args!("are {}; the limit is {MAX_PARENTS}", wire.len());
        return findings.report(at, why);
    }
    let uids = wire.iter().enumerate();
    uids.map(|(n, uid)| entity_uid(uid, at.index(n), findings)).collect()
}

fn entity_uid(wire: &EntityRef, at: Path<'_>, findings: &mut Findings) -> Parsed<EntityUid> {
    let why = match EntityUid::from_parts(&wire.r#type, &wire.id) {
        Ok(uid) => return Ok(uid),
        Err(why) => why,
    };
    let part = match why {
        InvalidUid::Id { .. } => "id",
        InvalidUid::Type { .. } | InvalidUid::Form { .. } | InvalidUid::NotAnAction { .. } => "type",
    };
    findings.report(at.field(part), why)
}
