//! Every licence is one of those allowed.

use spdx::{Expression, Licensee, ParseMode};

use super::{built, rules};

fn allowed() -> Vec<Licensee> {
    rules().licenses.allow.iter().map(|text| Licensee::parse(text).unwrap()).collect()
}

/// Whether an expression holds with what is allowed; one that cannot be read does not.
fn is_allowed(expression: &str, allowed: &[Licensee]) -> bool {
    Expression::parse_mode(expression, ParseMode::LAX)
        .is_ok_and(|parsed| parsed.evaluate(|wanted| allowed.iter().any(|licensee| licensee.satisfies(wanted))))
}

#[test]
fn licences_are_among_those_allowed() {
    let allowed = allowed();
    let refused: Vec<_> = built().into_iter().filter(|built| !is_allowed(&built.licence, &allowed)).collect();
    assert!(refused.is_empty(), "{refused:#?}");
}

#[test]
fn licence_expressions_are_read() {
    let allowed = allowed();
    for refused in ["GPL-3.0-only", "MIT AND GPL-3.0-only", "", "Apache-2.0 WITH Classpath-exception-2.0", "MIT OR"] {
        assert!(!is_allowed(refused, &allowed), "{refused}");
    }
    for fine in ["GPL-2.0-only OR MIT", "(MIT OR GPL-3.0-only) AND ISC", "MIT/Apache-2.0"] {
        assert!(is_allowed(fine, &allowed), "{fine}");
    }
}

/// What is allowed is needed: a licence that nothing has any more goes from the list.
#[test]
fn every_allowed_licence_is_met() {
    let built = built();
    let allowed = allowed();
    for licensee in &allowed {
        let met = built.iter().filter_map(|it| Expression::parse_mode(&it.licence, ParseMode::LAX).ok());
        let met = met.into_iter().any(|parsed| parsed.requirements().any(|wanted| licensee.satisfies(&wanted.req)));
        assert!(met, "nothing that is built in is under `{licensee}`");
    }
}
