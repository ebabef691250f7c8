//! Texts are read to the same policies in one reading as by Cedar's public types, which read them twice.

use cedar_policy_core::ast::PolicyID;
use proptest::prelude::*;

use super::forms;
use crate::policy::{read_at_once, read_each};

/// Whether a text is read at once.
fn same(text: &str) -> bool {
    let Some(at_once) = read_at_once(text) else { return false };
    let (each, findings) = read_each(("p.cedar", text)).unwrap();
    assert!(findings.is_empty());
    // Cedar's ids of policies without names are no matter; the order is that of the text.
    let name = PolicyID::from_string("p");
    let told = |read: &crate::policy::Read| {
        let loc = read.cedar.loc().unwrap();
        (loc.start(), loc.end(), read.text.clone(), read.json.to_string(), read.cedar.new_id(name.clone()))
    };
    let mut each: Vec<_> = each.iter().map(told).collect();
    each.sort_by_key(|(start, ..)| *start);
    assert_eq!(at_once.iter().map(told).collect::<Vec<_>>(), each);
    true
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 80, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn one_reading_is_as_good_as_two(texts in forms::policies(), gap in "[ \\n\\t]{0,3}(// \\PC*\\n)?") {
        prop_assert!(same(&texts.join(&gap)));
    }
}

#[test]
fn what_cannot_be_read_at_once_is_read_by_cedar() {
    for text in ["", "// nothing", "@a @b(\"x\") permit (principal, action, resource) when { true } unless { 1 != 2 };"]
    {
        assert!(same(text), "{text}");
    }
    for text in [
        "permit (principal, action resource);",
        "permit (principal == ?principal, action, resource);",
        "permit",
        "\u{0}",
    ] {
        assert!(!same(text), "{text}");
    }
    let (read, findings) = read_each(("p.cedar", "permit (principal == ?principal, action, resource);")).unwrap();
    assert_eq!((read.len(), findings.len()), (0, 1));
}
