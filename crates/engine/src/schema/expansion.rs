//! The guard in front of Cedar's schema resolver, which writes every use of a common type out in full: a
//! chain of types that each use the next one twice doubles with every link.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::{declared, place};
use crate::finding::{Finding, Rule};

/// Links of common types that may follow each other.
const MAX_DEPTH: usize = 32;
/// Types a declaration may consist of, written out in full.
const MAX_SIZE: usize = 10_000;

/// Accepts a schema whose declarations stay small when written out.
pub(super) fn check(source: (&str, &str), schema: &Json) -> Result<(), Vec<Finding>> {
    let types = declared(schema, "commonTypes").into_iter().map(|(space, name, json)| ((space, name), json));
    let mut expansion = Expansion { types: types.collect(), sizes: BTreeMap::new() };
    let mut findings = Vec::new();
    for kind in ["commonTypes", "entityTypes", "actions"] {
        for (space, name, json) in declared(schema, kind) {
            if expansion.size(&space, json, 0) > MAX_SIZE {
                let message = format!(
                    "`{name}` is nested deeper than {MAX_DEPTH} common types, or consists of more than {MAX_SIZE} types when written out"
                );
                let help = "use fewer levels of common types, or an entity with attributes".to_owned();
                findings.push(Finding::at(source, place(source.1, &name), Rule::Size, message, Some(help)));
            }
        }
    }
    if findings.is_empty() { Ok(()) } else { Err(findings) }
}

struct Expansion<'j> {
    /// Common types by namespace and name.
    types: BTreeMap<(String, String), &'j Json>,
    /// Their sizes, once known.
    sizes: BTreeMap<(String, String), usize>,
}

impl Expansion<'_> {
    /// How many types a declaration consists of, written out; above the bound, some number above it.
    fn size(&mut self, space: &str, json: &Json, depth: usize) -> usize {
        if depth > MAX_DEPTH {
            return MAX_SIZE + 1;
        }
        match json {
            Json::Object(map) => {
                let named = ["name", "type"].iter().filter_map(|key| map.get(*key)?.as_str());
                let named: usize = named.map(|name| self.named(space, name, depth)).sum();
                let inner = map.values().filter(|inner| inner.is_object() || inner.is_array());
                inner.fold(1 + named, |sum, inner| sum.saturating_add(self.size(space, inner, depth)))
            }
            Json::Array(items) => items.iter().fold(0, |sum, item| sum.saturating_add(self.size(space, item, depth))),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => 0,
        }
    }

    /// The size of a common type, if the name is one's.
    fn named(&mut self, space: &str, name: &str, depth: usize) -> usize {
        let (own, base) = name.rsplit_once("::").unwrap_or((space, name));
        let key = [own, ""].into_iter().map(|space| (space.to_owned(), base.to_owned()));
        let Some(key) = key.into_iter().find(|key| self.types.contains_key(key)) else { return 0 };
        if let Some(known) = self.sizes.get(&key) {
            return *known;
        }
        let Some(json) = self.types.get(&key).copied() else { return 0 };
        let size = self.size(&key.0, json, depth + 1);
        self.sizes.insert(key, size);
        size
    }
}
