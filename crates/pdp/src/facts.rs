//! Gathering what is known about the parties of a query. Memory only.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use magistrate_engine::{EntitySource, Snapshot};
use magistrate_model::{
    AttributeName, Conferred, EntityData, EntityInput, EntityUid, ExtensionFunction, Facts, Grant, GrantInForce,
    Instant, Missing, Query, Record, ScopeName, Span, TypeName, Value,
};

use crate::directory::Directory;

/// Facts about an admitted query at one instant; `age` is how long ago the data was last confirmed.
///
/// Loaded are principal, resource, entities named in the context, what these lead to within the number
/// of attribute hops the policies make, and all ancestors of all of these. A grant counts if it is in
/// force now, held by the principal or a group above it, everywhere or on the resource or something
/// above it.
pub fn gather(query: &Query, snapshot: &Snapshot, directory: &Directory, now: Instant, age: Span) -> Facts {
    let mut slice = Slice { snapshot, directory, query, entities: BTreeMap::new(), missing: None };
    slice.load();
    let holders = slice.with_ancestors(query.principal.uid());
    let places = slice.with_ancestors(query.resource.uid());
    let places: Vec<Option<EntityUid>> = places.into_iter().map(Some).chain([None]).collect();
    let mut facts = Facts {
        instant: now,
        entities: Vec::new(),
        roles: Vec::new(),
        direct_roles: BTreeSet::new(),
        scopes: BTreeMap::new(),
        grants: Vec::new(),
        supplied: supplied(query, snapshot, now, age),
        missing: slice.missing,
        next_change: None,
    };
    facts.entities = slice.entities.into_values().collect();
    if facts.missing.is_none() {
        let may_hold = snapshot.vocabulary().entity_type(query.principal.uid().type_name()).map(|info| &info.may_hold);
        let mut assignments =
            Assignments { directory, scope_type: snapshot.vocabulary().scope_type(), now, roles: BTreeMap::new() };
        for grant in directory.grants(&holders, &places) {
            if may_hold.is_some_and(|types| assignments.concerns(grant, types)) {
                assignments.add(grant, &mut facts);
            }
        }
        facts.grants.sort_by(|a, b| a.id.cmp(&b.id));
        facts.roles = assignments.roles.into_values().collect();
    }
    facts
}

struct Slice<'a> {
    snapshot: &'a Snapshot,
    directory: &'a Directory,
    query: &'a Query,
    entities: BTreeMap<EntityUid, Arc<EntityData>>,
    missing: Option<Missing>,
}

impl Slice<'_> {
    fn load(&mut self) {
        let (principal, resource) = (self.query.principal.uid().clone(), self.query.resource.uid().clone());
        self.require(&principal, Missing::Principal);
        self.require(&resource, Missing::Resource);
        let mut named = BTreeSet::new();
        self.query.context.values().for_each(|value| value.each_entity(&mut |uid| named.extend([uid.clone()])));
        named.retain(|uid| self.require(uid, Missing::Other));
        let mut frontier: BTreeSet<EntityUid> = self.entities.keys().cloned().collect();
        for _ in 1..self.snapshot.dereferences().max(1) {
            frontier = self.follow_references(&frontier);
        }
        self.load_ancestors();
    }

    /// Loads what the attributes of the frontier name; returns what was not loaded before.
    fn follow_references(&mut self, frontier: &BTreeSet<EntityUid>) -> BTreeSet<EntityUid> {
        let mut named = BTreeSet::new();
        for entity in frontier.iter().filter_map(|uid| self.entities.get(uid)) {
            entity.each_reference(&mut |uid| named.extend([uid.clone()]));
        }
        named.retain(|uid| !self.entities.contains_key(uid));
        named.retain(|uid| self.require(uid, Missing::Other));
        named
    }

    fn load_ancestors(&mut self) {
        let loaded: Vec<Arc<EntityData>> = self.entities.values().cloned().collect();
        for entity in loaded {
            let (ancestors, missing) = self.directory.ancestors(&entity);
            self.miss(missing.map(Missing::Other));
            for ancestor in ancestors {
                self.entities.entry(ancestor.uid.clone()).or_insert(ancestor);
            }
        }
    }

    /// Loads one entity, or notes that it does not exist.
    fn require(&mut self, uid: &EntityUid, missing: fn(EntityUid) -> Missing) -> bool {
        let asserted = [&self.query.principal, &self.query.resource].into_iter().find(|party| party.uid() == uid);
        if let Some(EntityInput::Asserted(data)) = asserted {
            self.entities.insert(uid.clone(), Arc::new(data.clone()));
            return true;
        }
        if self.is_enumerated(uid) {
            return false;
        }
        let stored = self.snapshot.vocabulary().source_of(uid.type_name()) == Some(EntitySource::Stored);
        match self.directory.entity(uid).filter(|_| stored) {
            Some(entity) => drop(self.entities.insert(uid.clone(), Arc::clone(entity))),
            None => self.miss(Some(missing(uid.clone()))),
        }
        self.entities.contains_key(uid)
    }

    /// Entities of an enumerated type exist by declaration and carry nothing.
    fn is_enumerated(&self, uid: &EntityUid) -> bool {
        let info = self.snapshot.vocabulary().entity_type(uid.type_name());
        info.and_then(|info| info.enumerated.as_ref()).is_some_and(|ids| ids.contains(uid.id().as_str()))
    }

    fn miss(&mut self, missing: Option<Missing>) {
        if self.missing.is_none() {
            self.missing = missing;
        }
    }

    fn with_ancestors(&self, uid: &EntityUid) -> BTreeSet<EntityUid> {
        let above = self.entities.get(uid).map(|entity| self.directory.ancestors(entity).0).unwrap_or_default();
        above.iter().map(|entity| entity.uid.clone()).chain([uid.clone()]).collect()
    }
}

struct Assignments<'a> {
    directory: &'a Directory,
    scope_type: Option<&'a TypeName>,
    now: Instant,
    roles: BTreeMap<EntityUid, Arc<EntityData>>,
}

impl Assignments<'_> {
    /// Whether principals of this type can hold what the grant confers.
    fn concerns(&self, grant: &Grant, may_hold: &BTreeSet<TypeName>) -> bool {
        match grant.conferred() {
            Conferred::Role { role, .. } => may_hold.contains(role.type_name()),
            Conferred::Scope(_) => self.scope_type.is_some_and(|scope| may_hold.contains(scope)),
        }
    }

    fn add(&mut self, grant: &Grant, facts: &mut Facts) {
        facts.next_change = facts.next_change.into_iter().chain(grant.term().next_change(self.now)).min();
        if !grant.term().in_force(self.now) {
            return;
        }
        let confers = match grant.conferred() {
            Conferred::Role { role, .. } => self.add_role(role, facts),
            Conferred::Scope(pattern) => {
                let covered = self.directory.scopes().iter().filter(|scope| pattern.covers(&scope.name));
                let covered: Vec<_> = covered.map(|scope| (scope.name.clone(), scope.action_group.clone())).collect();
                let uids = covered.iter().filter_map(|(name, _)| self.scope_uid(name)).collect();
                facts.scopes.extend(covered);
                uids
            }
        };
        if !confers.is_empty() {
            facts.grants.push(GrantInForce { id: grant.id().clone(), confers });
        }
    }

    fn add_role(&mut self, role: &EntityUid, facts: &mut Facts) -> BTreeSet<EntityUid> {
        let Some(entity) = self.directory.entity(role) else {
            return BTreeSet::new();
        };
        facts.direct_roles.insert(role.clone());
        let (mut held, _) = self.directory.ancestors(entity);
        held.push(Arc::clone(entity));
        let confers = held.iter().map(|role| role.uid.clone()).collect();
        self.roles.extend(held.into_iter().map(|role| (role.uid.clone(), role)));
        confers
    }

    fn scope_uid(&self, name: &ScopeName) -> Option<EntityUid> {
        EntityUid::from_parts(self.scope_type?.as_str(), name.as_str()).ok()
    }
}

/// `context.facts` for actions that declare it.
fn supplied(query: &Query, snapshot: &Snapshot, now: Instant, age: Span) -> Option<Record> {
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
