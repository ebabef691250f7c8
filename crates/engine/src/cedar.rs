//! Our values in Cedar's types and back. The only file that knows both spellings.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, LazyLock};

use cedar_policy::{EntityId, EntityTypeName, EntityUid as CedarUid, RestrictedExpression};
use cedar_policy_core::ast::{self, Eid, EntityType, Literal, PartialValue, ValueKind};
use cedar_policy_core::extensions::Extensions;
use foldhash::fast::RandomState;
use magistrate_model::{EntityUid, ExtensionFunction, InvalidUid, Record, TypeName, Value};
use smol_str::SmolStr;

use crate::rules::Failure;

/// Cedar's type name; our names are a subset of Cedar's, except for its reserved words.
fn type_name(name: &TypeName) -> Result<EntityTypeName, String> {
    name.as_str().parse().map_err(|e: cedar_policy::ParseErrors| e.to_string())
}

pub(crate) fn uid(uid: &EntityUid) -> Result<CedarUid, String> {
    Ok(CedarUid::from_type_name_and_id(type_name(uid.type_name())?, EntityId::new(uid.id().as_str())))
}

pub(crate) fn our_uid(uid: &CedarUid) -> Result<EntityUid, InvalidUid> {
    EntityUid::from_parts(&uid.type_name().to_string(), uid.id().unescaped())
}

pub(crate) fn expression(value: &Value) -> Result<RestrictedExpression, String> {
    match value {
        Value::Bool(it) => Ok(RestrictedExpression::new_bool(*it)),
        Value::Long(it) => Ok(RestrictedExpression::new_long(*it)),
        Value::String(it) => Ok(RestrictedExpression::new_string(it.to_string())),
        Value::Entity(it) => uid(it).map(RestrictedExpression::new_entity_uid),
        Value::Extension(function, argument) => Ok(extension(*function, argument)),
        Value::Set(items) => {
            items.iter().map(expression).collect::<Result<Vec<_>, _>>().map(RestrictedExpression::new_set)
        }
        Value::Record(record) => {
            let fields = record.iter().map(|(name, value)| Ok((name.to_string(), expression(value)?)));
            let fields: Vec<_> = fields.collect::<Result<_, String>>()?;
            RestrictedExpression::new_record(fields).map_err(|e| e.to_string())
        }
    }
}

pub(crate) fn extension(function: ExtensionFunction, argument: &str) -> RestrictedExpression {
    match function {
        ExtensionFunction::Ip => RestrictedExpression::new_ip(argument),
        ExtensionFunction::Decimal => RestrictedExpression::new_decimal(argument),
        ExtensionFunction::Datetime => RestrictedExpression::new_datetime(argument),
        ExtensionFunction::Duration => RestrictedExpression::new_duration(argument),
    }
}

/// Cedar's name of the extension type a constructor makes.
pub(crate) const fn extension_type(function: ExtensionFunction) -> &'static str {
    match function {
        ExtensionFunction::Ip => "ipaddr",
        ExtensionFunction::Decimal => "decimal",
        ExtensionFunction::Datetime => "datetime",
        ExtensionFunction::Duration => "duration",
    }
}

/// The entity types of a schema in Cedar's form, made once: values name them over and over.
#[derive(Debug)]
pub(crate) struct Types(HashMap<TypeName, EntityType, RandomState>);

impl Types {
    pub(crate) fn of<'a>(names: impl Iterator<Item = &'a TypeName>) -> Self {
        Self(names.filter_map(|name| Some((name.clone(), name.as_str().parse().ok()?))).collect())
    }

    pub(crate) fn uid(&self, uid: &EntityUid) -> Result<ast::EntityUID, Failure> {
        let known = self.0.get(uid.type_name()).cloned();
        let type_name = known.or_else(|| uid.type_name().as_str().parse().ok()).ok_or(Failure::NotEvaluable)?;
        Ok(ast::EntityUID::from_components(type_name, Eid::new(uid.id().as_str()), None))
    }

    pub(crate) fn value(&self, value: &Value) -> Result<ast::Value, Failure> {
        let kind = match value {
            Value::Bool(it) => ValueKind::Lit(Literal::Bool(*it)),
            Value::Long(it) => ValueKind::Lit(Literal::Long(*it)),
            Value::String(it) => ValueKind::Lit(Literal::String(SmolStr::from(&**it))),
            Value::Entity(it) => ValueKind::Lit(Literal::EntityUID(Arc::new(self.uid(it)?))),
            Value::Extension(function, text) => return extension_value(*function, text),
            Value::Set(items) => {
                ValueKind::set(items.iter().map(|item| self.value(item)).collect::<Result<Vec<_>, _>>()?)
            }
            Value::Record(record) => return self.record(record),
        };
        Ok(ast::Value::new(kind, None))
    }

    pub(crate) fn record(&self, record: &Record) -> Result<ast::Value, Failure> {
        Ok(ast::Value::record_arc(Arc::new(self.attributes(record)?), None))
    }

    pub(crate) fn attributes(&self, record: &Record) -> Result<BTreeMap<SmolStr, ast::Value>, Failure> {
        record.iter().map(|(name, value)| Ok((name.as_str().into(), self.value(value)?))).collect()
    }
}

/// Whether Cedar's name of a type is ours.
pub(crate) fn is_type(core: &EntityType, ours: &TypeName) -> bool {
    let name: &ast::InternalName = core.name().as_ref();
    let mut parts = ours.as_str().split("::");
    let path = name.namespace_components().chain([name.basename()]);
    path.map(AsRef::<str>::as_ref).all(|part| parts.next() == Some(part)) && parts.next().is_none()
}

/// Calls an extension's constructor.
pub(crate) fn extension_value(function: ExtensionFunction, text: &str) -> Result<ast::Value, Failure> {
    static CONSTRUCTORS: LazyLock<[Option<&'static ast::ExtensionFunction>; ExtensionFunction::ALL.len()]> =
        LazyLock::new(|| {
            ExtensionFunction::ALL.map(|function| {
                let name = ast::Name::parse_unqualified_name(function.name()).ok()?;
                Extensions::all_available().func(&name).ok()
            })
        });
    let constructor = CONSTRUCTORS.get(function as usize).copied().flatten().ok_or(Failure::NotEvaluable)?;
    match constructor.call(&[ast::Value::new(Literal::String(text.into()), None)])? {
        PartialValue::Value(value) => Ok(value),
        PartialValue::Residual(_) => Err(Failure::NotEvaluable),
    }
}
