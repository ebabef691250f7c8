//! Digests of what schemas and policies mean, not of how they are written.

use magistrate_model::{Digest, PolicyId};
use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};

const DOMAIN: &[u8] = b"magistrate/policy-set/1";

/// Digest over a schema and policies in id order, each [`canonical`].
pub(crate) fn digest<'a>(schema: &str, policies: impl Iterator<Item = (&'a PolicyId, &'a str)>) -> Digest {
    let mut hash = Sha256::new();
    hash.update(DOMAIN);
    add(&mut hash, schema);
    for (id, policy) in policies {
        add(&mut hash, id.as_str());
        add(&mut hash, policy);
    }
    Digest::new(hash.finalize().into())
}

fn add(hash: &mut Sha256, text: &str) {
    hash.update((text.len() as u64).to_be_bytes());
    hash.update(text);
}

/// Cedar's JSON of a schema or a policy, with the keys of every object in byte order.
pub(crate) fn canonical(json: &Json) -> String {
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
