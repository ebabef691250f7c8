//! The JSON forms of values, entities, scopes and grants, shared by rows, files and command output.
//!
//! References and extension values use Cedar's JSON escapes, `{"__entity": {"type", "id"}}` and
//! `{"__extn": {"fn", "arg"}}`. Reading is strict: a repeated key is an error, never the last one wins.
//!
//! INVARIANT: writing is canonical: the keys of an object are put in byte order. Databases compare these texts,
//! and digests are over them; whether a map of `serde_json` sorts by itself is up to features of other crates.

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value as Json, json};

use crate::entity::EntityData;
use crate::grant::{Conferred, Grant, InvalidGrant, Term};
use crate::instant::Instant;
use crate::scope::{InvalidScope, ScopeDeclaration};
use crate::uid::{ActionUid, EntityUid, InvalidUid, printable};
use crate::value::{AttributeName, ExtensionFunction, Record, Value};

/// Why JSON is not a value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidJson {
    /// The text is not JSON, or repeats a key.
    #[error("not accepted as JSON: {0}")]
    Syntax(String),
    /// Something inside is not a value.
    #[error("`{path}` {why}")]
    Value {
        /// Where, such as `context.device`.
        path: String,
        /// What is wrong with it.
        why: String,
    },
}

impl InvalidJson {
    fn at(path: &str, why: impl Into<String>) -> Self {
        Self::Value { path: path.to_owned(), why: why.into() }
    }

    fn uid(path: &str, why: &InvalidUid) -> Self {
        Self::at(path, format!("is not accepted: {why}"))
    }
}

/// A JSON document in which no object repeats a key.
#[derive(Debug, Clone, PartialEq)]
pub struct StrictJson(pub Json);

/// Reads a JSON text, refusing repeated keys.
pub fn parse(text: &str) -> Result<Json, InvalidJson> {
    serde_json::from_str::<StrictJson>(text).map(|strict| strict.0).map_err(|e| InvalidJson::Syntax(e.to_string()))
}

/// Reads a record; `path` names it in errors.
pub fn record_from(json: &Json, path: &str) -> Result<Record, InvalidJson> {
    let Json::Object(map) = json else {
        return Err(InvalidJson::at(path, "must be an object"));
    };
    map.iter().map(|(name, json)| attribute_from(name, json, path)).collect()
}

fn attribute_from(name: &str, json: &Json, path: &str) -> Result<(AttributeName, Value), InvalidJson> {
    let inner = format!("{path}.{}", printable(name));
    let name = AttributeName::new(name)
        .map_err(|why| InvalidJson::at(&inner, format!("has a name that is not accepted: {why}")))?;
    Ok((name, value_from(json, &inner)?))
}

/// Reads a value; `path` names it in errors.
pub fn value_from(json: &Json, path: &str) -> Result<Value, InvalidJson> {
    match json {
        Json::Null => Err(InvalidJson::at(path, "is null; leave an absent attribute out")),
        Json::Bool(value) => Ok(Value::Bool(*value)),
        Json::Number(number) => long_from(number, path).map(Value::Long),
        Json::String(text) => Ok(Value::String(text.as_str().into())),
        Json::Array(items) => {
            let items = items.iter().enumerate().map(|(n, item)| value_from(item, &format!("{path}[{n}]")));
            items.collect::<Result<_, _>>().map(Value::Set)
        }
        Json::Object(map) => match (map.len(), map.get("__entity"), map.get("__extn")) {
            (1, Some(entity), _) => uid_from(entity, path).map(Value::Entity),
            (1, _, Some(extension)) => extension_from(extension, path),
            _ => record_from(json, path).map(Value::Record),
        },
    }
}

fn long_from(number: &Number, path: &str) -> Result<i64, InvalidJson> {
    number.as_i64().ok_or_else(|| {
        InvalidJson::at(
            path,
            format!("is {number}; numbers must be whole and within 64 bits, write a decimal as a string"),
        )
    })
}

fn extension_from(json: &Json, path: &str) -> Result<Value, InvalidJson> {
    let function = json.get("fn").and_then(Json::as_str).and_then(ExtensionFunction::named);
    let argument = json.get("arg").and_then(Json::as_str);
    match (function, argument) {
        (Some(function), Some(argument)) => Ok(Value::Extension(function, argument.into())),
        _ => Err(InvalidJson::at(path, "must give `fn` (ip, decimal, datetime or duration) and `arg` in `__extn`")),
    }
}

/// Reads `{"type": …, "id": …}` or a uid in Cedar's notation.
pub fn uid_from(json: &Json, path: &str) -> Result<EntityUid, InvalidJson> {
    if let Json::String(text) = json {
        return text.parse().map_err(|why| InvalidJson::uid(path, &why));
    }
    match (json.get("type").and_then(Json::as_str), json.get("id").and_then(Json::as_str)) {
        (Some(type_name), Some(id)) => EntityUid::from_parts(type_name, id).map_err(|why| InvalidJson::uid(path, &why)),
        _ => Err(InvalidJson::at(path, "must give `type` and `id`")),
    }
}

/// Reads `{"uid", "attributes", "parents"}`.
pub fn entity_from(json: &Json) -> Result<EntityData, InvalidJson> {
    let known = ["uid", "attributes", "parents"];
    let map = json.as_object().ok_or_else(|| InvalidJson::at("entity", "must be an object"))?;
    if let Some(unknown) = map.keys().find(|key| !known.contains(&key.as_str())) {
        return Err(InvalidJson::at(
            &printable(unknown),
            "is not a field of an entity; give `uid`, `attributes` and `parents`",
        ));
    }
    let uid = uid_from(map.get("uid").unwrap_or(&Json::Null), "uid")?;
    let attributes = map.get("attributes").map(|json| record_from(json, "attributes")).transpose()?.unwrap_or_default();
    let parents = match map.get("parents") {
        None => Ok(std::collections::BTreeSet::new()),
        Some(Json::Array(items)) => {
            items.iter().enumerate().map(|(n, item)| uid_from(item, &format!("parents[{n}]"))).collect()
        }
        Some(_) => Err(InvalidJson::at("parents", "must be an array")),
    }?;
    Ok(EntityData { uid, attributes, parents })
}

/// Reads a scope as [`scope`] writes it.
pub fn scope_from(json: &Json) -> Result<ScopeDeclaration, InvalidJson> {
    let text = |name: &str| json.get(name).and_then(Json::as_str).ok_or_else(|| InvalidJson::at(name, "must be text"));
    let action_group = text("action_group")?.parse().and_then(ActionUid::new);
    Ok(ScopeDeclaration {
        name: text("scope")?.parse().map_err(|why: InvalidScope| InvalidJson::at("scope", why.to_string()))?,
        action_group: action_group.map_err(|why| InvalidJson::uid("action_group", &why))?,
        description: text("description")?.to_owned(),
    })
}

/// Reads a grant as [`grant`] writes it.
pub fn grant_from(json: &Json) -> Result<Grant, InvalidJson> {
    let text = |name: &str| json.get(name).and_then(Json::as_str);
    let required = |name: &str| text(name).ok_or_else(|| InvalidJson::at(name, "must be text"));
    let refused = |why: InvalidGrant| InvalidJson::at("grant", why.to_string());
    let uid = |name: &str| json.get(name).map(|json| uid_from(json, name)).transpose();
    let instant = |name: &str| {
        let parsed = text(name).map(str::parse::<Instant>).transpose();
        parsed.map_err(|why| InvalidJson::at(name, why.to_string()))
    };
    let conferred = match (uid("role")?, text("scope")) {
        (Some(role), None) => Conferred::Role { role, resource: uid("resource")? },
        (None, Some(pattern)) => {
            let pattern = pattern.parse();
            Conferred::Scope(pattern.map_err(|why: InvalidScope| InvalidJson::at("scope", why.to_string()))?)
        }
        _ => return Err(InvalidJson::at("grant", "must confer either a role or a scope")),
    };
    let term = match (instant("expires_at")?, json.get("standing")) {
        (Some(end), None) => Term::until(instant("not_before")?, end).map_err(refused)?,
        (None, Some(Json::Bool(true))) => Term::standing(instant("not_before")?),
        _ => return Err(InvalidJson::at("grant", "must either end or be standing")),
    };
    let holder = uid("holder")?.ok_or_else(|| InvalidJson::at("holder", "is missing"))?;
    Grant::new(required("id")?.parse().map_err(refused)?, holder, conferred, term, required("reason")?).map_err(refused)
}

/// Writes `{"id", "type"}`.
pub fn uid(uid: &EntityUid) -> Json {
    json!({ "id": uid.id().as_str(), "type": uid.type_name().as_str() })
}

/// Writes a record.
pub fn record(record: &Record) -> Json {
    Json::Object(record.iter().map(|(name, it)| (name.to_string(), value(it))).collect::<Map<_, _>>())
}

/// Writes a value.
pub fn value(value: &Value) -> Json {
    match value {
        Value::Bool(it) => json!(it),
        Value::Long(it) => json!(it),
        Value::String(it) => json!(it.as_ref()),
        Value::Entity(it) => json!({ "__entity": uid(it) }),
        Value::Extension(function, argument) => {
            json!({ "__extn": { "arg": argument.as_ref(), "fn": function.name() } })
        }
        Value::Set(items) => Json::Array(items.iter().map(self::value).collect()),
        Value::Record(it) => record(it),
    }
}

/// Writes `{"attributes", "parents", "uid"}`.
pub fn entity(entity: &EntityData) -> Json {
    json!({
        "attributes": record(&entity.attributes),
        "parents": entity.parents.iter().map(uid).collect::<Vec<_>>(),
        "uid": uid(&entity.uid),
    })
}

/// Writes `{"action_group", "description", "scope"}`.
pub fn scope(scope: &ScopeDeclaration) -> Json {
    json!({
        "action_group": scope.action_group.to_string(),
        "description": scope.description,
        "scope": scope.name.as_str(),
    })
}

/// Writes a grant with absolute times; a standing one has `"standing": true` and no `expires_at`.
pub fn grant(grant: &Grant) -> Json {
    let (role, resource, pattern) = match grant.conferred() {
        Conferred::Role { role, resource } => (Some(uid(role)), resource.as_ref().map(uid), None),
        Conferred::Scope(pattern) => (None, None, Some(json!(pattern.as_str()))),
    };
    let instant = |instant: Option<Instant>| instant.map(|instant| json!(instant.to_string()));
    let fields = [
        ("expires_at", instant(grant.term().expires_at())),
        ("holder", Some(uid(grant.holder()))),
        ("id", Some(json!(grant.id().as_str()))),
        ("not_before", instant(grant.term().not_before())),
        ("reason", Some(json!(grant.reason()))),
        ("resource", resource),
        ("role", role),
        ("scope", pattern),
        ("standing", grant.term().expires_at().is_none().then_some(Json::Bool(true))),
    ];
    Json::Object(fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect())
}

impl<'de> Deserialize<'de> for StrictJson {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON without repeated keys")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::from(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(Json::from(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::from(value))
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json, A::Error> {
        let mut array = Vec::new();
        while let Some(StrictJson(item)) = items.next_element()? {
            array.push(item);
        }
        Ok(Json::Array(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Json, A::Error> {
        let mut map = Map::new();
        while let Some((key, StrictJson(value))) = entries.next_entry::<String, StrictJson>()? {
            if map.contains_key(&key) {
                return Err(serde::de::Error::custom(format_args!("the key `{}` stands twice", printable(&key))));
            }
            map.insert(key, value);
        }
        Ok(Json::Object(map))
    }
}
