//! A decision that was made in two ways, as the program tells it: an act like others, proven like others.
//!
//! The real program finds no difference, so the act is put into its store by hand.

use std::fmt::Write as _;

use magistrate_testkit::store_suite::logs::{SecondWay, sealed_difference};
use magistrate_tests::{CLASS, Running, Store, skip};

use super::tampering::edit;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

#[test]
fn difference_in_the_ledger_is_shown_and_proven() {
    let store = Store::example();
    let mut node = Running::with(&store, &[(CLASS, "process")]);
    node.wait_for("\"origin\":\"magistrate/log/");
    assert_eq!(node.terminate(), 0, "{}", node.logged());
    assert!(!node.logged().contains("differs from Cedar"), "{}", node.logged());
    assert_eq!(
        store.run(&["-o", "json", "audit", "acts", "--kind", "difference"]).code(0).json(),
        serde_json::json!([])
    );
    let inserted = [SecondWay::Authorizer, SecondWay::Evaluation].map(|second| {
        let act = sealed_difference(second);
        let [id, leaf, body] = [&act.record.id.0[..], act.leaf.as_bytes(), &act.bytes].map(hex);
        format!(
            "INSERT INTO act (place, id, kind, leaf, body)
             SELECT max(place) + 1, x'{id}', 'difference', x'{leaf}', x'{body}' FROM act;"
        )
    });
    let sql = inserted.concat();
    if !edit(&store.data().join("decisions.db"), &sql) {
        return skip("difference_in_the_ledger_is_shown_and_proven", "no python3 to change the file with");
    }
    let mut node = Running::with(&store, &[(CLASS, "process")]);
    node.wait_for("\"origin\":\"magistrate/log/");
    assert_eq!(node.terminate(), 0, "{}", node.logged());
    let told = store.run(&["-o", "json", "audit", "acts", "--kind", "difference"]).code(0).json();
    let at = |pointer: &str| told.pointer(pointer).cloned().unwrap_or_default();
    assert_eq!(told.as_array().unwrap().len(), 2, "{told}");
    assert_eq!((at("/0/act"), at("/0/actor")), ("difference".into(), "node/n".into()));
    assert_eq!(at("/0/decision_id"), serde_json::Value::from(format!("{}-{}", "04".repeat(16), u64::MAX)));
    assert_eq!((at("/0/answered/decision"), at("/0/answered/cause")), ("allow".into(), "permitted".into()));
    assert_eq!((at("/0/second"), at("/1/second")), ("authorizer".into(), "evaluation".into()));
    assert_eq!((at("/0/says/decision"), at("/0/says/cause")), ("deny".into(), "forbid_errored".into()));
    assert_eq!(
        (at("/0/says/errored").as_array().map(Vec::len), at("/0/says/errored_count")),
        (Some(16), 10_000.into())
    );
    let row = store.run(&["audit", "acts", "--kind", "difference"]).code(0).out;
    assert!(row.contains("was permitted by p0") && row.contains("and 9984 more"), "{row}");
    assert!(row.contains("to Cedar's own authorizer it is forbid_errored"), "{row}");
    assert!(row.contains("as an earlier answer; evaluated anew it is forbid_errored"), "{row}");
    // What was put into the log by a node is covered by what it signs.
    let key = store.run(&["audit", "key"]).code(0).out.trim().to_owned();
    let verified = store.run(&["-o", "json", "audit", "verify", "--key", &key]).code(0).json();
    assert!(verified["log"]["entries"].as_u64() > Some(1), "{verified}");
    assert_eq!(verified["log"]["entries"], verified["log"]["covered"], "{verified}");
}
