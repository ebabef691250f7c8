//! Entities, roles, scopes and grants as people write them.

use std::collections::BTreeSet;

use magistrate_model::json::{self, StrictJson};
use magistrate_model::{EntityData, EntityUid};
use serde_json::{Map, Value as Json};

use crate::problem::Problem;

/// An item with the place it was read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located<T> {
    /// Such as `grants.jsonl:12`; empty for a command line.
    pub place: String,
    /// The item.
    pub item: T,
}

impl<T> Located<T> {
    /// An item from a command line.
    pub fn here(item: T) -> Self {
        Self { place: String::new(), item }
    }
}

/// A role and the roles it includes, as a bare id or a full uid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoleText {
    /// The role.
    pub role: String,
    /// Roles that every holder of it holds too.
    pub parents: Vec<String>,
}

/// A scope declaration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopeText {
    /// Its name, `resource:verb`.
    pub scope: String,
    /// The action or action group it opens.
    pub action_group: String,
    /// What it is for.
    pub description: String,
}

/// A grant; times are RFC 3339 or relative to now, such as `+2h`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantText {
    /// Its id; derived from holder and what is conferred if absent.
    pub id: Option<String>,
    /// The principal, or the group whose members hold it.
    pub holder: EntityUid,
    /// The role, as a bare id or a full uid.
    pub role: Option<String>,
    /// The scope, or a pattern of scopes.
    pub scope: Option<String>,
    /// Where a role is held; everywhere if absent.
    pub resource: Option<EntityUid>,
    /// When it begins.
    pub not_before: Option<String>,
    /// When it ends.
    pub expires_at: Option<String>,
    /// Asks for a grant without an end.
    pub standing: bool,
    /// Why it is given.
    pub reason: String,
}

/// Items to be put, in any order: they are checked together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Data {
    /// Stored entities.
    pub entities: Vec<Located<EntityData>>,
    /// Roles.
    pub roles: Vec<Located<RoleText>>,
    /// Scopes of the catalogue.
    pub scopes: Vec<Located<ScopeText>>,
    /// Grants.
    pub grants: Vec<Located<GrantText>>,
}

impl Data {
    /// Reads one kind of item from JSON lines and adds them; `name` is the file's.
    pub fn add_jsonl(&mut self, kind: &str, name: &str, text: &str) -> Result<(), Vec<Problem>> {
        match kind {
            "entities" => self.entities.extend(read_jsonl(name, text, entity)?),
            "roles" => self.roles.extend(read_jsonl(name, text, role)?),
            "scopes" => self.scopes.extend(read_jsonl(name, text, scope)?),
            "grants" => self.grants.extend(read_jsonl(name, text, grant)?),
            other => {
                return Err(vec![Problem { place: name.to_owned(), what: format!("`{other}` is no kind of data") }]);
            }
        }
        Ok(())
    }
}

/// Reads JSON lines, each turned into an item by `read`; all problems are returned together.
pub fn read_jsonl<T>(
    name: &str,
    text: &str,
    read: impl Fn(&Json) -> Result<T, String>,
) -> Result<Vec<Located<T>>, Vec<Problem>> {
    let (mut items, mut problems) = (Vec::new(), Vec::new());
    for (number, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let place = format!("{name}:{}", number + 1);
        let item = serde_json::from_str::<StrictJson>(line).map_err(|e| format!("is not accepted as JSON: {e}"));
        match item.and_then(|StrictJson(json)| read(&json)) {
            Ok(item) => items.push(Located { place, item }),
            Err(what) => problems.push(Problem { place, what }),
        }
    }
    if problems.is_empty() { Ok(items) } else { Err(problems) }
}

/// Reads grants from CSV with a header of these columns, in any order: `holder_type, holder_id, role,
/// scope, resource_type, resource_id, not_before, expires_at, standing, reason, id`; empty fields are absent.
pub fn read_csv_grants(name: &str, text: &str) -> Result<Vec<Located<GrantText>>, Vec<Problem>> {
    let whole = |what: String| vec![Problem { place: name.to_owned(), what }];
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers().map_err(|e| whole(format!("has no readable header: {e}")))?.clone();
    check_header(&header).map_err(whole)?;
    let (mut items, mut problems) = (Vec::new(), Vec::new());
    for row in reader.records() {
        let position = row.as_ref().map_or_else(csv::Error::position, csv::StringRecord::position);
        let place = format!("{name}:{}", position.map_or(0, csv::Position::line));
        match row.map_err(|e| e.to_string()).and_then(|row| grant(&csv_object(&header, &row)?)) {
            Ok(item) => items.push(Located { place, item }),
            Err(what) => problems.push(Problem { place, what }),
        }
    }
    if problems.is_empty() { Ok(items) } else { Err(problems) }
}

pub(crate) fn check_header(header: &csv::StringRecord) -> Result<(), String> {
    let mut seen = BTreeSet::new();
    for column in header {
        if !COLUMNS.contains(&column) {
            let column = column.escape_debug();
            return Err(format!("`{column}` is not a column of grants; they have {}", COLUMNS.join(", ")));
        }
        if !seen.insert(column) {
            return Err(format!("the column `{column}` stands twice"));
        }
    }
    Ok(())
}

pub(crate) fn csv_object(header: &csv::StringRecord, row: &csv::StringRecord) -> Result<Json, String> {
    let mut map = Map::new();
    for (name, value) in header.iter().zip(row).filter(|(_, value)| !value.is_empty()) {
        match name {
            "standing" => {
                let value: bool = value.parse().map_err(|_| format!("`standing` is `{value}`; write true or false"))?;
                map.insert(name.into(), Json::Bool(value));
            }
            "holder_type" | "holder_id" | "resource_type" | "resource_id" => {
                let (party, part) = name.split_once('_').unwrap_or((name, ""));
                let party = map.entry(party).or_insert_with(|| Json::Object(Map::new()));
                if let Json::Object(party) = party {
                    party.insert(part.to_owned(), Json::from(value));
                }
            }
            _ => drop(map.insert(name.into(), Json::from(value))),
        }
    }
    Ok(Json::Object(map))
}

pub(crate) fn entity(json: &Json) -> Result<EntityData, String> {
    json::entity_from(json).map_err(|e| e.to_string())
}

fn role(json: &Json) -> Result<RoleText, String> {
    let map = fields(json, "role", &["role", "parents", "description"])?;
    let parents = match map.get("parents") {
        None => Ok(Vec::new()),
        Some(Json::Array(items)) => items.iter().map(|item| text(item, "parents")).collect(),
        Some(_) => Err("`parents` must be a list of roles".to_owned()),
    }?;
    Ok(RoleText { role: required(map, "role")?, parents })
}

fn scope(json: &Json) -> Result<ScopeText, String> {
    let map = fields(json, "scope", &["scope", "action_group", "description"])?;
    Ok(ScopeText {
        scope: required(map, "scope")?,
        action_group: required(map, "action_group")?,
        description: optional(map, "description")?.unwrap_or_default(),
    })
}

pub(crate) fn grant(json: &Json) -> Result<GrantText, String> {
    const FIELDS: [&str; 9] =
        ["id", "holder", "role", "scope", "resource", "not_before", "expires_at", "standing", "reason"];
    let map = fields(json, "grant", &FIELDS)?;
    let uid = |name: &str| map.get(name).map(|json| json::uid_from(json, name).map_err(|e| e.to_string())).transpose();
    let role = match map.get("role") {
        Some(json @ Json::Object(_)) => Some(json::uid_from(json, "role").map_err(|e| e.to_string())?.to_string()),
        _ => optional(map, "role")?,
    };
    Ok(GrantText {
        id: optional(map, "id")?,
        holder: uid("holder")?.ok_or("`holder` is missing; give `{\"type\": …, \"id\": …}`")?,
        role,
        scope: optional(map, "scope")?,
        resource: uid("resource")?,
        not_before: optional(map, "not_before")?,
        expires_at: optional(map, "expires_at")?,
        standing: match map.get("standing") {
            None => false,
            Some(json) => json.as_bool().ok_or("`standing` must be true or false")?,
        },
        reason: required(map, "reason")?,
    })
}

fn fields<'j>(json: &'j Json, kind: &str, known: &[&str]) -> Result<&'j Map<String, Json>, String> {
    let map = json.as_object().ok_or_else(|| format!("a {kind} must be an object"))?;
    match map.keys().find(|key| !known.contains(&key.as_str())) {
        Some(unknown) => {
            Err(format!("`{}` is not a field of a {kind}; it has {}", unknown.escape_debug(), known.join(", ")))
        }
        None => Ok(map),
    }
}

fn required(map: &Map<String, Json>, name: &str) -> Result<String, String> {
    optional(map, name)?.ok_or_else(|| format!("`{name}` is missing"))
}

fn optional(map: &Map<String, Json>, name: &str) -> Result<Option<String>, String> {
    map.get(name).map(|json| text(json, name)).transpose()
}

fn text(json: &Json, name: &str) -> Result<String, String> {
    json.as_str().map(str::to_owned).ok_or_else(|| format!("`{name}` must be text"))
}

/// What a CSV of grants may tell.
const COLUMNS: [&str; 11] = [
    "holder_type",
    "holder_id",
    "role",
    "scope",
    "resource_type",
    "resource_id",
    "not_before",
    "expires_at",
    "standing",
    "reason",
    "id",
];
