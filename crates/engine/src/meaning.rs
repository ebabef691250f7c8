//! Digests of what schemas and policies mean, not of how they are written.

use magistrate_model::{Digest, PolicyId};
use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};

const DOMAIN: &[u8] = b"magistrate/policy-set/1";

/// Digest over a schema and policies in id order, each in Cedar's JSON form with sorted keys.
pub(crate) fn digest<'a>(schema: &Json, policies: impl Iterator<Item = (&'a PolicyId, &'a Json)>) -> Digest {
    let mut hash = Sha256::new();
    hash.update(DOMAIN);
    add(&mut hash, &canonical(schema));
    for (id, policy) in policies {
        add(&mut hash, id.as_str());
        add(&mut hash, &canonical(policy));
    }
    Digest::new(hash.finalize().into())
}

fn add(hash: &mut Sha256, text: &str) {
    hash.update((text.len() as u64).to_be_bytes());
    hash.update(text);
}

/// JSON with the keys of every object in byte order.
fn canonical(json: &Json) -> String {
    sorted(json).to_string()
}

fn sorted(json: &Json) -> Json {
    match json {
        Json::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_by_key(|(key, _)| key.as_str());
            Json::Object(entries.into_iter().map(|(key, value)| (key.clone(), sorted(value))).collect())
        }
        Json::Array(items) => Json::Array(items.iter().map(sorted).collect()),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => json.clone(),
    }
}
