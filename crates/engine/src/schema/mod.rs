//! Parsing a schema and reading our model of entity sources out of it.

mod actions;
mod compiled;
mod expansion;
mod types;

use std::collections::BTreeMap;

use cedar_policy::{Schema, SchemaFragment};
use cedar_policy_core::validator::ValidatorSchema;
use cedar_policy_core::validator::types::{EntityKind, Type};
use magistrate_model::TypeName;
use serde_json::Value as Json;

use crate::entity_types::{EntityTypeInfo, Vocabulary};
use crate::finding::{Finding, Rule};
use crate::policy::finding_of;

pub(crate) use compiled::CompiledSchema;

/// The namespace that belongs to the product.
pub(crate) const RESERVED: &str = "Magistrate";
/// The context attribute that carries facts.
pub(crate) const FACTS: &str = "facts";
const FACTS_SCHEMA: &str = include_str!("../facts.cedarschema");

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
    let warnings: Vec<Finding> = warnings.map(|warning| finding_of(source, Rule::Warning, &warning)).collect();
    if !warnings.is_empty() {
        return Err(warnings);
    }
    if fragment.namespaces().flatten().any(|namespace| is_reserved(&namespace.to_string())) {
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
    expansion::check(source, &json)?;
    let facts = SchemaFragment::from_cedarschema_str(FACTS_SCHEMA).map_err(|e| one(&e))?.0;
    let cedar = Schema::from_schema_fragments([fragment, facts]).map_err(|e| one(&e))?;
    let mut reading = Reading { source, json: &json, core: cedar.as_ref(), facts: facts_type(), findings: Vec::new() };
    let vocabulary = reading.vocabulary();
    match reading.findings {
        findings if findings.is_empty() => Ok(ParsedSchema { cedar, json, vocabulary }),
        findings => Err(findings),
    }
}

/// The type Cedar gives `Magistrate::Facts`, read from a schema with nothing else in it.
fn facts_type() -> Option<Type> {
    let probe =
        "entity P; action probe appliesTo { principal: P, resource: P, context: { facts: Magistrate::Facts } };";
    let (schema, _) = Schema::from_cedarschema_str(&format!("{FACTS_SCHEMA}\n{probe}")).ok()?;
    let core: &ValidatorSchema = schema.as_ref();
    match core.context_type(&"Action::\"probe\"".parse().ok()?)? {
        Type::Record { attrs, .. } => attrs.get_attr(FACTS).map(|facts| facts.attr_type.as_ref().clone()),
        Type::Never
        | Type::Bool(_)
        | Type::Long
        | Type::String
        | Type::Entity(_)
        | Type::Set { .. }
        | Type::ExtensionType { .. } => None,
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
    /// The type of `Magistrate::Facts`.
    facts: Option<Type>,
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
        self.note_memberships(&mut types);
        self.check_assigned_types(&types);
        let actions = self.actions(&types);
        Vocabulary::of(types, actions)
    }

    fn refuse(&mut self, name: &str, rule: Rule, message: String, help: &str) {
        let place = place(self.source.1, name);
        self.findings.push(Finding::at(self.source, place, rule, message, Some(help.to_owned())));
    }
}

fn carries_assigned(core: &Type, types: &BTreeMap<TypeName, EntityTypeInfo>) -> bool {
    match core {
        Type::Entity(EntityKind::Entity(lub)) => lub
            .get_single_entity()
            .and_then(|name| TypeName::new(&name.to_string()).ok())
            .is_some_and(|name| types.get(&name).is_some_and(|info| info.source.is_assigned())),
        Type::Set { element_type: Some(element) } => carries_assigned(element, types),
        Type::Record { attrs, .. } => attrs.iter().any(|(_, attribute)| carries_assigned(&attribute.attr_type, types)),
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
