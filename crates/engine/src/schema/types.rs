//! Entity types: where their entities come from, and what roles and scopes must not touch.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy_core::validator::ValidatorEntityType;
use magistrate_model::TypeName;
use serde_json::Value as Json;

use super::{Reading, annotation, carries_assigned};
use crate::entity_types::{EntitySource, EntityTypeInfo};
use crate::finding::Rule;

impl Reading<'_> {
    pub(super) fn entity_type(&mut self, name: &str, base: &str, json: &Json) -> Option<(TypeName, EntityTypeInfo)> {
        let source = self.entity_source(name, base, annotation(json, "source"));
        let scopes = annotation(json, "scopes");
        if let Some(other) = scopes.filter(|value| *value != "required") {
            let message = format!("`@scopes(\"{other}\")` on `{name}` says nothing we know");
            self.refuse(base, Rule::Annotation, message, "write `@scopes(\"required\")` or leave it out");
        }
        let enumerated = json.get("enum").and_then(Json::as_array);
        let enumerated = enumerated.map(|ids| ids.iter().filter_map(Json::as_str).map(str::to_owned).collect());
        let name = TypeName::new(name).ok()?;
        let scopes_required = scopes.is_some();
        Some((
            name,
            EntityTypeInfo {
                source,
                scopes_required,
                member_of: BTreeSet::new(),
                may_hold: BTreeSet::new(),
                enumerated,
            },
        ))
    }

    fn entity_source(&mut self, name: &str, base: &str, annotation: Option<&str>) -> EntitySource {
        match annotation.map(|value| (value, EntitySource::named(value))) {
            Some((_, Some(source))) => source,
            Some((value, None)) => {
                let message = format!("`@source(\"{value}\")` on `{name}` names no source");
                self.refuse(base, Rule::Annotation, message, "write stored, asserted, token, role or scope");
                EntitySource::Stored
            }
            None => {
                let message = format!("`{name}` does not say where its entities come from");
                self.refuse(
                    base,
                    Rule::Model,
                    message,
                    "put `@source(\"stored\")` (or asserted, token, role, scope) before it",
                );
                EntitySource::Stored
            }
        }
    }

    fn core_type(&self, name: &TypeName) -> Option<&ValidatorEntityType> {
        self.core.get_entity_type(&name.as_str().parse().ok()?)
    }

    pub(super) fn note_memberships(&self, types: &mut BTreeMap<TypeName, EntityTypeInfo>) {
        let names: Vec<(TypeName, EntitySource)> =
            types.iter().map(|(name, info)| (name.clone(), info.source)).collect();
        for (member, info) in types.iter_mut() {
            let above = names.iter().filter(|(ancestor, _)| self.may_be_in(member, ancestor));
            for (ancestor, source) in above {
                info.member_of.insert(ancestor.clone());
                if source.is_assigned() {
                    info.may_hold.insert(ancestor.clone());
                }
            }
        }
    }

    fn may_be_in(&self, member: &TypeName, ancestor: &TypeName) -> bool {
        let member: Option<cedar_policy_core::ast::EntityType> = member.as_str().parse().ok();
        self.core_type(ancestor).zip(member).is_some_and(|(core, member)| core.has_descendant_entity_type(&member))
    }

    pub(super) fn check_assigned_types(&mut self, types: &BTreeMap<TypeName, EntityTypeInfo>) {
        let scopes: Vec<_> = types.iter().filter(|(_, info)| info.source == EntitySource::Scope).collect();
        if let Some((second, _)) = scopes.get(1) {
            let message = format!("`{second}` is a second scope type");
            self.refuse(second.base(), Rule::Model, message, "scope names are one catalogue: keep one scope type");
        }
        for (name, info) in types {
            if info.source.is_assigned() {
                self.check_assigned_type(name, info.source, types);
            }
            self.check_no_assigned_attribute(name, types);
        }
    }

    fn check_assigned_type(
        &mut self,
        name: &TypeName,
        source: EntitySource,
        types: &BTreeMap<TypeName, EntityTypeInfo>,
    ) {
        let kind = source.name();
        let has_attributes = self.core_type(name).is_some_and(|core| core.attributes().iter().next().is_some());
        if has_attributes {
            let message = format!("the {kind} type `{name}` has attributes");
            self.refuse(
                name.base(),
                Rule::Model,
                message,
                "roles and scopes exist only through assignments and carry none",
            );
        }
        for (other, info) in types {
            let allowed = source == EntitySource::Role && info.source == EntitySource::Role;
            if !allowed && other != name && self.may_be_in(name, other) {
                let message = format!("the {kind} type `{name}` may be a member of `{other}`");
                self.refuse(name.base(), Rule::Model, message, "holding a role must only ever add roles");
            }
        }
    }

    /// Roles and scopes reach a policy only as literals after `principal in`: no attribute may carry one.
    fn check_no_assigned_attribute(&mut self, name: &TypeName, types: &BTreeMap<TypeName, EntityTypeInfo>) {
        let Some(core) = self.core_type(name) else { return };
        let tagged = core.tag_type().is_some();
        let carrying: Vec<String> = core
            .attributes()
            .iter()
            .filter(|(_, attribute)| carries_assigned(&attribute.attr_type, types))
            .map(|(attribute, _)| attribute.to_string())
            .collect();
        for attribute in carrying {
            let message = format!("the attribute `{attribute}` of `{name}` carries a role or scope");
            self.refuse(name.base(), Rule::Model, message, "roles and scopes exist only through assignments");
        }
        if tagged {
            let message = format!("`{name}` declares tags, which entities cannot carry yet");
            self.refuse(name.base(), Rule::Model, message, "use attributes");
        }
    }
}
