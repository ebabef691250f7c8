//! From input to changes: everything is checked together before anything is written.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use magistrate_engine::{EntitySource, Snapshot, Vocabulary};
use magistrate_model::{
    ActionUid, Change, Conferred, EntityData, EntityUid, Grant, GrantId, Instant, Record, ScopeDeclaration, ScopeName,
    ScopePattern, Term, TypeName,
};

use crate::data::{Data, GrantText, Located, RoleText, ScopeText};
use crate::problem::Problem;

/// What exists already, as far as the input touches it.
#[derive(Debug, Clone, Default)]
pub struct Known {
    /// Entities and roles, with all their ancestors.
    pub entities: HashMap<EntityUid, EntityData>,
    /// The scope catalogue.
    pub scopes: BTreeMap<ScopeName, ScopeDeclaration>,
    /// Grants by id.
    pub grants: HashMap<GrantId, Grant>,
}

/// The changes that bring about what the input says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// The changes, in an order that can be applied.
    pub changes: Vec<Change>,
    /// Items that did not exist.
    pub added: usize,
    /// Items that exist and differ.
    pub updated: usize,
    /// Items that exist as given.
    pub unchanged: usize,
}

/// Plans a put of `data`: idempotent, an item that is there as given needs no change.
pub fn plan(snapshot: &Snapshot, known: &Known, data: Data, now: Instant) -> Result<Plan, Vec<Problem>> {
    let mut planning = Planning {
        snapshot,
        vocabulary: snapshot.vocabulary(),
        known: known.clone(),
        now,
        plan: Plan::default(),
        problems: Vec::new(),
    };
    let entities = planning.entities(data.entities, data.roles);
    planning.check_hierarchy(&entities);
    planning.scopes(data.scopes);
    planning.grants(data.grants);
    match planning.problems {
        problems if problems.is_empty() => Ok(planning.plan),
        problems => Err(problems),
    }
}

/// The uid of a role given as a bare id or in full.
pub fn role_uid(vocabulary: &Vocabulary, text: &str) -> Result<EntityUid, String> {
    let types: Vec<&TypeName> = vocabulary.role_types().collect();
    if text.contains("::") {
        let uid = EntityUid::parse_shorthand(text).map_err(|e| e.to_string())?;
        return match types.contains(&uid.type_name()) {
            true => Ok(uid),
            false => Err(format!(
                "`{uid}` is not a role: its type must be annotated `@source(\"role\")` in the schema"
            )),
        };
    }
    match types.as_slice() {
        [only] => EntityUid::from_parts(only.as_str(), text).map_err(|e| e.to_string()),
        [] => Err("the schema has no role type; annotate one with `@source(\"role\")`".to_owned()),
        _ => Err(format!(
            "the schema has several role types; write the role in full, such as `{}::\"{text}\"`",
            types.first().map_or("", |t| t.as_str())
        )),
    }
}

impl Data {
    /// Every entity the input names: what must be looked up before planning.
    pub fn names(&self, vocabulary: &Vocabulary) -> BTreeSet<EntityUid> {
        let mut names = BTreeSet::new();
        for entity in self.entities.iter().map(|located| &located.item) {
            names.insert(entity.uid.clone());
            names.extend(entity.parents.iter().cloned());
            entity.each_reference(&mut |uid| names.extend([uid.clone()]));
        }
        let roles = self
            .roles
            .iter()
            .flat_map(|located| located.item.parents.iter().chain([&located.item.role]));
        let granted = self.grants.iter().filter_map(|located| located.item.role.as_ref());
        names.extend(roles.chain(granted).filter_map(|text| role_uid(vocabulary, text).ok()));
        for grant in self.grants.iter().map(|located| &located.item) {
            names.insert(grant.holder.clone());
            names.extend(grant.resource.clone());
        }
        names
    }

    /// The ids of the grants the input gives or implies.
    pub fn grant_ids(&self) -> BTreeSet<GrantId> {
        let texts = self.grants.iter().map(|located| &located.item);
        derived_ids(texts)
            .into_iter()
            .filter_map(|id| id.parse().ok())
            .collect()
    }
}

struct Planning<'a> {
    snapshot: &'a Snapshot,
    vocabulary: &'a Vocabulary,
    known: Known,
    now: Instant,
    plan: Plan,
    problems: Vec<Problem>,
}

impl Planning<'_> {
    fn refuse(&mut self, place: &str, what: impl Into<String>) {
        self.problems.push(Problem {
            place: place.to_owned(),
            what: what.into(),
        });
    }

    /// Checks entities and roles against the schema and notes what changes; returns those put.
    fn entities(
        &mut self,
        entities: Vec<Located<EntityData>>,
        roles: Vec<Located<RoleText>>,
    ) -> Vec<Located<EntityData>> {
        let mut put = Vec::new();
        for located in entities {
            put.extend(self.stored_entity(located));
        }
        for located in roles {
            put.extend(self.role(located));
        }
        let mut seen = HashMap::new();
        for Located { place, item } in &put {
            if let Some(first) = seen.insert(item.uid.clone(), place.clone()) {
                self.refuse(place, format!("`{}` stands twice, first at {first}", item.uid));
            }
            match self.known.entities.insert(item.uid.clone(), item.clone()) {
                Some(before) if before == *item => self.plan.unchanged += 1,
                Some(_) => self.change(Change::PutEntity(item.clone()), true),
                None => self.change(Change::PutEntity(item.clone()), false),
            }
        }
        put
    }

    fn change(&mut self, change: Change, exists: bool) {
        if exists {
            self.plan.updated += 1;
        } else {
            self.plan.added += 1;
        }
        self.plan.changes.push(change);
    }

    fn stored_entity(&mut self, located: Located<EntityData>) -> Option<Located<EntityData>> {
        let Located { place, item } = located;
        let uid = item.uid.clone();
        match self.vocabulary.source_of(uid.type_name()) {
            Some(EntitySource::Stored) | None => {}
            Some(EntitySource::Role) => {
                self.refuse(&place, format!("`{uid}` is a role; use `magistrate role put`"));
                return None;
            }
            Some(source) => {
                self.refuse(
                    &place,
                    format!("entities of `{}` are {}, not stored", uid.type_name(), source.name()),
                );
                return None;
            }
        }
        if let Some(parent) = item.parents.iter().find(|parent| self.is_assigned(parent)) {
            self.refuse(&place, format!("`{uid}` cannot have the parent `{parent}`: roles and scopes are granted, use `magistrate grant add`"));
            return None;
        }
        if let Err(why) = magistrate_model::Bounds::REQUEST.check("an entity's attributes", &item.attributes) {
            self.refuse(&place, why.to_string());
            return None;
        }
        match self.snapshot.typed_entity(item) {
            Ok(item) => Some(Located { place, item }),
            Err(violations) => {
                for violation in violations {
                    self.refuse(
                        &place,
                        format!("`{uid}`: `{}` {}", violation.field, violation.description),
                    );
                }
                None
            }
        }
    }

    fn is_assigned(&self, uid: &EntityUid) -> bool {
        self.vocabulary
            .source_of(uid.type_name())
            .is_some_and(EntitySource::is_assigned)
    }

    fn role(&mut self, located: Located<RoleText>) -> Option<Located<EntityData>> {
        let Located { place, item } = located;
        let uid = role_uid(self.vocabulary, &item.role);
        let parents: Result<BTreeSet<_>, _> = item
            .parents
            .iter()
            .map(|parent| role_uid(self.vocabulary, parent))
            .collect();
        let typed = uid.and_then(|uid| {
            Ok(EntityData {
                uid,
                attributes: Record::new(),
                parents: parents?,
            })
        });
        let typed = typed.and_then(|role| {
            self.snapshot.typed_entity(role).map_err(|violations| {
                violations
                    .iter()
                    .map(|violation| violation.description.as_str())
                    .collect::<Vec<_>>()
                    .join("; ")
            })
        });
        match typed {
            Ok(item) => Some(Located { place, item }),
            Err(why) => {
                self.refuse(&place, why);
                None
            }
        }
    }

    /// Every parent and reference exists, and nobody is above itself.
    fn check_hierarchy(&mut self, put: &[Located<EntityData>]) {
        for Located { place, item } in put {
            let mut named: BTreeSet<&EntityUid> = item.parents.iter().collect();
            item.each_reference(&mut |uid| named.extend([uid]));
            let absent: Vec<&EntityUid> = named.into_iter().filter(|uid| !self.exists(uid)).collect();
            for uid in absent {
                self.refuse(
                    place,
                    format!(
                        "`{}` names `{uid}`, which does not exist; put it first or in the same import",
                        item.uid
                    ),
                );
            }
            if self.is_above_itself(item) {
                self.refuse(
                    place,
                    format!("`{}` would be a member of itself through its parents", item.uid),
                );
            }
        }
    }

    /// Whether an entity is there, or is of a kind that is not kept here.
    fn exists(&self, uid: &EntityUid) -> bool {
        let Some(info) = self.vocabulary.entity_type(uid.type_name()) else {
            return false;
        };
        match (info.source, &info.enumerated) {
            (_, Some(ids)) => ids.contains(uid.id().as_str()),
            (EntitySource::Stored | EntitySource::Role, None) => self.known.entities.contains_key(uid),
            (EntitySource::Asserted | EntitySource::Token | EntitySource::Scope, None) => true,
        }
    }

    fn is_above_itself(&self, entity: &EntityData) -> bool {
        let mut seen = HashSet::new();
        let mut pending: Vec<&EntityUid> = entity.parents.iter().collect();
        while let Some(uid) = pending.pop() {
            if *uid == entity.uid {
                return true;
            }
            if seen.insert(uid) {
                pending.extend(
                    self.known
                        .entities
                        .get(uid)
                        .into_iter()
                        .flat_map(|above| &above.parents),
                );
            }
        }
        false
    }

    fn scopes(&mut self, scopes: Vec<Located<ScopeText>>) {
        for Located { place, item } in scopes {
            match self.scope(&item) {
                Ok(scope) => match self.known.scopes.insert(scope.name.clone(), scope.clone()) {
                    Some(before) if before == scope => self.plan.unchanged += 1,
                    before => self.change(Change::PutScope(scope), before.is_some()),
                },
                Err(why) => self.refuse(&place, why),
            }
        }
    }

    fn scope(&self, text: &ScopeText) -> Result<ScopeDeclaration, String> {
        if self.vocabulary.scope_type().is_none() {
            return Err("the schema has no scope type; annotate one with `@source(\"scope\")`".to_owned());
        }
        let name: ScopeName = text
            .scope
            .parse()
            .map_err(|e: magistrate_model::InvalidScope| e.to_string())?;
        let group: EntityUid = text
            .action_group
            .parse()
            .map_err(|e: magistrate_model::InvalidUid| e.to_string())?;
        let action_group = ActionUid::new(group).map_err(|e| e.to_string())?;
        match self.vocabulary.action(&action_group) {
            Some(_) => Ok(ScopeDeclaration {
                name,
                action_group,
                description: text.description.clone(),
            }),
            None => Err(format!(
                "`{action_group}` is not an action or action group of the schema"
            )),
        }
    }

    fn grants(&mut self, grants: Vec<Located<GrantText>>) {
        let ids = derived_ids(grants.iter().map(|located| &located.item));
        for (Located { place, item }, id) in grants.into_iter().zip(ids) {
            match self.grant(&item, &id) {
                Ok(grant) => self.put_grant(grant),
                Err(why) => self.refuse(&place, why),
            }
        }
    }

    fn put_grant(&mut self, grant: Grant) {
        match self.known.grants.insert(grant.id().clone(), grant.clone()) {
            Some(before) if before == grant => self.plan.unchanged += 1,
            Some(before) => {
                self.plan.changes.push(Change::RevokeGrant(before.id().clone()));
                self.change(Change::AddGrant(grant), true);
            }
            None => self.change(Change::AddGrant(grant), false),
        }
    }

    fn grant(&self, text: &GrantText, id: &str) -> Result<Grant, String> {
        let conferred = self.conferred(text)?;
        self.check_holder(&text.holder, &conferred)?;
        let term = self.term(text)?;
        let id: GrantId = id.parse().map_err(|e: magistrate_model::InvalidGrant| e.to_string())?;
        Grant::new(id, text.holder.clone(), conferred, term, &text.reason).map_err(|e| e.to_string())
    }

    fn conferred(&self, text: &GrantText) -> Result<Conferred, String> {
        match (&text.role, &text.scope) {
            (Some(role), None) => {
                let role = role_uid(self.vocabulary, role)?;
                if !self.known.entities.contains_key(&role) {
                    return Err(format!(
                        "the role `{role}` does not exist; declare it with `magistrate role put`"
                    ));
                }
                text.resource
                    .as_ref()
                    .map_or(Ok(()), |resource| self.check_resource(resource))?;
                Ok(Conferred::Role {
                    role,
                    resource: text.resource.clone(),
                })
            }
            (None, Some(scope)) => {
                if text.resource.is_some() {
                    return Err(
                        "a scope is not held on a resource; leave the resource out, or grant a role".to_owned(),
                    );
                }
                let pattern: ScopePattern = scope
                    .parse()
                    .map_err(|e: magistrate_model::InvalidScope| e.to_string())?;
                match self.known.scopes.keys().any(|name| pattern.covers(name)) {
                    true => Ok(Conferred::Scope(pattern)),
                    false => Err(format!(
                        "no declared scope matches `{pattern}`; declare it with `magistrate scope put`"
                    )),
                }
            }
            (None, None) | (Some(_), Some(_)) => {
                Err("a grant confers a role or a scope: give exactly one of the two".to_owned())
            }
        }
    }

    fn check_resource(&self, resource: &EntityUid) -> Result<(), String> {
        let reaches = |t: &TypeName| {
            let info = self.vocabulary.entity_type(t);
            t == resource.type_name() || info.is_some_and(|info| info.member_of.contains(resource.type_name()))
        };
        if !self
            .vocabulary
            .actions()
            .flat_map(|(_, action)| &action.resources)
            .any(reaches)
        {
            return Err(format!(
                "no action applies to `{}` or to anything below it",
                resource.type_name()
            ));
        }
        match self.exists(resource) {
            true => Ok(()),
            false => Err(format!("the resource `{resource}` does not exist")),
        }
    }

    fn check_holder(&self, holder: &EntityUid, conferred: &Conferred) -> Result<(), String> {
        let wanted = match conferred {
            Conferred::Role { role, .. } => Some(role.type_name()),
            Conferred::Scope(_) => self.vocabulary.scope_type(),
        };
        let principals: BTreeSet<&TypeName> = self
            .vocabulary
            .actions()
            .flat_map(|(_, action)| &action.principals)
            .collect();
        let reaches = principals.into_iter().any(|principal| {
            let Some(info) = self.vocabulary.entity_type(principal) else {
                return false;
            };
            let holds = wanted.is_some_and(|wanted| info.may_hold.contains(wanted));
            holds && (principal == holder.type_name() || info.member_of.contains(holder.type_name()))
        });
        if !reaches {
            let wanted = wanted.map_or("scopes", TypeName::as_str);
            return Err(format!(
                "neither a `{}` nor a principal below it can be a member of `{wanted}` by the schema",
                holder.type_name()
            ));
        }
        match self.exists(holder) {
            true => Ok(()),
            false => Err(format!(
                "the holder `{holder}` does not exist; put it first or in the same import"
            )),
        }
    }

    fn term(&self, text: &GrantText) -> Result<Term, String> {
        let instant = |text: &String| Instant::parse(text, self.now).map_err(|e| e.to_string());
        let not_before = text.not_before.as_ref().map(instant).transpose()?;
        match (&text.expires_at, text.standing) {
            (Some(end), false) => Term::until(not_before, instant(end)?).map_err(|e| e.to_string()),
            (None, true) => Ok(Term::standing(not_before)),
            (Some(_), true) => Err("a standing grant has no end; leave `expires_at` out, or `standing`".to_owned()),
            (None, false) => Err("a grant needs an end: give `expires_at`, such as `+90d`; a grant without one must be asked for with `standing`".to_owned()),
        }
    }
}

/// An id for each grant: the given one, else one derived from holder and what is conferred, so that the
/// same input names the same grants again. The second grant of the same to the same holder gets `-2`.
fn derived_ids<'a>(grants: impl Iterator<Item = &'a GrantText>) -> Vec<String> {
    let mut counts: HashMap<String, usize> = HashMap::new();
    let mut derive = |grant: &GrantText| {
        if let Some(id) = &grant.id {
            return id.clone();
        }
        let id = content_id(grant);
        let count = counts.entry(id.clone()).or_default();
        *count += 1;
        if *count == 1 { id } else { format!("{id}-{count}") }
    };
    grants.map(&mut derive).collect()
}

fn content_id(grant: &GrantText) -> String {
    use sha2::{Digest as _, Sha256};
    let mut hash = Sha256::new();
    let resource = grant.resource.as_ref().map(ToString::to_string);
    let parts = [
        Some(grant.holder.to_string()),
        grant.role.clone(),
        grant.scope.clone(),
        resource,
    ];
    for part in parts {
        let part = part.unwrap_or_default();
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let digest = hash.finalize();
    let head = digest
        .iter()
        .take(8)
        .fold(0_u64, |head, byte| head << 8 | u64::from(*byte));
    format!("g-{head:016x}")
}
