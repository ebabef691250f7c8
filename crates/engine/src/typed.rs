//! Values against the schema: what a string or record means where the schema wants something else, and
//! what does not fit, with its path.

use std::fmt::Write as _;
use std::sync::Arc;

use cedar_policy_core::validator::ValidatorSchema;
use cedar_policy_core::validator::types::{Attributes, EntityKind, Type};
use magistrate_model::{AttributeName, EntityUid, ExtensionFunction, Record, TypeName, Value, Violation};

use crate::cedar;

/// What the context of an action declares, if it has one.
pub(crate) fn declared_context(
    schema: &ValidatorSchema,
    action: &cedar_policy_core::ast::EntityUID,
) -> Option<Attributes> {
    match schema.context_type(action)? {
        Type::Record { attrs, .. } => Some(attrs.clone()),
        Type::Never
        | Type::Bool(_)
        | Type::Long
        | Type::String
        | Type::Set { .. }
        | Type::Entity(_)
        | Type::ExtensionType { .. } => None,
    }
}

/// The typed form of a request's context.
pub(crate) fn context(declared: &Attributes, given: &Record, without: &str) -> Result<Record, Vec<Violation>> {
    let mut reading = Reading::of("context");
    let record = reading.record(declared, given, Some(without));
    reading.finish(record)
}

/// The typed form of an entity's attributes.
pub(crate) fn attributes(
    schema: &ValidatorSchema,
    type_name: &TypeName,
    given: &Record,
    path: &str,
) -> Result<Record, Vec<Violation>> {
    let mut reading = Reading::of(path);
    let core = type_name.as_str().parse().ok().and_then(|name| schema.get_entity_type(&name));
    let Some(core) = core else {
        reading.refuse(format!("`{type_name}` is not an entity type of the schema"));
        return reading.finish(Record::new());
    };
    let record = reading.record(core.attributes(), given, None);
    reading.finish(record)
}

/// A place below the one that is read: named only where something is wrong with it.
#[derive(Clone, Copy)]
enum Step<'a> {
    Name(&'a str),
    Item(usize),
}

struct Reading<'a> {
    start: &'a str,
    path: Vec<Step<'a>>,
    violations: Vec<Violation>,
}

impl<'a> Reading<'a> {
    fn of(start: &'a str) -> Self {
        Self { start, path: Vec::new(), violations: Vec::new() }
    }

    fn finish(self, record: Record) -> Result<Record, Vec<Violation>> {
        match self.violations {
            violations if violations.is_empty() => Ok(record),
            violations => Err(violations),
        }
    }

    fn refuse(&mut self, description: impl Into<String>) {
        let mut field = self.start.to_owned();
        for step in &self.path {
            let written = match step {
                Step::Name(name) => write!(field, ".{name}"),
                Step::Item(number) => write!(field, "[{number}]"),
            };
            debug_assert!(written.is_ok(), "a string takes everything");
        }
        self.violations.push(Violation { field, description: description.into() });
    }

    fn at<T>(&mut self, step: Step<'a>, read: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(step);
        let read = read(self);
        self.path.pop();
        read
    }

    /// `supplied` is an attribute that is declared but never sent.
    fn record(&mut self, declared: &'a Attributes, given: &'a Record, supplied: Option<&str>) -> Record {
        let mut typed = Record::new();
        for (name, value) in given {
            self.at(Step::Name(name.as_str()), |reading| match declared.get_attr(name.as_str()) {
                Some(attribute) => {
                    typed.extend(reading.value(&attribute.attr_type, value).map(|it| (name.clone(), it)));
                }
                None => reading.refuse(unknown_attribute(declared, supplied)),
            });
        }
        for (name, attribute) in declared.iter().filter(|(_, attribute)| attribute.is_required) {
            if !given.contains_key(name.as_str()) && Some(name.as_str()) != supplied {
                let missing = |reading: &mut Self| {
                    reading.refuse(format!("is required and absent; send {}", words(&attribute.attr_type)));
                };
                self.at(Step::Name(name), missing);
            }
        }
        typed
    }

    fn value(&mut self, wanted: &'a Type, given: &'a Value) -> Option<Value> {
        match (wanted, given) {
            (Type::Bool(_), Value::Bool(_)) | (Type::Long, Value::Long(_)) | (Type::String, Value::String(_)) => {
                Some(given.clone())
            }
            (Type::Entity(kind), Value::Entity(uid)) => self.reference(kind, uid),
            (Type::Entity(kind), Value::Record(record)) => {
                let uid = implicit_reference(record);
                match uid {
                    Some(uid) => self.reference(kind, &uid),
                    None => self.mismatch(wanted, given),
                }
            }
            (Type::ExtensionType { name }, Value::Extension(function, argument)) if is_of(name, *function) => {
                self.extension(*function, argument)
            }
            (Type::ExtensionType { name }, Value::String(argument)) => {
                let function = ExtensionFunction::ALL.into_iter().find(|function| is_of(name, *function));
                function.and_then(|function| self.extension(function, argument))
            }
            (Type::Set { element_type: Some(element) }, Value::Set(items)) => {
                let items =
                    items.iter().enumerate().map(|(n, item)| self.at(Step::Item(n), |it| it.value(element, item)));
                let items: Vec<Option<Value>> = items.collect();
                items.into_iter().collect::<Option<Vec<_>>>().map(Value::Set)
            }
            (Type::Record { attrs, .. }, Value::Record(record)) => {
                Some(Value::Record(self.record(attrs, record, None)))
            }
            _ => self.mismatch(wanted, given),
        }
    }

    fn mismatch(&mut self, wanted: &Type, given: &Value) -> Option<Value> {
        self.refuse(format!("is {}; send {}", given.kind(), words(wanted)));
        None
    }

    fn reference(&mut self, kind: &EntityKind, uid: &EntityUid) -> Option<Value> {
        let fits = match kind {
            EntityKind::Entity(lub) => {
                lub.get_single_entity().is_none_or(|wanted| cedar::is_type(wanted, uid.type_name()))
            }
            EntityKind::AnyEntity => true,
        };
        if !fits {
            let wanted = single_type(kind).unwrap_or_default();
            self.refuse(format!("refers to a `{}`; send a reference to a `{wanted}`", uid.type_name()));
            return None;
        }
        Some(Value::Entity(uid.clone()))
    }

    fn extension(&mut self, function: ExtensionFunction, argument: &Arc<str>) -> Option<Value> {
        if cedar::extension_value(function, argument).is_ok() {
            return Some(Value::Extension(function, Arc::clone(argument)));
        }
        let (name, example) = (function.name(), example(function));
        self.refuse(format!("is not {name} text; send what Cedar's `{name}()` takes, such as `{example}`"));
        None
    }
}

/// Whether a function makes values of an extension type.
fn is_of(name: &cedar_policy_core::ast::Name, function: ExtensionFunction) -> bool {
    let name: &cedar_policy_core::ast::InternalName = name.as_ref();
    name.is_unqualified() && AsRef::<str>::as_ref(name.basename()) == cedar::extension_type(function)
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
