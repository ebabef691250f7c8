//! The guard in front of Cedar's schema resolver, which writes every use of a common type out in full: a
//! chain of types that each use the next one twice doubles with every link.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::{declared, place};
use crate::finding::{Finding, Rule};

/// Levels of declarations, sets, records and common types that may lie within each other, written out.
const MAX_DEPTH: usize = 128;
/// Types a declaration may consist of, written out in full.
const MAX_SIZE: usize = 10_000;

/// Accepts a schema whose declarations stay small and shallow when written out.
pub(super) fn check(source: (&str, &str), schema: &Json) -> Result<(), Vec<Finding>> {
    let types = declared(schema, "commonTypes").into_iter().map(|(space, name, json)| ((space, name), json));
    let mut expansion = Expansion { types: types.collect(), extents: BTreeMap::new() };
    let mut findings = Vec::new();
    for kind in ["commonTypes", "entityTypes", "actions"] {
        for (space, name, json) in declared(schema, kind) {
            let extent = expansion.of(&space, json, 0);
            if extent.size > MAX_SIZE || extent.height > MAX_DEPTH {
                let message = format!(
                    "`{name}` is nested deeper than {MAX_DEPTH} levels, or consists of more than {MAX_SIZE} types when written out"
                );
                let help = "use fewer levels of common types, or an entity with attributes".to_owned();
                findings.push(Finding::at(source, place(source.1, &name), Rule::Size, message, Some(help)));
            }
        }
    }
    if findings.is_empty() { Ok(()) } else { Err(findings) }
}

/// What a declaration comes to, written out.
#[derive(Debug, Clone, Copy, Default)]
struct Extent {
    /// How many types it consists of.
    size: usize,
    /// How many levels lie within each other in it.
    height: usize,
}

impl Extent {
    const TOO_LARGE: Self = Self { size: MAX_SIZE + 1, height: MAX_DEPTH + 1 };

    fn with(self, other: Self) -> Self {
        Self { size: self.size.saturating_add(other.size), height: self.height.max(other.height) }
    }
}

struct Expansion<'j> {
    /// Common types by namespace and name.
    types: BTreeMap<(String, String), &'j Json>,
    /// Their extents, once known.
    extents: BTreeMap<(String, String), Extent>,
}

impl Expansion<'_> {
    fn of(&mut self, space: &str, json: &Json, depth: usize) -> Extent {
        if depth > MAX_DEPTH {
            return Extent::TOO_LARGE;
        }
        match json {
            Json::Object(map) => {
                let own = Extent { size: 1, height: 0 };
                let named = ["name", "type"].iter().filter_map(|key| map.get(*key)?.as_str());
                let named = named.fold(own, |sum, name| sum.with(self.named(space, name, depth)));
                let parts = map.iter().filter(|(key, _)| *key != "annotations").map(|(_, part)| part);
                let inner = parts.filter(|inner| inner.is_object() || inner.is_array());
                let whole = inner.fold(named, |sum, inner| sum.with(self.of(space, inner, depth + 1)));
                Extent { height: whole.height.saturating_add(1), ..whole }
            }
            Json::Array(items) => {
                items.iter().fold(Extent::default(), |sum, item| sum.with(self.of(space, item, depth + 1)))
            }
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => Extent::default(),
        }
    }

    /// The extent of a common type, if the name is one's.
    fn named(&mut self, space: &str, name: &str, depth: usize) -> Extent {
        let (own, base) = name.rsplit_once("::").unwrap_or((space, name));
        let mut keys = [own, ""].into_iter().map(|space| (space.to_owned(), base.to_owned()));
        let Some(key) = keys.find(|key| self.types.contains_key(key)) else { return Extent::default() };
        if let Some(known) = self.extents.get(&key) {
            return *known;
        }
        let Some(json) = self.types.get(&key).copied() else { return Extent::default() };
        let extent = self.of(&key.0, json, depth + 1);
        self.extents.insert(key, extent);
        extent
    }
}
