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
        let mut above: BTreeMap<String, BTreeSet<(TypeName, EntitySource)>> = BTreeMap::new();
        for (ancestor, info) in types.iter() {
            for member in self.members(ancestor) {
                above.entry(member).or_default().insert((ancestor.clone(), info.source));
            }
        }
        for (member, info) in types.iter_mut() {
            let above = above.remove(member.as_str()).unwrap_or_default();
            info.may_hold =
                above.iter().filter(|(_, source)| source.is_assigned()).map(|(name, _)| name.clone()).collect();
            info.member_of = above.into_iter().map(|(name, _)| name).collect();
        }
    }

    /// Types that may be members of a type, directly or through others.
    fn members(&self, ancestor: &TypeName) -> BTreeSet<String> {
        let core = self.core_type(ancestor);
        let types = core
            .into_iter()
            .flat_map(|core| self.core.entity_type_names().filter(move |name| core.has_descendant_entity_type(name)));
        types.map(ToString::to_string).collect()
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
        let above = types.get(name).into_iter().flat_map(|info| &info.member_of).filter(|other| *other != name);
        for other in above {
            let role = types.get(other).is_some_and(|info| info.source == EntitySource::Role);
            if source != EntitySource::Role || !role {
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
