//! Our values in Cedar's types and back. The only file that knows both spellings.

use cedar_policy::{EntityId, EntityTypeName, EntityUid as CedarUid, RestrictedExpression};
use magistrate_model::{EntityUid, ExtensionFunction, InvalidUid, TypeName, Value};

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
