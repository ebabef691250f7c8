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
    let mut text = String::new();
    write(json, &mut text);
    text
}

/// As `serde_json` would write the same with its keys in order.
fn write(json: &Json, text: &mut String) {
    match json {
        Json::Object(map) => {
            let mut entries: Vec<_> = map.iter().collect();
            entries.sort_unstable_by_key(|(key, _)| key.as_str());
            text.push('{');
            for (n, (key, value)) in entries.into_iter().enumerate() {
                text.push_str(if n == 0 { "" } else { "," });
                write_string(key, text);
                text.push(':');
                write(value, text);
            }
            text.push('}');
        }
        Json::Array(items) => {
            text.push('[');
            for (n, item) in items.iter().enumerate() {
                text.push_str(if n == 0 { "" } else { "," });
                write(item, text);
            }
            text.push(']');
        }
        Json::String(string) => write_string(string, text),
        Json::Null | Json::Bool(_) | Json::Number(_) => text.push_str(&json.to_string()),
    }
}

fn write_string(string: &str, text: &mut String) {
    match string.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b'"' && byte != b'\\') {
        true => {
            text.push('"');
            text.push_str(string);
            text.push('"');
        }
        false => text.push_str(&Json::from(string).to_string()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn json() -> impl Strategy<Value = Json> {
        let leaf = prop_oneof![
            Just(Json::Null),
            any::<bool>().prop_map(Json::from),
            any::<i64>().prop_map(Json::from),
            any::<f64>().prop_map(Json::from),
            any::<String>().prop_map(Json::from),
            "[ -~]{0,6}".prop_map(Json::from),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Json::Array),
                prop::collection::vec((any::<String>(), inner), 0..6)
                    .prop_map(|it| Json::Object(it.into_iter().collect())),
            ]
        })
    }

    /// The same with the keys of every object in order.
    fn sorted(json: &Json) -> Json {
        match json {
            Json::Object(map) => {
                let mut entries: Vec<_> = map.iter().map(|(key, value)| (key.clone(), sorted(value))).collect();
                entries.sort_by(|(one, _), (other, _)| one.cmp(other));
                Json::Object(entries.into_iter().collect())
            }
            Json::Array(items) => Json::Array(items.iter().map(sorted).collect()),
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => json.clone(),
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Digests of sets that stores hold were taken of what `serde_json` writes.
        #[test]
        fn canonical_is_what_serde_writes_of_the_sorted(json in json()) {
            prop_assert_eq!(canonical(&json), sorted(&json).to_string());
        }
    }
}
