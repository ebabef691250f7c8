//! A state of all entities and grants as it was loaded, in few bytes. Immutable.

use magistrate_model::{Conferred, EntityData, EntityUid, Grant, GrantId, Instant, ScopePattern, Term};
use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::batch::{self, Batch};
use super::packed::{Names, Packing, Unpacking};
use super::uids::{Ids, UidNumber, Uids};
use super::version::Version;

/// Entities and grants, packed.
#[derive(Debug)]
pub(super) struct Base {
    uids: Uids,
    names: Names,
    bytes: Vec<u8>,
    /// Where the bytes of each uid's entity begin; [`NONE`] where there is no such entity.
    starts: Vec<u32>,
    entities: usize,
    /// The version of the first uid's entity; the others follow.
    first: Version,
    /// By holder, resource and id.
    grants: Vec<Packed>,
    grant_ids: Ids,
    conferred: Vec<Confers>,
    /// Which grants each uid holds: from here to where the next one's begin.
    held_from: Vec<u32>,
}

const NONE: u32 = u32::MAX;
/// The resource of a grant that counts everywhere; those of others are one more than their uids' numbers.
const EVERYWHERE: u32 = 0;

/// What a grant confers, but for where.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Confers {
    /// A role.
    Role(EntityUid),
    /// The scopes that a pattern stands for.
    Scopes(ScopePattern),
}

impl Confers {
    pub(super) fn of(grant: &Grant) -> Self {
        match grant.conferred() {
            Conferred::Role { role, .. } => Self::Role(role.clone()),
            Conferred::Scope(pattern) => Self::Scopes(pattern.clone()),
        }
    }
}

/// A grant, packed. Why it was given is not kept: no decision depends on it.
#[derive(Debug)]
pub(super) struct Packed {
    holder: UidNumber,
    resource: u32,
    confers: u32,
    id: u32,
    /// In microseconds; the least and the greatest number where there is no such bound.
    not_before: i64,
    end: i64,
}

/// The place of a grant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Position(u32);

impl Default for Base {
    fn default() -> Self {
        Builder::default().finish()
    }
}

impl Base {
    pub(super) fn entity_count(&self) -> usize {
        self.entities
    }

    pub(super) fn grant_count(&self) -> usize {
        self.grants.len()
    }

    pub(super) fn number(&self, uid: &EntityUid) -> Option<UidNumber> {
        self.uids.find(uid)
    }

    /// Which version of an entity this holds, if any.
    pub(super) fn version(&self, uid: &EntityUid) -> Option<Version> {
        let number = self.uids.find(uid)?;
        self.start(number)?;
        Some(self.first.after(number.raw()))
    }

    fn start(&self, number: UidNumber) -> Option<usize> {
        let start = *self.starts.get(number.place())?;
        (start != NONE).then_some(start as usize)
    }

    /// An entity, unpacked.
    pub(super) fn entity(&self, uid: &EntityUid) -> Option<EntityData> {
        self.unpacked(self.uids.find(uid)?, uid.clone())
    }

    fn unpacked(&self, number: UidNumber, uid: EntityUid) -> Option<EntityData> {
        let bytes = self.bytes.get(self.start(number)?..)?;
        Unpacking { uids: &self.uids, names: &self.names, bytes }.entity(uid)
    }

    /// Every entity, unpacked.
    pub(super) fn entities(&self) -> impl Iterator<Item = EntityData> {
        let numbers = (0..u32::try_from(self.starts.len()).unwrap_or(NONE)).map(UidNumber::from_raw);
        numbers.filter_map(|number| {
            self.start(number)?;
            self.unpacked(number, self.uids.get(number)?)
        })
    }

    /// Every grant with its place.
    pub(super) fn grants(&self) -> impl Iterator<Item = (Position, PackedGrant<'_>)> {
        self.positioned(0, &self.grants)
    }

    /// The grants of a holder with their places.
    pub(super) fn held_by(&self, holder: &EntityUid) -> impl Iterator<Item = (Position, PackedGrant<'_>)> + use<'_> {
        let (from, held) = self.uids.find(holder).map_or((0, Default::default()), |number| self.held(number));
        self.positioned(from, held)
    }

    /// The grants of a holder on one resource, or everywhere, with their places.
    pub(super) fn held_on(
        &self,
        holder: UidNumber,
        place: Where,
    ) -> impl Iterator<Item = (Position, PackedGrant<'_>)> + use<'_> {
        let (from, held) = self.held(holder);
        let resource = place.packed();
        let first = held.partition_point(|grant| grant.resource < resource);
        let here = held.get(first..).unwrap_or_default();
        let here = here.get(..here.partition_point(|grant| grant.resource == resource)).unwrap_or_default();
        self.positioned(from + first, here)
    }

    fn held(&self, holder: UidNumber) -> (usize, &[Packed]) {
        let bound = |place: usize| self.held_from.get(place).map(|at| *at as usize);
        let range = bound(holder.place()).zip(bound(holder.place() + 1));
        let held = range.and_then(|(from, to)| Some((from, self.grants.get(from..to)?)));
        held.unwrap_or((0, Default::default()))
    }

    fn positioned<'a>(
        &'a self,
        from: usize,
        grants: &'a [Packed],
    ) -> impl Iterator<Item = (Position, PackedGrant<'a>)> {
        let from = u32::try_from(from).unwrap_or(NONE);
        (from..).map(Position).zip(grants.iter().map(|packed| PackedGrant { base: self, packed }))
    }

    /// Where a grant is.
    pub(super) fn position(&self, grant: &Grant) -> Option<Position> {
        let resource = match grant.resource() {
            Some(resource) => Where::On(self.uids.find(resource)?),
            None => Where::Everywhere,
        };
        let mut here = self.held_on(self.uids.find(grant.holder())?, resource);
        here.find(|(_, it)| it.id() == grant.id().as_str()).map(|(position, _)| position)
    }
}

/// Where grants are held.
#[derive(Debug, Clone, Copy)]
pub(super) enum Where {
    Everywhere,
    On(UidNumber),
}

impl Where {
    fn packed(self) -> u32 {
        match self {
            Self::Everywhere => EVERYWHERE,
            Self::On(resource) => resource.raw().saturating_add(1),
        }
    }
}

/// A grant of a base.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PackedGrant<'a> {
    base: &'a Base,
    packed: &'a Packed,
}

impl<'a> PackedGrant<'a> {
    pub(super) fn id(&self) -> &'a str {
        self.base.grant_ids.get(self.packed.id)
    }

    pub(super) fn holder(&self) -> Option<EntityUid> {
        self.base.uids.get(self.packed.holder)
    }

    pub(super) fn resource(&self) -> Option<EntityUid> {
        self.base.uids.get(UidNumber::from_raw(self.packed.resource.checked_sub(1)?))
    }

    pub(super) fn confers(&self) -> Option<&'a Confers> {
        self.base.conferred.get(self.packed.confers as usize)
    }

    pub(super) fn term(&self) -> Option<Term> {
        let bound = |micros: i64, none: i64| (micros != none).then(|| Instant::from_micros(micros)).transpose().ok();
        let begin = bound(self.packed.not_before, i64::MIN)?;
        match bound(self.packed.end, i64::MAX)? {
            Some(end) => Term::until(begin, end).ok(),
            None => Some(Term::standing(begin)),
        }
    }
}

/// Packs entities and grants, batch by batch.
#[derive(Debug, Default)]
pub(super) struct Builder {
    uids: Uids,
    names: Names,
    bytes: Vec<u8>,
    starts: Vec<u32>,
    grants: Vec<Packed>,
    grant_ids: Ids,
    conferred: Vec<Confers>,
    conferred_numbers: HashMap<Confers, u32, RandomState>,
    /// The same of roles, by their uids.
    roles: HashMap<UidNumber, u32, RandomState>,
    /// Of the uids of the batch at hand.
    numbers: Vec<UidNumber>,
    /// Something did not fit: more than four billion of it.
    overflowed: bool,
}

impl Builder {
    /// Whether everything that was given fitted.
    pub(super) fn is_whole(&self) -> bool {
        !self.overflowed
    }

    /// Takes everything of a batch.
    pub(super) fn take(&mut self, batch: &Batch) {
        self.overflowed |= self.try_take(batch).is_none();
    }

    fn try_take(&mut self, batch: &Batch) -> Option<()> {
        batch.entities().iter().try_for_each(|entity| self.entity(entity))?;
        let mut numbers = std::mem::take(&mut self.numbers);
        numbers.clear();
        self.uids.add_all(batch.types(), batch.uids(), &mut numbers)?;
        batch.grants().iter().try_for_each(|grant| self.grant(batch, grant, &numbers))?;
        self.numbers = numbers;
        Some(())
    }

    fn entity(&mut self, entity: &EntityData) -> Option<()> {
        let number = self.uids.add(entity.uid.borrowed())?;
        let start = u32::try_from(self.bytes.len()).ok().filter(|start| *start != NONE)?;
        Packing { uids: &mut self.uids, names: &mut self.names, bytes: &mut self.bytes }.entity(entity)?;
        self.starts.resize(self.starts.len().max(number.place() + 1), NONE);
        *self.starts.get_mut(number.place())? = start;
        Some(())
    }

    /// Takes a grant whose uids have these numbers.
    fn grant(&mut self, batch: &Batch, grant: &batch::Grant, numbers: &[UidNumber]) -> Option<()> {
        let (confers, resource) = match &grant.confers {
            batch::Confers::Role { role, resource } => {
                let resource = match resource {
                    Some(resource) => Where::On(*numbers.get(*resource)?),
                    None => Where::Everywhere,
                };
                (self.role(*numbers.get(*role)?)?, resource)
            }
            batch::Confers::Scopes(pattern) => (self.confers(Confers::Scopes(pattern.clone()))?, Where::Everywhere),
        };
        let id = self.grant_ids.add(batch.get(grant.id))?;
        let (not_before, end) = (grant.term.not_before(), grant.term.expires_at());
        self.grants.push(Packed {
            holder: *numbers.get(grant.holder)?,
            resource: resource.packed(),
            confers,
            id,
            not_before: not_before.map_or(i64::MIN, Instant::micros),
            end: end.map_or(i64::MAX, Instant::micros),
        });
        Some(())
    }

    /// The number of what a role's grant confers.
    fn role(&mut self, role: UidNumber) -> Option<u32> {
        if let Some(number) = self.roles.get(&role) {
            return Some(*number);
        }
        let number = self.confers(Confers::Role(self.uids.get(role)?))?;
        self.roles.insert(role, number);
        Some(number)
    }

    fn confers(&mut self, confers: Confers) -> Option<u32> {
        if let Some(number) = self.conferred_numbers.get(&confers) {
            return Some(*number);
        }
        let number = u32::try_from(self.conferred.len()).ok()?;
        self.conferred.push(confers.clone());
        self.conferred_numbers.insert(confers, number);
        Some(number)
    }

    pub(super) fn finish(mut self) -> Base {
        let ids = &self.grant_ids;
        self.grants.sort_unstable_by(|one, other| {
            let place = |grant: &Packed| (grant.holder, grant.resource);
            place(one).cmp(&place(other)).then_with(|| ids.get(one.id).cmp(ids.get(other.id)))
        });
        let count = self.uids.len();
        let mut held_from = Vec::with_capacity(count + 1);
        for (at, grant) in self.grants.iter().enumerate() {
            held_from.resize(held_from.len().max(grant.holder.place() + 1), u32::try_from(at).unwrap_or(NONE));
        }
        held_from.resize(count + 1, u32::try_from(self.grants.len()).unwrap_or(NONE));
        let entities = self.starts.iter().filter(|start| **start != NONE).count();
        self.uids.shrink();
        self.bytes.shrink_to_fit();
        self.starts.shrink_to_fit();
        self.grants.shrink_to_fit();
        self.grant_ids.shrink();
        Base {
            first: Version::block(count),
            uids: self.uids,
            names: self.names,
            bytes: self.bytes,
            starts: self.starts,
            entities,
            grants: self.grants,
            grant_ids: self.grant_ids,
            conferred: self.conferred,
            held_from,
        }
    }
}

/// The id of a grant that was one when it was packed.
pub(super) fn grant_id(text: &str) -> Option<GrantId> {
    text.parse().ok()
}
