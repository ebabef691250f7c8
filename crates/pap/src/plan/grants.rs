//! Planning scopes and grants.

use std::collections::{BTreeSet, HashMap};

use magistrate_engine::Vocabulary;
use magistrate_model::{
    ActionUid, Change, Conferred, EntityUid, Grant, GrantId, Instant, InvalidGrant, InvalidScope, InvalidUid,
    ScopeDeclaration, ScopeName, ScopePattern, Term, TypeName,
};

use super::names::derived_ids;
use super::{Planning, role_uid};
use crate::data::{GrantText, Located, ScopeText};

impl Planning<'_> {
    pub(super) fn scopes(&mut self, scopes: Vec<Located<ScopeText>>) {
        let mut seen = HashMap::new();
        for Located { place, item } in scopes {
            self.check_once(&mut seen, &place, &item.scope);
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
        let name: ScopeName = text.scope.parse().map_err(|e: InvalidScope| e.to_string())?;
        let group: EntityUid = text.action_group.parse().map_err(|e: InvalidUid| e.to_string())?;
        let action_group = ActionUid::new(group).map_err(|e| e.to_string())?;
        match self.vocabulary.action(&action_group) {
            Some(_) => Ok(ScopeDeclaration { name, action_group, description: text.description.clone() }),
            None => Err(format!("`{action_group}` is not an action or action group of the schema")),
        }
    }

    pub(super) fn grants(&mut self, grants: Vec<Located<GrantText>>) {
        let ids = derived_ids(self.vocabulary, grants.iter().map(|located| &located.item));
        let mut seen = HashMap::new();
        for (Located { place, item }, id) in grants.into_iter().zip(ids) {
            self.check_once(&mut seen, &place, &id);
            match self.grant(&item, &id) {
                Ok(grant) if !place.is_empty() && self.keeps_its_term(&grant, &item) => self.plan.unchanged += 1,
                Ok(grant) if place.is_empty() && self.known.grants.get(grant.id()).is_some_and(|it| *it != grant) => {
                    self.refuse(&place, format!("the grant `{id}` exists; revoke it first, or choose another id"));
                }
                Ok(grant) => self.put_grant(grant),
                Err(why) => self.refuse(&place, why),
            }
        }
    }

    /// Whether the grant is there and differs only by relative times that are taken anew: that would renew
    /// whatever is imported again. What takes access away always counts: an end that comes sooner than the
    /// one that is there, a beginning put off once it has begun. A command line is not taken for an import.
    fn keeps_its_term(&self, grant: &Grant, text: &GrantText) -> bool {
        let relative = |time: &Option<String>| time.as_ref().is_some_and(|time| time.starts_with(['+', '-']));
        let Some(known) = self.known.grants.get(grant.id()) else {
            return false;
        };
        let same = known.holder() == grant.holder()
            && known.conferred() == grant.conferred()
            && known.reason() == grant.reason();
        let (before, after) = (known.term(), grant.term());
        let begins = match relative(&text.not_before) {
            // What has begun does not go back to pending unless that is said.
            true => before
                .not_before()
                .is_some_and(|known| known > self.now || after.not_before().is_none_or(|begin| begin <= self.now)),
            false => before.not_before() == after.not_before(),
        };
        let ends = match relative(&text.expires_at) {
            true => before.expires_at().is_some_and(|end| after.expires_at().is_some_and(|later| later >= end)),
            false => before.expires_at() == after.expires_at(),
        };
        same && begins && ends
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
        let id: GrantId = id.parse().map_err(|e: InvalidGrant| e.to_string())?;
        Grant::new(id, text.holder.clone(), conferred, term, &text.reason).map_err(|e| e.to_string())
    }

    fn conferred(&self, text: &GrantText) -> Result<Conferred, String> {
        match (&text.role, &text.scope) {
            (Some(role), None) => {
                let role = role_uid(self.vocabulary, role)?;
                if !self.known.entities.contains_key(&role) {
                    return Err(format!("the role `{role}` does not exist; declare it with `magistrate role put`"));
                }
                text.resource.as_ref().map_or(Ok(()), |resource| self.check_resource(resource))?;
                Ok(Conferred::Role { role, resource: text.resource.clone() })
            }
            (None, Some(scope)) => {
                if text.resource.is_some() {
                    return Err("a scope is not held on a resource; leave the resource out, or grant a role".to_owned());
                }
                let pattern: ScopePattern = scope.parse().map_err(|e: InvalidScope| e.to_string())?;
                match self.known.scopes.keys().any(|name| pattern.covers(name)) {
                    true => Ok(Conferred::Scope(pattern)),
                    false => {
                        Err(format!("no declared scope matches `{pattern}`; declare it with `magistrate scope put`"))
                    }
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
        if !self.vocabulary.actions().flat_map(|(_, action)| &action.resources).any(reaches) {
            return Err(format!("no action applies to `{}` or to anything below it", resource.type_name()));
        }
        match self.exists(resource) {
            true => Ok(()),
            false => Err(format!("the resource `{resource}` does not exist")),
        }
    }

    fn check_holder(&self, holder: &EntityUid, conferred: &Conferred) -> Result<(), String> {
        check_may_hold(self.vocabulary, holder, conferred)?;
        match self.exists(holder) {
            true => Ok(()),
            false => Err(format!("the holder `{holder}` does not exist; put it first or in the same import")),
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

/// Accepts a holder that is, or is above, a principal which the schema lets be a member of what is conferred.
pub(crate) fn check_may_hold(vocabulary: &Vocabulary, holder: &EntityUid, conferred: &Conferred) -> Result<(), String> {
    let wanted = match conferred {
        Conferred::Role { role, .. } => Some(role.type_name()),
        Conferred::Scope(_) => vocabulary.scope_type(),
    };
    let principals: BTreeSet<&TypeName> = vocabulary.actions().flat_map(|(_, action)| &action.principals).collect();
    let reaches = principals.into_iter().any(|principal| {
        let Some(info) = vocabulary.entity_type(principal) else {
            return false;
        };
        let holds = wanted.is_some_and(|wanted| info.may_hold.contains(wanted));
        holds && (principal == holder.type_name() || info.member_of.contains(holder.type_name()))
    });
    let wanted = wanted.map_or("scopes", TypeName::as_str);
    match reaches {
        true => Ok(()),
        false => Err(format!(
            "neither a `{}` nor a principal below it can be a member of `{wanted}` by the schema",
            holder.type_name()
        )),
    }
}
