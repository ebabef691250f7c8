//! Gathering what is known about the parties of a query. Memory only.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use foldhash::fast::RandomState;
use magistrate_engine::{EntitySource, Known, Snapshot, Unanswerable};
use magistrate_model::{
    AttributeName, EntityInput, EntityUid, ExtensionFunction, Facts, GrantInForce, Instant, KnownEntity, Missing,
    Query, Record, ScopeName, Span, TypeName, Value,
};

use crate::directory::{Confers, Directory, GrantView};
use crate::prepared::{Kept, Prepared};

/// What was found for a query.
#[derive(Debug)]
pub(crate) struct Gathered {
    /// Facts.
    pub(crate) facts: Facts,
    /// The same as policies see it; `None` where an entity is missing, so that no policy is asked.
    pub(crate) known: Option<Result<Known, Unanswerable>>,
    /// What was looked for and is not stored, where that is no reason to deny.
    pub(crate) absent: Vec<EntityUid>,
}

/// Where facts are gathered from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sources<'a> {
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) directory: &'a Directory,
    pub(crate) prepared: &'a Prepared,
}

/// Facts about an admitted query at one instant; `age` is how long ago the data was last confirmed.
///
/// Loaded are principal, resource, entities named in the context, what these lead to within the number
/// of attribute hops the policies make, and all ancestors of all of these. A grant counts if it is in
/// force now, held by the principal or a group above it, everywhere or on the resource or something
/// above it.
pub(crate) fn gather(query: &Query, sources: Sources<'_>, now: Instant, age: Span) -> Gathered {
    let Sources { snapshot, directory, .. } = sources;
    let mut slice = Slice::of(sources, query);
    let mut facts = Facts {
        instant: now,
        entities: slice.entities(),
        roles: Vec::new(),
        direct_roles: BTreeSet::new(),
        scopes: BTreeMap::new(),
        grants: Vec::new(),
        supplied: supplied(query, snapshot, now, age),
        missing: slice.missing.take(),
        next_change: None,
    };
    let parties = (slice.find(query.principal.uid()).cloned(), slice.find(query.resource.uid()).cloned());
    let (Some(principal), Some(resource), None) = (parties.0, parties.1, &facts.missing) else {
        return Gathered { facts, known: None, absent: Vec::new() };
    };
    let may_hold = snapshot.vocabulary().entity_type(query.principal.uid().type_name()).map(|info| &info.may_hold);
    if slice.is_cut_short() {
        let why =
            format!("more than {MAX_REACHED} entities are within reach of its policies: have them make fewer hops");
        return Gathered { facts, known: Some(Err(Unanswerable::new(why))), absent: Vec::new() };
    }
    let mut assignments = Assignments {
        sources,
        now,
        may_hold,
        roles: BTreeMap::new(),
        held: Vec::new(),
        missing: None,
        absent: slice.absent(),
    };
    let places: Vec<_> =
        std::iter::once(&resource.data).chain(resource.above()).map(|entity| directory.place(&entity.uid)).collect();
    for holder in std::iter::once(&principal.data).chain(principal.above()) {
        let held = directory.held_by(&holder.uid);
        held.everywhere().for_each(|grant| assignments.add(grant, &mut facts));
        for place in &places {
            held.on(*place).for_each(|grant| assignments.add(grant, &mut facts));
        }
    }
    facts.grants.sort_by(|a, b| a.id.cmp(&b.id));
    if let Some(role) = assignments.missing {
        facts.missing = Some(Missing::Other(role));
        return Gathered { facts, known: None, absent: Vec::new() };
    }
    let known = known(&principal, &resource, slice.loaded, &assignments);
    facts.roles = assignments.roles.into_values().map(|kept| Arc::clone(&kept.data)).collect();
    Gathered { facts, known: Some(known), absent: assignments.absent }
}

fn known(
    principal: &Arc<Kept>,
    resource: &Arc<Kept>,
    loaded: Vec<Arc<Kept>>,
    assignments: &Assignments<'_>,
) -> Result<Known, Unanswerable> {
    let others = loaded.into_iter().filter(|it| !Arc::ptr_eq(it, principal) && !Arc::ptr_eq(it, resource));
    let others = others.chain(assignments.roles.values().chain(&assignments.held).cloned());
    Ok(Known {
        principal: principal.entity.clone()?,
        resource: resource.entity.clone()?,
        others: others.map(|kept| kept.entity.clone()).collect::<Result<_, _>>()?,
        held: assignments.held.iter().map(|kept| kept.entity.clone()).collect::<Result<_, _>>()?,
    })
}

/// Entities within reach of one question: more are not gone after.
pub(crate) const MAX_REACHED: usize = 10_000;
/// Loaded entities that are found by looking at each; beyond that, by hash.
const FEW: usize = 16;

struct Slice<'a> {
    sources: Sources<'a>,
    query: &'a Query,
    /// Mostly few; the first are the parties.
    loaded: Vec<Arc<Kept>>,
    /// Where they are, once they are many.
    places: HashMap<EntityUid, usize, RandomState>,
    missing: Option<Missing>,
}

impl<'a> Slice<'a> {
    fn of(sources: Sources<'a>, query: &'a Query) -> Self {
        let mut slice = Self { sources, query, loaded: Vec::new(), places: HashMap::default(), missing: None };
        slice.load();
        slice
    }

    fn load(&mut self) {
        self.require(self.query.principal.uid(), Missing::Principal);
        self.require(self.query.resource.uid(), Missing::Resource);
        let query = self.query;
        let mut named: BTreeSet<&EntityUid> = BTreeSet::new();
        query.context.values().for_each(|value| value.each_entity(&mut |uid| named.extend([uid])));
        named.into_iter().for_each(|uid| self.require(uid, Missing::Other));
        let mut followed = 0;
        for _ in 1..self.sources.snapshot.dereferences().max(1) {
            let frontier: Vec<Arc<Kept>> = self.loaded.iter().skip(followed).cloned().collect();
            followed = self.loaded.len();
            let named: BTreeSet<&EntityUid> = frontier.iter().flat_map(|kept| &kept.references).collect();
            named.into_iter().for_each(|uid| self.require(uid, Missing::Other));
        }
        self.believe_assertions();
        let mut above = self.loaded.iter().flat_map(|kept| &kept.missing);
        let above = above.find(|uid| !self.is_enumerated(uid)).cloned();
        self.miss(above.map(Missing::Other));
    }

    /// What is asserted of the parties counts for what is below them, too, whatever was stored of them.
    fn believe_assertions(&mut self) {
        let Sources { snapshot, directory, .. } = self.sources;
        let parties = [&self.query.principal, &self.query.resource];
        let asserted: Vec<_> = parties.into_iter().filter_map(EntityInput::asserted).collect();
        let is_below = |kept: &Kept| asserted.iter().any(|party| kept.is_below(&party.uid));
        if !self.loaded.iter().any(|kept| is_below(kept)) {
            return;
        }
        let believed = asserted.iter().fold(directory.clone(), |directory, party| directory.with((*party).clone()));
        for kept in self.loaded.iter_mut().filter(|kept| is_below(kept)) {
            *kept = Arc::new(kept.within(snapshot, &believed));
        }
    }

    /// Whether there was more than may be gone after.
    fn is_cut_short(&self) -> bool {
        self.loaded.len() > MAX_REACHED
    }

    /// Loads one entity, or notes that it does not exist.
    fn require(&mut self, uid: &EntityUid, missing: fn(EntityUid) -> Missing) {
        if self.find(uid).is_some() || self.is_cut_short() {
            return;
        }
        let Sources { snapshot, directory, prepared } = self.sources;
        let asserted = [&self.query.principal, &self.query.resource].into_iter().find(|party| party.uid() == uid);
        if let Some(EntityInput::Asserted(data)) = asserted {
            return self.push(prepared.asserted(data.clone(), snapshot, directory));
        }
        if self.is_enumerated(uid) {
            return self.push(prepared.declared(uid, snapshot));
        }
        let is_stored = snapshot.vocabulary().source_of(uid.type_name()) == Some(EntitySource::Stored);
        match is_stored.then(|| prepared.stored(uid, snapshot, directory)).flatten() {
            Some(kept) => self.push(kept),
            None => self.miss(Some(missing(uid.clone()))),
        }
    }

    fn find(&self, uid: &EntityUid) -> Option<&Arc<Kept>> {
        match self.places.is_empty() {
            true => self.loaded.iter().find(|kept| kept.data.uid == *uid),
            false => self.loaded.get(*self.places.get(uid)?),
        }
    }

    fn push(&mut self, kept: Arc<Kept>) {
        let place = self.loaded.len();
        self.loaded.push(kept);
        // All of them when they become many, and each from then on.
        let from = if place == FEW { 0 } else { place };
        if place >= FEW {
            let added = self.loaded.iter().enumerate().skip(from);
            self.places.extend(added.map(|(place, kept)| (kept.data.uid.clone(), place)));
        }
    }

    /// Entities of an enumerated type exist by declaration and carry nothing.
    fn is_enumerated(&self, uid: &EntityUid) -> bool {
        let info = self.sources.snapshot.vocabulary().entity_type(uid.type_name());
        info.and_then(|info| info.enumerated.as_ref()).is_some_and(|ids| ids.contains(uid.id().as_str()))
    }

    fn miss(&mut self, missing: Option<Missing>) {
        if self.missing.is_none() {
            self.missing = missing;
        }
    }

    /// What is above it by a declaration alone: it would be otherwise if it were stored.
    fn absent(&self) -> Vec<EntityUid> {
        self.loaded.iter().flat_map(|kept| &kept.missing).cloned().collect()
    }

    /// All of it with all that is above it, in the order of uids and each once.
    fn entities(&self) -> Vec<Arc<KnownEntity>> {
        let loaded = || self.loaded.iter().filter(|kept| !kept.declared);
        let above = loaded().flat_map(|kept| kept.above());
        let mut entities: Vec<_> = loaded().map(|kept| &kept.data).chain(above).cloned().collect();
        // Where an entity is asserted and stored, too, what is asserted counts: it comes first, and sorting keeps that.
        entities.sort_by(|a, b| a.uid.cmp(&b.uid));
        entities.dedup_by(|later, earlier| later.uid == earlier.uid);
        entities
    }
}

struct Assignments<'a> {
    sources: Sources<'a>,
    now: Instant,
    may_hold: Option<&'a BTreeSet<TypeName>>,
    /// Roles in force with all that is above them.
    roles: BTreeMap<EntityUid, Arc<Kept>>,
    /// What the principal is made a direct member of, each once.
    held: Vec<Arc<Kept>>,
    /// A role that one in force includes, and that is not stored.
    missing: Option<EntityUid>,
    /// Roles that are granted and not stored, beside what else is absent.
    absent: Vec<EntityUid>,
}

impl<'a> Assignments<'a> {
    fn add(&mut self, grant: GrantView<'_>, facts: &mut Facts) {
        // What was loaded is whole: nothing is passed over here.
        let Some((confers, term)) = grant.confers().zip(grant.term()) else { return };
        if !self.concerns(&confers) {
            return;
        }
        facts.next_change = facts.next_change.into_iter().chain(term.next_change(self.now)).min();
        if !term.in_force(self.now) {
            return;
        }
        let confers = match &*confers {
            Confers::Role(role) => self.add_role(role, facts),
            Confers::Scopes(pattern) => {
                let covered = self.sources.directory.scopes().iter().filter(|scope| pattern.covers(&scope.name));
                let covered: Vec<_> = covered.map(|scope| (scope.name.clone(), scope.action_group.clone())).collect();
                let uids: BTreeSet<_> = covered.iter().filter_map(|(name, _)| self.scope_uid(name)).collect();
                uids.iter().for_each(|uid| self.hold_scope(uid));
                facts.scopes.extend(covered);
                uids
            }
        };
        if let Some(id) = grant.id().filter(|_| !confers.is_empty()) {
            facts.grants.push(GrantInForce { id, confers });
        }
    }

    /// Whether principals of this type can hold what a grant confers.
    fn concerns(&self, confers: &Confers) -> bool {
        let type_name = match confers {
            Confers::Role(role) => Some(role.type_name()),
            Confers::Scopes(_) => self.scope_type(),
        };
        type_name.zip(self.may_hold).is_some_and(|(type_name, may_hold)| may_hold.contains(type_name))
    }

    fn add_role(&mut self, role: &EntityUid, facts: &mut Facts) -> BTreeSet<EntityUid> {
        let Some(kept) = self.load_role(role) else {
            self.absent.push(role.clone());
            return BTreeSet::new();
        };
        if facts.direct_roles.insert(role.clone()) {
            self.held.push(Arc::clone(&kept));
            for above in kept.above() {
                self.load_role(&above.uid);
            }
        }
        std::iter::once(&kept.data).chain(kept.above()).map(|role| role.uid.clone()).collect()
    }

    fn load_role(&mut self, role: &EntityUid) -> Option<Arc<Kept>> {
        if let Some(kept) = self.roles.get(role) {
            return Some(Arc::clone(kept));
        }
        let Sources { snapshot, directory, prepared } = self.sources;
        let kept = prepared.stored(role, snapshot, directory)?;
        self.missing = self.missing.take().or_else(|| kept.missing.first().cloned());
        self.roles.insert(role.clone(), Arc::clone(&kept));
        Some(kept)
    }

    fn hold_scope(&mut self, uid: &EntityUid) {
        if self.held.iter().any(|held| held.data.uid == *uid) {
            return;
        }
        let Sources { snapshot, prepared, .. } = self.sources;
        self.held.push(prepared.declared(uid, snapshot));
    }

    fn scope_type(&self) -> Option<&'a TypeName> {
        self.sources.snapshot.vocabulary().scope_type()
    }

    fn scope_uid(&self, name: &ScopeName) -> Option<EntityUid> {
        EntityUid::from_parts(self.scope_type()?.as_str(), name.as_str()).ok()
    }
}

/// `context.facts` for actions that declare it.
pub(crate) fn supplied(query: &Query, snapshot: &Snapshot, now: Instant, age: Span) -> Option<Record> {
    snapshot.vocabulary().action(&query.action).filter(|action| action.declares_facts)?;
    let address = query.environment.source_ip.or(query.caller.address);
    let known = [
        ("now", Some(Value::Extension(ExtensionFunction::Datetime, now.cedar_datetime().into()))),
        ("channel", Some(Value::String(query.caller.channel.name().into()))),
        ("snapshot_age_s", Some(Value::Long(age.whole_seconds()))),
        ("ip", address.map(|ip| Value::Extension(ExtensionFunction::Ip, ip.to_canonical().to_string().into()))),
    ];
    let known = known.into_iter().filter_map(|(name, value)| Some((AttributeName::new(name).ok()?, value?)));
    Some(known.collect())
}
