//! Actions: their groups, the types they apply to, and the facts their context declares.

use std::collections::{BTreeMap, BTreeSet};

use magistrate_model::{ActionUid, DurabilityClass, EntityUid, TypeName, UnknownClass};
use serde_json::Value as Json;

use super::{FACTS, Reading, annotation, carries_assigned, declared, qualified};
use crate::entity_types::{ActionInfo, EntityTypeInfo};
use crate::finding::Rule;

/// The type of the attribute that carries facts.
const FACTS_TYPE: &str = "Magistrate::Facts";

impl Reading<'_> {
    pub(super) fn actions(&mut self, types: &BTreeMap<TypeName, EntityTypeInfo>) -> BTreeMap<ActionUid, ActionInfo> {
        let groups = self.action_groups();
        let mut actions = BTreeMap::new();
        for (namespace, id, json) in declared(self.json, "actions") {
            let type_name = qualified(&namespace, "Action");
            let uid = EntityUid::from_parts(&type_name, &id).and_then(ActionUid::new);
            match uid {
                Ok(uid) => {
                    let info = self.action(&uid, json, &namespace, &groups, types);
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
        namespace: &str,
        groups: &BTreeMap<String, BTreeSet<EntityUid>>,
        types: &BTreeMap<TypeName, EntityTypeInfo>,
    ) -> ActionInfo {
        let declares_facts = self.declares_facts(uid, json, namespace);
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

    fn declares_facts(&mut self, uid: &ActionUid, json: &Json, namespace: &str) -> bool {
        let context = json.get("appliesTo").and_then(|applies| applies.get("context"));
        let Some(facts) = context.and_then(|context| self.attribute_type(context, namespace, FACTS)) else {
            return false;
        };
        let named = facts.get("name").or_else(|| facts.get("type")).and_then(Json::as_str);
        if named != Some(FACTS_TYPE) {
            let message = format!("the context of `{}` declares `{FACTS}` as something of its own", uid.id());
            self.refuse(uid.id(), Rule::Reserved, message, "the name is reserved: declare `facts: Magistrate::Facts`");
        }
        true
    }

    /// The JSON type of an attribute of a record type, followed through common types.
    fn attribute_type<'j>(&'j self, record: &'j Json, namespace: &str, attribute: &str) -> Option<&'j Json> {
        let mut record = record;
        for _ in 0..16 {
            if let Some(attributes) = record.get("attributes") {
                return attributes.get(attribute);
            }
            let name = record.get("name").or_else(|| record.get("type"))?.as_str()?;
            let (space, base) = name.rsplit_once("::").unwrap_or((namespace, name));
            let common = |space: &str| self.json.get(space)?.get("commonTypes")?.get(base);
            record = common(space).or_else(|| common(""))?;
        }
        None
    }

    fn check_context(&mut self, uid: &ActionUid, types: &BTreeMap<TypeName, EntityTypeInfo>) {
        let context = uid.to_string().parse().ok().and_then(|core| self.core.context_type(&core));
        if context.is_some_and(|context| carries_assigned(context, types)) {
            let message = format!("the context of `{}` carries a role or scope", uid.id());
            self.refuse(uid.id(), Rule::Model, message, "roles and scopes exist only through assignments");
        }
    }
}
