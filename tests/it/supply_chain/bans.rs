//! Nothing is built in that is banned, comes from elsewhere, or is there twice without a reason.

use std::collections::{BTreeMap, BTreeSet};

use super::{Built, Named, built, rules, shipped};

#[test]
fn crates_come_from_the_registry_and_none_is_banned() {
    let rules = rules();
    assert_eq!((rules.sources.unknown_registry.as_str(), rules.sources.unknown_git.as_str()), ("deny", "deny"));
    let banned: BTreeSet<&str> = rules.bans.deny.iter().map(|it| it.name.as_str()).collect();
    assert!(banned.contains("ring") && banned.contains("openssl-sys"));
    let built = built();
    assert!(shipped().len() > 200 && built.len() > shipped().len(), "{}", built.len());
    let wrong: Vec<_> = built.iter().filter(|it| !it.from.is_empty() || banned.contains(it.name.as_str())).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Of a crate that is built in several versions, all but one stand in the list with a reason, and nothing else does.
#[test]
fn what_is_built_twice_has_a_reason() {
    let rules = rules();
    assert_eq!(rules.bans.multiple_versions, "deny");
    assert_eq!(unreasoned(built(), &rules.bans.skip), Vec::<String>::new());
}

/// A second version without a line, a line that excuses nothing, and a line without a reason are all told.
#[test]
fn a_second_version_is_told() {
    let it = |name: &str, version: &str| Built {
        name: name.to_owned(),
        version: version.to_owned(),
        licence: String::new(),
        from: String::new(),
    };
    let skip = |name: &str, reason: &str| Named { name: name.to_owned(), reason: reason.to_owned() };
    let two = || [it("a", "1.0.0"), it("a", "2.1.0"), it("b", "1.2.0")].into_iter().collect();
    assert_eq!(unreasoned(two(), &[skip("a@1", "old")]), Vec::<String>::new());
    assert_eq!(unreasoned(two(), &[]), ["`a` is built in 1.0.0, 2.1.0"]);
    assert_eq!(unreasoned(two(), &[skip("a@1", "")]), ["`a@1` gives no reason"]);
    assert_eq!(unreasoned(two(), &[skip("a@1", "x"), skip("b@1", "x")]), ["`b@1` excuses nothing"]);
    assert_eq!(unreasoned(two(), &[skip("a@2.1", "x"), skip("a@1.1", "x")]), ["`a@1.1` excuses nothing"]);
}

fn unreasoned(built: BTreeSet<Built>, skip: &[Named]) -> Vec<String> {
    let mut versions: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for it in built {
        versions.entry(it.name).or_default().insert(it.version);
    }
    versions.retain(|_, versions| versions.len() > 1);
    let mut wrong: Vec<String> = Vec::new();
    for line in skip {
        let (name, version) = line.name.split_once('@').unwrap();
        let excused = versions.get_mut(name).and_then(|all| {
            let found = all.iter().find(|it| **it == version || it.starts_with(&format!("{version}.")))?.clone();
            all.take(&found)
        });
        match excused {
            None => wrong.push(format!("`{}` excuses nothing", line.name)),
            Some(_) if line.reason.is_empty() => wrong.push(format!("`{}` gives no reason", line.name)),
            Some(_) => {}
        }
    }
    let twice = versions.iter().filter(|(_, left)| left.len() > 1);
    let text = |left: &BTreeSet<String>| left.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    wrong.extend(twice.map(|(name, left)| format!("`{name}` is built in {}", text(left))));
    wrong
}
