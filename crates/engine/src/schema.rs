//! Parsing a schema and reading our model of entity sources out of it.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::{Schema, SchemaFragment};
use cedar_policy_core::validator::types::{EntityKind, Type};
use cedar_policy_core::validator::{ValidatorEntityType, ValidatorSchema};
use magistrate_model::{ActionUid, DurabilityClass, EntityUid, TypeName, UnknownClass};
use serde_json::Value as Json;

use crate::entity_types::{ActionInfo, EntitySource, EntityTypeInfo, Vocabulary};
use crate::finding::{Finding, Rule};
use crate::policy::finding_of;

/// The namespace that belongs to the product.
pub(crate) const RESERVED: &str = "Magistrate";
/// The context attribute that carries facts, and its type.
pub(crate) const FACTS: &str = "facts";
const FACTS_TYPE: &str = "Magistrate::Facts";
const FACTS_SCHEMA: &str = include_str!("facts.cedarschema");

/// A schema in every form it is needed in.
#[derive(Debug)]
pub(crate) struct ParsedSchema {
    pub(crate) cedar: Schema,
    pub(crate) json: Json,
    pub(crate) vocabulary: Vocabulary,
}

/// Parses a schema that the guard let through and checks it against our model.
pub(crate) fn parse(source: (&str, &str)) -> Result<ParsedSchema, Vec<Finding>> {
    let one = |e: &dyn miette::Diagnostic| vec![finding_of(source, Rule::Syntax, e)];
    let (fragment, warnings) = SchemaFragment::from_cedarschema_str(source.1).map_err(|e| one(&e))?;
    let warnings: Vec<Finding> = warnings
        .map(|warning| finding_of(source, Rule::Warning, &warning))
        .collect();
    if !warnings.is_empty() {
        return Err(warnings);
    }
    if fragment
        .namespaces()
        .flatten()
        .any(|namespace| is_reserved(&namespace.to_string()))
    {
        let message = format!("the namespace `{RESERVED}` belongs to the product");
        return Err(vec![Finding::at(
            source,
            place(source.1, RESERVED),
            Rule::Reserved,
            message,
            Some("rename it".into()),
        )]);
    }
    let json = fragment.clone().to_json_value().map_err(|e| one(&e))?;
    let facts = SchemaFragment::from_cedarschema_str(FACTS_SCHEMA)
        .map_err(|e| one(&e))?
        .0;
    let cedar = Schema::from_schema_fragments([fragment, facts]).map_err(|e| one(&e))?;
    let mut reading = Reading {
        source,
        json: &json,
        core: cedar.as_ref(),
        findings: Vec::new(),
    };
    let vocabulary = reading.vocabulary();
    match reading.findings {
        findings if findings.is_empty() => Ok(ParsedSchema {
            cedar,
            json,
            vocabulary,
        }),
        findings => Err(findings),
    }
}

fn is_reserved(namespace: &str) -> bool {
    namespace == RESERVED || namespace.starts_with("Magistrate::")
}

/// Where a declared name stands, as far as its text tells: its first whole word.
fn place(text: &str, name: &str) -> (usize, usize) {
    let bounded = |at: &usize| {
        let word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
        !word(text.get(..*at).and_then(|before| before.chars().last()))
            && !word(text.get(at + name.len()..).and_then(|after| after.chars().next()))
    };
    let at = text.match_indices(name).map(|(at, _)| at).find(bounded);
    (at.unwrap_or(0), at.map_or(1, |_| name.len()))
}

struct Reading<'a> {
    source: (&'a str, &'a str),
    json: &'a Json,
    core: &'a ValidatorSchema,
    findings: Vec<Finding>,
}

impl Reading<'_> {
    fn vocabulary(&mut self) -> Vocabulary {
        let mut types = BTreeMap::new();
        for (namespace, base, json) in declared(self.json, "entityTypes") {
            let name = qualified(&namespace, &base);
            if let Some((name, info)) = self.entity_type(&name, &base, json) {
                types.insert(name, info);
            }
        }
        self.check_assigned_types(&types);
        self.note_memberships(&mut types);
        let actions = self.actions(&types);
        Vocabulary { types, actions }
    }

    fn refuse(&mut self, name: &str, rule: Rule, message: String, help: &str) {
        let place = place(self.source.1, name);
        self.findings
            .push(Finding::at(self.source, place, rule, message, Some(help.to_owned())));
    }

    fn entity_type(&mut self, name: &str, base: &str, json: &Json) -> Option<(TypeName, EntityTypeInfo)> {
        let source = self.entity_source(name, base, annotation(json, "source"));
        let scopes = annotation(json, "scopes");
        if let Some(other) = scopes.filter(|value| *value != "required") {
            let message = format!("`@scopes(\"{other}\")` on `{name}` says nothing we know");
            self.refuse(
                base,
                Rule::Annotation,
                message,
                "write `@scopes(\"required\")` or leave it out",
            );
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
                self.refuse(
                    base,
                    Rule::Annotation,
                    message,
                    "write stored, asserted, token, role or scope",
                );
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

    fn note_memberships(&self, types: &mut BTreeMap<TypeName, EntityTypeInfo>) {
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
        self.core_type(ancestor)
            .zip(member)
            .is_some_and(|(core, member)| core.has_descendant_entity_type(&member))
    }

    fn check_assigned_types(&mut self, types: &BTreeMap<TypeName, EntityTypeInfo>) {
        let scopes: Vec<_> = types
            .iter()
            .filter(|(_, info)| info.source == EntitySource::Scope)
            .collect();
        if let Some((second, _)) = scopes.get(1) {
            let message = format!("`{second}` is a second scope type");
            self.refuse(
                second.base(),
                Rule::Model,
                message,
                "scope names are one catalogue: keep one scope type",
            );
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
        let has_attributes = self
            .core_type(name)
            .is_some_and(|core| core.attributes().iter().next().is_some());
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
                self.refuse(
                    name.base(),
                    Rule::Model,
                    message,
                    "holding a role must only ever add roles",
                );
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
            self.refuse(
                name.base(),
                Rule::Model,
                message,
                "roles and scopes exist only through assignments",
            );
        }
        if tagged {
            let message = format!("`{name}` declares tags, which entities cannot carry yet");
            self.refuse(name.base(), Rule::Model, message, "use attributes");
        }
    }

    fn actions(&mut self, types: &BTreeMap<TypeName, EntityTypeInfo>) -> BTreeMap<ActionUid, ActionInfo> {
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
        let class = annotation(json, "audit")
            .map(str::parse)
            .transpose()
            .unwrap_or_else(|why: UnknownClass| {
                self.refuse(uid.id(), Rule::Annotation, why.to_string(), "correct `@audit`");
                None
            });
        let core = uid
            .to_string()
            .parse()
            .ok()
            .and_then(|core| self.core.get_action_id(&core));
        let names = |types: Vec<String>| types.iter().filter_map(|name| TypeName::new(name).ok()).collect();
        let principals: BTreeSet<TypeName> = names(
            core.map(|action| action.principals().map(ToString::to_string).collect())
                .unwrap_or_default(),
        );
        let resources: BTreeSet<TypeName> = names(
            core.map(|action| action.resources().map(ToString::to_string).collect())
                .unwrap_or_default(),
        );
        for party in principals.iter().chain(&resources) {
            if types.get(party).is_some_and(|info| info.source.is_assigned()) {
                let message = format!(
                    "the action `{}` applies to `{party}`, which exists only through assignments",
                    uid.id()
                );
                self.refuse(
                    uid.id(),
                    Rule::Model,
                    message,
                    "apply actions to principals and resources",
                );
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
            Some((
                ours(action.uid())?.to_string(),
                action.ancestors().filter_map(ours).collect(),
            ))
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
            let message = format!(
                "the context of `{}` declares `{FACTS}` as something of its own",
                uid.id()
            );
            self.refuse(
                uid.id(),
                Rule::Reserved,
                message,
                "the name is reserved: declare `facts: Magistrate::Facts`",
            );
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
        let context = uid
            .to_string()
            .parse()
            .ok()
            .and_then(|core| self.core.context_type(&core));
        if context.is_some_and(|context| carries_assigned(context, types)) {
            let message = format!("the context of `{}` carries a role or scope", uid.id());
            self.refuse(
                uid.id(),
                Rule::Model,
                message,
                "roles and scopes exist only through assignments",
            );
        }
    }
}

fn carries_assigned(core: &Type, types: &BTreeMap<TypeName, EntityTypeInfo>) -> bool {
    match core {
        Type::Entity(EntityKind::Entity(lub)) => lub
            .get_single_entity()
            .and_then(|name| TypeName::new(&name.to_string()).ok())
            .is_some_and(|name| types.get(&name).is_some_and(|info| info.source.is_assigned())),
        Type::Set {
            element_type: Some(element),
        } => carries_assigned(element, types),
        Type::Record { attrs, .. } => attrs
            .iter()
            .any(|(_, attribute)| carries_assigned(&attribute.attr_type, types)),
        Type::Entity(EntityKind::AnyEntity)
        | Type::Set { element_type: None }
        | Type::Never
        | Type::Bool(_)
        | Type::Long
        | Type::String
        | Type::ExtensionType { .. } => false,
    }
}

/// Every declaration of one kind: (namespace, name, its JSON).
fn declared<'j>(schema: &'j Json, kind: &'static str) -> Vec<(String, String, &'j Json)> {
    let namespaces = schema.as_object().into_iter().flatten();
    let declarations = namespaces.flat_map(|(namespace, json)| {
        let kind = json.get(kind).and_then(Json::as_object).into_iter().flatten();
        kind.map(move |(name, json)| (namespace.clone(), name.clone(), json))
    });
    declarations.collect()
}

fn qualified(namespace: &str, base: &str) -> String {
    match namespace {
        "" => base.to_owned(),
        namespace => format!("{namespace}::{base}"),
    }
}

fn annotation<'j>(json: &'j Json, name: &str) -> Option<&'j str> {
    json.get("annotations")?.get(name)?.as_str()
}
