//! Values against the schema: what a string or record means where the schema wants something else, and
//! what does not fit, with its path.

use cedar_policy::Context;
use cedar_policy_core::validator::ValidatorSchema;
use cedar_policy_core::validator::types::{Attributes, EntityKind, Type};
use magistrate_model::{AttributeName, EntityUid, ExtensionFunction, Record, TypeName, Value, Violation};

use crate::cedar;

/// The typed form of a request's context; `None` where the action has no context type.
pub(crate) fn context(
    schema: &ValidatorSchema,
    action: &EntityUid,
    given: &Record,
    without: &str,
) -> Result<Record, Vec<Violation>> {
    let mut reading = Reading::default();
    let action = action.to_string().parse().ok();
    let Some(Type::Record { attrs, .. }) = action.and_then(|action| schema.context_type(&action)) else {
        return Ok(Record::new());
    };
    let record = reading.record(attrs, given, "context", Some(without));
    reading.finish(record)
}

/// The typed form of an entity's attributes.
pub(crate) fn attributes(
    schema: &ValidatorSchema,
    type_name: &TypeName,
    given: &Record,
    path: &str,
) -> Result<Record, Vec<Violation>> {
    let mut reading = Reading::default();
    let core = type_name.as_str().parse().ok().and_then(|name| schema.get_entity_type(&name));
    let Some(core) = core else {
        reading.refuse(path, format!("`{type_name}` is not an entity type of the schema"));
        return reading.finish(Record::new());
    };
    let record = reading.record(core.attributes(), given, path, None);
    reading.finish(record)
}

#[derive(Default)]
struct Reading {
    violations: Vec<Violation>,
}

impl Reading {
    fn finish(self, record: Record) -> Result<Record, Vec<Violation>> {
        match self.violations {
            violations if violations.is_empty() => Ok(record),
            violations => Err(violations),
        }
    }

    fn refuse(&mut self, path: &str, description: impl Into<String>) {
        self.violations.push(Violation { field: path.to_owned(), description: description.into() });
    }

    /// `supplied` is an attribute that is declared but never sent.
    fn record(&mut self, declared: &Attributes, given: &Record, path: &str, supplied: Option<&str>) -> Record {
        let mut typed = Record::new();
        for (name, value) in given {
            let inner = format!("{path}.{name}");
            match declared.get_attr(name.as_str()) {
                Some(attribute) => {
                    if let Some(value) = self.value(&attribute.attr_type, value, &inner) {
                        typed.insert(name.clone(), value);
                    }
                }
                None => self.refuse(&inner, unknown_attribute(declared, supplied)),
            }
        }
        for (name, attribute) in declared.iter() {
            let absent = !given.contains_key(name.as_str()) && Some(name.as_str()) != supplied;
            if attribute.is_required && absent {
                self.refuse(
                    &format!("{path}.{name}"),
                    format!("is required and absent; send {}", words(&attribute.attr_type)),
                );
            }
        }
        typed
    }

    fn value(&mut self, wanted: &Type, given: &Value, path: &str) -> Option<Value> {
        match (wanted, given) {
            (Type::Bool(_), Value::Bool(_)) | (Type::Long, Value::Long(_)) | (Type::String, Value::String(_)) => {
                Some(given.clone())
            }
            (Type::Entity(kind), Value::Entity(uid)) => self.reference(kind, uid, path),
            (Type::Entity(kind), Value::Record(record)) => {
                let uid = implicit_reference(record);
                match uid {
                    Some(uid) => self.reference(kind, &uid, path),
                    None => self.mismatch(wanted, given, path),
                }
            }
            (Type::ExtensionType { name }, Value::Extension(function, argument))
                if name.to_string() == cedar::extension_type(*function) =>
            {
                self.extension(*function, argument, path)
            }
            (Type::ExtensionType { name }, Value::String(argument)) => {
                let function =
                    ExtensionFunction::ALL.into_iter().find(|f| cedar::extension_type(*f) == name.to_string());
                function.and_then(|function| self.extension(function, argument, path))
            }
            (Type::Set { element_type: Some(element) }, Value::Set(items)) => {
                let items =
                    items.iter().enumerate().map(|(n, item)| self.value(element, item, &format!("{path}[{n}]")));
                let items: Vec<Option<Value>> = items.collect();
                items.into_iter().collect::<Option<Vec<_>>>().map(Value::Set)
            }
            (Type::Record { attrs, .. }, Value::Record(record)) => {
                Some(Value::Record(self.record(attrs, record, path, None)))
            }
            _ => self.mismatch(wanted, given, path),
        }
    }

    fn mismatch(&mut self, wanted: &Type, given: &Value, path: &str) -> Option<Value> {
        self.refuse(path, format!("is {}; send {}", given.kind(), words(wanted)));
        None
    }

    fn reference(&mut self, kind: &EntityKind, uid: &EntityUid, path: &str) -> Option<Value> {
        let wanted = single_type(kind);
        if wanted.as_deref().is_some_and(|wanted| wanted != uid.type_name().as_str()) {
            self.refuse(
                path,
                format!("refers to a `{}`; send a reference to a `{}`", uid.type_name(), wanted.unwrap_or_default()),
            );
            return None;
        }
        Some(Value::Entity(uid.clone()))
    }

    fn extension(&mut self, function: ExtensionFunction, argument: &str, path: &str) -> Option<Value> {
        let parsed = Context::from_pairs([("value".to_owned(), cedar::extension(function, argument))]);
        if parsed.is_ok() {
            return Some(Value::Extension(function, argument.into()));
        }
        let (name, example) = (function.name(), example(function));
        self.refuse(path, format!("is not {name} text; send what Cedar's `{name}()` takes, such as `{example}`"));
        None
    }
}

fn implicit_reference(record: &Record) -> Option<EntityUid> {
    match (record.len(), record.get("type"), record.get("id")) {
        (2, Some(Value::String(type_name)), Some(Value::String(id))) => EntityUid::from_parts(type_name, id).ok(),
        _ => None,
    }
}

fn single_type(kind: &EntityKind) -> Option<String> {
    match kind {
        EntityKind::Entity(lub) => lub.get_single_entity().map(ToString::to_string),
        EntityKind::AnyEntity => None,
    }
}

fn unknown_attribute(declared: &Attributes, supplied: Option<&str>) -> String {
    let known: Vec<&str> =
        declared.keys().map(AsRef::as_ref).filter(|name: &&str| Some(*name) != supplied).take(12).collect();
    match known.is_empty() {
        true => "is not declared in the schema, which declares nothing here".to_owned(),
        false => format!("is not declared in the schema; declared are {}", known.join(", ")),
    }
}

fn words(wanted: &Type) -> String {
    match wanted {
        Type::Bool(_) => "a boolean".to_owned(),
        Type::Long => "a whole number".to_owned(),
        Type::String => "a string".to_owned(),
        Type::Set { .. } => "a list".to_owned(),
        Type::Record { .. } => "a record".to_owned(),
        Type::Entity(kind) => match single_type(kind) {
            Some(name) => format!("a reference to a `{name}`, as `{{\"__entity\": {{\"type\", \"id\"}}}}`"),
            None => "an entity reference".to_owned(),
        },
        Type::ExtensionType { name } => format!("{name} text"),
        Type::Never => "nothing".to_owned(),
    }
}

const fn example(function: ExtensionFunction) -> &'static str {
    match function {
        ExtensionFunction::Ip => "10.0.0.1",
        ExtensionFunction::Decimal => "1.25",
        ExtensionFunction::Datetime => "2026-01-31T09:00:00Z",
        ExtensionFunction::Duration => "1h30m",
    }
}

/// The name of an attribute that is known to be valid.
pub(crate) fn name(text: &'static str) -> Option<AttributeName> {
    AttributeName::new(text).ok()
}
