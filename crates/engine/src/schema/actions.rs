//! Actions: their groups, the types they apply to, and the facts their context declares.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy_core::validator::types::Type;
use magistrate_model::{ActionUid, DurabilityClass, EntityUid, TypeName, UnknownClass};
use serde_json::Value as Json;

use super::{FACTS, Reading, annotation, carries_assigned, declared, qualified};
use crate::entity_types::{ActionInfo, EntityTypeInfo};
use crate::finding::Rule;

impl Reading<'_> {
    pub(super) fn actions(&mut self, types: &BTreeMap<TypeName, EntityTypeInfo>) -> BTreeMap<ActionUid, ActionInfo> {
        let groups = self.action_groups();
        let mut actions = BTreeMap::new();
        for (namespace, id, json) in declared(self.json, "actions") {
            let type_name = qualified(&namespace, "Action");
            let uid = EntityUid::from_parts(&type_name, &id).and_then(ActionUid::new);
            match uid {
                Ok(uid) => {
                    let info = self.action(&uid, json, &groups, types);
                    actions.insert(uid, info);
                }
                Err(why) => self.refuse(&id, Rule::Model, why.to_string(), "rename the action"),
            }
        }
        actions
    }

    fn action(
        &mut self,
        uid: &ActionUid,
        json: &Json,
        groups: &BTreeMap<String, BTreeSet<EntityUid>>,
        types: &BTreeMap<TypeName, EntityTypeInfo>,
    ) -> ActionInfo {
        let declares_facts = self.declares_facts(uid);
        self.check_context(uid, types);
        let class = annotation(json, "audit").map(str::parse).transpose().unwrap_or_else(|why: UnknownClass| {
            self.refuse(uid.id(), Rule::Annotation, why.to_string(), "correct `@audit`");
            None
        });
        let core = uid.to_string().parse().ok().and_then(|core| self.core.get_action_id(&core));
        let names = |types: Vec<String>| types.iter().filter_map(|name| TypeName::new(name).ok()).collect();
        let principals: BTreeSet<TypeName> =
            names(core.map(|action| action.principals().map(ToString::to_string).collect()).unwrap_or_default());
        let resources: BTreeSet<TypeName> =
            names(core.map(|action| action.resources().map(ToString::to_string).collect()).unwrap_or_default());
        for party in principals.iter().chain(&resources) {
            if types.get(party).is_some_and(|info| info.source.is_assigned()) {
                let message =
                    format!("the action `{}` applies to `{party}`, which exists only through assignments", uid.id());
                self.refuse(uid.id(), Rule::Model, message, "apply actions to principals and resources");
            }
        }
        let mut own = groups.get(&uid.to_string()).cloned().unwrap_or_default();
        own.insert(uid.uid().clone());
        ActionInfo {
            groups: own,
            principals,
            resources,
            declares_facts,
            class: class.unwrap_or(DurabilityClass::Process),
        }
    }

    /// Groups of every action, transitively, by the action's text.
    fn action_groups(&self) -> BTreeMap<String, BTreeSet<EntityUid>> {
        let Ok(entities) = self.core.action_entities() else {
            return BTreeMap::new();
        };
        let ours = |uid: &cedar_policy_core::ast::EntityUID| {
            EntityUid::from_parts(&uid.entity_type().to_string(), AsRef::<str>::as_ref(uid.eid())).ok()
        };
        let groups = entities.iter().filter_map(|action| {
            Some((ours(action.uid())?.to_string(), action.ancestors().filter_map(ours).collect()))
        });
        groups.collect()
    }

    /// Told by the context's resolved type, however the text came to it.
    fn declares_facts(&mut self, uid: &ActionUid) -> bool {
        let context = uid.to_string().parse().ok().and_then(|core| self.core.context_type(&core));
        let Some(Type::Record { attrs, .. }) = context else { return false };
        let Some(declared) = attrs.get_attr(FACTS) else { return false };
        if !declared.is_required || Some(declared.attr_type.as_ref()) != self.facts.as_ref() {
            let message = format!("the context of `{}` declares `{FACTS}` as something of its own", uid.id());
            self.refuse(uid.id(), Rule::Reserved, message, "the name is reserved: declare `facts: Magistrate::Facts`");
        }
        true
    }

    fn check_context(&mut self, uid: &ActionUid, types: &BTreeMap<TypeName, EntityTypeInfo>) {
        let context = uid.to_string().parse().ok().and_then(|core| self.core.context_type(&core));
        if context.is_some_and(|context| carries_assigned(context, types)) {
            let message = format!("the context of `{}` carries a role or scope", uid.id());
            self.refuse(uid.id(), Rule::Model, message, "roles and scopes exist only through assignments");
        }
    }
}
