//! Planning entities and roles.

use std::collections::{BTreeSet, HashMap, HashSet};

use magistrate_engine::EntitySource;
use magistrate_model::{Bounds, Change, EntityData, EntityUid, Record};

use super::{Planning, role_uid};
use crate::data::{Located, RoleText};

impl Planning<'_> {
    /// Checks entities and roles against the schema and notes what changes; returns those put.
    pub(super) fn entities(
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
            self.check_once(&mut seen, place, &item.uid);
            match self.known.entities.insert(item.uid.clone(), item.clone()) {
                Some(before) if before == *item => self.plan.unchanged += 1,
                Some(_) => self.change(Change::PutEntity(item.clone()), true),
                None => self.change(Change::PutEntity(item.clone()), false),
            }
        }
        put
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
            Some(EntitySource::Scope) => {
                self.refuse(&place, format!("`{uid}` is a scope; use `magistrate scope put`"));
                return None;
            }
            Some(source @ (EntitySource::Asserted | EntitySource::Token)) => {
                self.refuse(&place, format!("entities of `{}` are {}, not stored", uid.type_name(), source.name()));
                return None;
            }
        }
        if let Some(parent) = item.parents.iter().find(|parent| self.is_assigned(parent)) {
            self.refuse(&place, format!("`{uid}` cannot have the parent `{parent}`: roles and scopes are granted, use `magistrate grant add`"));
            return None;
        }
        if let Err(why) = Bounds::REQUEST.check("an entity's attributes", &item.attributes) {
            self.refuse(&place, why.to_string());
            return None;
        }
        match self.snapshot.typed_entity(item) {
            Ok(item) => Some(Located { place, item }),
            Err(violations) => {
                for violation in violations {
                    self.refuse(&place, format!("`{uid}`: `{}` {}", violation.field, violation.description));
                }
                None
            }
        }
    }

    fn role(&mut self, located: Located<RoleText>) -> Option<Located<EntityData>> {
        let Located { place, item } = located;
        let uid = role_uid(self.vocabulary, &item.role);
        let parents: Result<BTreeSet<_>, _> =
            item.parents.iter().map(|parent| role_uid(self.vocabulary, parent)).collect();
        let typed = uid.and_then(|uid| Ok(EntityData { uid, attributes: Record::new(), parents: parents? }));
        let typed = typed.and_then(|role| {
            self.snapshot.typed_entity(role).map_err(|violations| {
                violations.iter().map(|violation| violation.description.as_str()).collect::<Vec<_>>().join("; ")
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
    pub(super) fn check_hierarchy(&mut self, put: &[Located<EntityData>]) {
        for Located { place, item } in put {
            let mut named: BTreeSet<&EntityUid> = item.parents.iter().collect();
            item.each_reference(&mut |uid| named.extend([uid]));
            let absent: Vec<&EntityUid> = named.into_iter().filter(|uid| !self.exists(uid)).collect();
            for uid in absent {
                self.refuse(
                    place,
                    format!("`{}` names `{uid}`, which does not exist; put it first or in the same import", item.uid),
                );
            }
            if !self.settled.hierarchy && self.is_above_itself(item) {
                self.refuse(place, format!("`{}` would be a member of itself through its parents", item.uid));
            }
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
                pending.extend(self.known.entities.get(uid).into_iter().flat_map(|above| &above.parents));
            }
        }
        false
    }
}
