//! What fuzz targets do with their input, and plain tests with the corpora they left: nothing a text says makes the
//! engine panic, overflow its stack, or answer other than Cedar's authorizer.

use std::str::FromStr as _;

use cedar_policy::PolicySet as CedarSet;

use crate::rules::fuzzed::same_answers;
use crate::{Findings, Snapshot, Source, guard};

const SCHEMA: &str = r#"
@source("stored") entity Group in [Group];
@source("role") entity Role in [Role];
@source("scope") entity Scope;
@source("stored") entity User in [Group, Role, Scope] { level: Long, name: String, manager?: User, tags_?: Set<String> };
@source("asserted") entity Doc in [Group] { owner: User, open: Bool, at: datetime, from: ipaddr, size: decimal };
action "docs:read";
action read in ["docs:read"] appliesTo { principal: User, resource: Doc, context: { n?: Long, r?: { a: Long } } };
action edit appliesTo { principal: User, resource: Doc, context: { facts: Magistrate::Facts } };
"#;

fn source(name: &str, text: &str) -> Source {
    Source { name: name.into(), text: text.into() }
}

/// A set that was accepted is the same set when it is read back, and so beside itself.
fn check(compiled: Result<Snapshot, Findings>) {
    match compiled {
        Err(findings) => assert!(!findings.as_slice().is_empty() && !findings.to_string().is_empty()),
        Ok(snapshot) => {
            let set = snapshot.policy_set();
            let again = Snapshot::of(&set).unwrap_or_else(|findings| panic!("not accepted again: {findings}"));
            assert_eq!(again.digest(), snapshot.digest());
            assert_eq!(again.dereferences(), snapshot.dereferences());
            let beside = again.followed_by(&set).unwrap_or_else(|findings| panic!("not beside itself: {findings}"));
            assert_eq!(beside.digest(), snapshot.digest());
        }
    }
}

/// The text of policies.
pub fn policies(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        check(Snapshot::compile(&source("schema", SCHEMA), &[source("policies", text)]));
    }
}

/// The text of a schema.
pub fn schema(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        check(Snapshot::compile(&source("schema", text), &[]));
    }
}

/// The text of policies, without a schema: whatever passes the guard is asked for both ways.
pub fn rules(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if guard::check(("policies", text)).is_err() {
        return;
    }
    let parsed = crate::stack::with_room(|| CedarSet::from_str(text).ok());
    let Some(Some(set)) = parsed else { return };
    if set.policies().count() <= 64 {
        same_answers(&set);
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// How many files a target left, each tried again.
    fn replay(target: &str, try_again: fn(&[u8])) -> usize {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
        let files: Vec<_> = std::fs::read_dir(corpus).unwrap().map(|file| file.unwrap().path()).collect();
        files.iter().for_each(|file| try_again(&std::fs::read(file).unwrap()));
        files.len()
    }

    #[test]
    fn corpora_are_replayed() {
        for (target, try_again) in
            [("policies", super::policies as fn(&[u8])), ("schema", super::schema), ("rules", super::rules)]
        {
            assert!(replay(target, try_again) >= 20, "{target}");
        }
    }
}
