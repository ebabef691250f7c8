//! Typing a query against the schema: what passes is a question the policies can be asked.

use magistrate_model::{ActionUid, EntityData, EntityInput, EntityUid, Malformed, Query, Record, TypeName, Violation};

use crate::entity_types::EntitySource;
use crate::schema::FACTS;
use crate::snapshot::Snapshot;
use crate::typed;

impl Snapshot {
    /// The query with context and asserted attributes in the schema's types.
    ///
    /// Refused: what the schema does not declare, what does not fit its types, data sent against an
    /// entity type's source, and roles, scopes, actions or facts sent as entity, parent or context.
    pub fn admit(&self, query: Query) -> Result<Query, Malformed> {
        let Some(action) = self.vocabulary().action(&query.action) else {
            return Err(Malformed::at("action", unknown_action(self, &query.action)));
        };
        let mut admission = Admission { snapshot: self, violations: Vec::new() };
        let principal = admission.party("principal", query.principal, &action.principals, &query.action);
        let resource = admission.party("resource", query.resource, &action.resources, &query.action);
        let context = admission.context(&query.action, &query.context);
        admission.same_entity(&principal, &resource);
        match Malformed::all(admission.violations) {
            Some(malformed) => Err(malformed),
            None => Ok(Query { principal, resource, context, ..query }),
        }
    }
}

struct Admission<'a> {
    snapshot: &'a Snapshot,
    violations: Vec<Violation>,
}

impl Admission<'_> {
    fn refuse(&mut self, field: impl Into<String>, description: impl Into<String>) {
        self.violations.push(Violation { field: field.into(), description: description.into() });
    }

    fn party(
        &mut self,
        field: &'static str,
        given: EntityInput,
        applies: &std::collections::BTreeSet<TypeName>,
        action: &ActionUid,
    ) -> EntityInput {
        let type_name = given.uid().type_name().clone();
        let Some(source) = self.snapshot.vocabulary().source_of(&type_name) else {
            self.refuse(format!("{field}.uid.type"), format!("`{type_name}` is not an entity type of the schema"));
            return given;
        };
        if !applies.contains(&type_name) {
            let types: Vec<_> = applies.iter().map(|name| format!("`{name}`")).collect();
            let types =
                if types.is_empty() { "no type: it is a group of actions".to_owned() } else { types.join(", ") };
            let description = format!("`{action}` has no {field} of type `{type_name}`; it applies to {types}");
            self.refuse(format!("{field}.uid.type"), description);
            return given;
        }
        match (source, given) {
            (EntitySource::Asserted, EntityInput::Asserted(data)) => EntityInput::Asserted(self.asserted(field, data)),
            (EntitySource::Asserted, EntityInput::Reference(uid)) => {
                let description =
                    format!("`{type_name}` is not stored here: send its attributes and parents, complete");
                self.refuse(format!("{field}.attributes"), description);
                EntityInput::Reference(uid)
            }
            (_, EntityInput::Asserted(data)) => {
                let description =
                    format!("`{type_name}` is {}: send its uid only, what is known of it is kept here", source.name());
                self.refuse(format!("{field}.attributes"), description);
                EntityInput::Asserted(data)
            }
            (_, reference @ EntityInput::Reference(_)) => reference,
        }
    }

    fn asserted(&mut self, field: &'static str, data: EntityData) -> EntityData {
        let type_name = data.uid.type_name();
        let path = format!("{field}.attributes");
        let attributes =
            self.snapshot.typed_attributes(type_name, &data.attributes, &path).unwrap_or_else(|violations| {
                self.violations.extend(violations);
                Record::new()
            });
        for (n, parent) in data.parents.iter().enumerate() {
            self.parent(&format!("{field}.parents[{n}]"), &data.uid, parent);
        }
        attributes.values().for_each(|value| {
            value.each_entity(&mut |uid| {
                self.check_kind(&path, uid);
            });
        });
        EntityData { attributes, ..data }
    }

    fn parent(&mut self, field: &str, child: &EntityUid, parent: &EntityUid) {
        if self.check_kind(field, parent) {
            return;
        }
        let info = self.snapshot.vocabulary().entity_type(child.type_name());
        if parent == child {
            self.refuse(field, "an entity cannot be its own parent");
        } else if !info.is_some_and(|info| info.member_of.contains(parent.type_name())) {
            let (child, parent) = (child.type_name(), parent.type_name());
            self.refuse(field, format!("a `{child}` cannot be a member of a `{parent}` by the schema"));
        }
    }

    fn context(&mut self, action: &ActionUid, given: &Record) -> Record {
        if given.contains_key(FACTS) {
            self.refuse(format!("context.{FACTS}"), "is supplied by the decision point; leave it out");
        }
        given.values().for_each(|value| {
            value.each_entity(&mut |uid| {
                self.check_kind("context", uid);
            });
        });
        let Some(declared) = self.snapshot.schema.contexts.get(action) else { return Record::new() };
        typed::context(declared, given, FACTS).unwrap_or_else(|violations| {
            self.violations.extend(violations);
            Record::new()
        })
    }

    /// Roles and scopes exist only through assignments, actions only in the schema. Returns whether one
    /// was smuggled.
    fn check_kind(&mut self, field: &str, uid: &EntityUid) -> bool {
        let smuggled = match self.snapshot.vocabulary().source_of(uid.type_name()) {
            Some(source) if source.is_assigned() => Some(source.name()),
            None if uid.type_name().base() == "Action" => Some("action"),
            Some(_) | None => None,
        };
        if let Some(kind) = smuggled {
            self.refuse(field, format!("`{uid}` is a {kind}: it cannot be sent, only assigned or declared here"));
        }
        smuggled.is_some()
    }

    /// One entity is one thing: what is asserted of it as principal and as resource must be the same.
    fn same_entity(&mut self, principal: &EntityInput, resource: &EntityInput) {
        if principal.uid() == resource.uid() && principal != resource {
            self.refuse("resource", "is the principal, and is described otherwise than there");
        }
    }
}

fn unknown_action(snapshot: &Snapshot, action: &ActionUid) -> String {
    let near = |known: &&ActionUid| known.id().eq_ignore_ascii_case(action.id());
    let mut known = snapshot.vocabulary().actions().map(|(known, _)| known);
    match known.find(near) {
        Some(near) => format!("`{action}` is not an action of the schema; did you mean `{near}`?"),
        None => format!("`{action}` is not an action of the schema"),
    }
}
