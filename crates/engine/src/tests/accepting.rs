//! Policies are accepted, and refused in the same words, as if each was validated by itself and at every level.

use std::collections::BTreeSet;

use cedar_policy::{PolicySet as CedarSet, Schema, ValidationMode, Validator};
use cedar_policy_core::ast;
use cedar_policy_core::validator::ValidatorSchema;
use proptest::prelude::*;

use super::{forms, source};
use crate::finding::{Finding, Findings, Rule};
use crate::policy::{self, ParsedPolicy, finding_of};
use crate::shape::Shape;
use crate::snapshot::MAX_DEREFERENCES;
use crate::validate::{ShapeOf, validate_by};

/// Of more than our model allows: of whatever Cedar validates.
fn validator() -> Validator {
    let text = format!("{}\n{}", forms::SCHEMA, include_str!("../facts.cedarschema"));
    Validator::new(Schema::from_cedarschema_str(&text).unwrap().0)
}

fn parsed(texts: &[String]) -> Vec<ParsedPolicy> {
    let parse = |text: &String| policy::parse(&source("p.cedar", text), &BTreeSet::new());
    texts.iter().flat_map(|text| parse(text).unwrap_or_else(|found| panic!("{}", Findings::of(found)))).collect()
}

/// What Cedar says of one policy: the fewest hops at which it is accepted, or what is wrong; and whether it is only that
/// it makes too many.
fn asked_alone(validator: &Validator, policy: &ParsedPolicy) -> (Option<u32>, Vec<Finding>, bool) {
    let set = CedarSet::from_policies([policy.cedar.clone()]).unwrap();
    let told = |rule, it: &dyn miette::Diagnostic| finding_of(policy.source.as_pair(), rule, it);
    let strict = validator.validate(&set, ValidationMode::Strict);
    let errors = strict.validation_errors().map(|it| told(Rule::Type, it));
    let found: Vec<Finding> = errors.chain(strict.validation_warnings().map(|it| told(Rule::Warning, it))).collect();
    let at = |level: &u32| validator.validate_with_level(&set, ValidationMode::Strict, *level);
    match (0..=MAX_DEREFERENCES).find(|level| at(level).validation_passed()) {
        Some(level) => (Some(level), found, false),
        None if !found.is_empty() => (None, found, false),
        None => {
            let deepest = at(&MAX_DEREFERENCES);
            (None, deepest.validation_errors().map(|it| told(Rule::Depth, it)).collect(), true)
        }
    }
}

/// Whether validation by shapes comes to what Cedar says of each policy.
fn agrees(shape_of: ShapeOf, validator: &Validator, level: u32, policies: &[ParsedPolicy]) -> Result<(), String> {
    let alone: Vec<_> = policies.iter().map(|policy| asked_alone(validator, policy)).collect();
    let of = |deep: bool| alone.iter().filter(move |it| it.2 == deep).flat_map(|it| it.1.clone()).collect::<Vec<_>>();
    let expected = match of(false) {
        found if !found.is_empty() => found,
        _ => of(true),
    };
    match validate_by(shape_of, validator, level, policies) {
        Ok(hops) => {
            let within = |(hops, (level, ..)): (&crate::validate::Hops, &(Option<u32>, Vec<Finding>, bool))| {
                level.is_some_and(|level| (hops.at_least..=hops.at_most).contains(&level))
            };
            match expected.is_empty() && hops.len() == alone.len() && hops.iter().zip(&alone).all(within) {
                true => Ok(()),
                false => Err(format!("accepted with {hops:?} instead of {alone:?}")),
            }
        }
        Err(found) => {
            let (found, expected) = (Findings::of(found), Findings::of(expected));
            if found == expected { Ok(()) } else { Err(format!("found:\n{found}\ninstead of:\n{expected}")) }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 80, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn policies_of_a_shape_are_accepted_together(texts in forms::policies(), level in 0..=MAX_DEREFERENCES) {
        let (validator, policies) = (&validator(), parsed(&texts));
        let outcome = agrees(Shape::of, validator, level, &policies);
        prop_assert!(outcome.is_ok(), "{}", outcome.unwrap_err());
        // What is right with all of them, without those that hide it.
        let (right, _): (Vec<_>, Vec<_>) = policies.into_iter().partition(|policy| {
            matches!(asked_alone(validator, policy), (Some(_), found, _) if found.is_empty())
        });
        let outcome = agrees(Shape::of, validator, level, &right);
        prop_assert!(outcome.is_ok(), "{}", outcome.unwrap_err());
    }
}

/// Two policies that differ in a name alone, of which Cedar accepts the first.
const PAIRS: [(&str, &str, &str); 7] = [
    ("permit (principal, action, resource is Doc) when { resource.color == Color::\"red\" };", "red", "blue"),
    ("permit (principal, action == Action::\"read\", resource);", "read", "fly"),
    (
        "permit (principal, action == Action::\"read\", resource) when { context has n && context.n > 1 };",
        "read",
        "edit",
    ),
    ("permit (principal, action, resource) when { User::\"a\" == User::\"a\" };", "\"a\" =", "\"b\" ="),
    ("permit (principal == User::\"a\", action, resource);", "\"a", "\"\u{430}b"),
    ("permit (principal in Group::\"a\", action, resource);", "Group", "Doc"),
    ("permit (principal == User::\"a\", action, resource is Doc);", "Doc", "Color"),
];

/// Where uids matter, they make another shape.
#[test]
fn what_validation_reads_of_uids_is_part_of_the_shape() {
    let validator = &validator();
    let core: &ValidatorSchema = validator.as_ref().schema();
    for it @ (one, from, to) in PAIRS {
        let policies =
            parsed(&[format!("@id(\"one\") {one}"), format!("@id(\"other\") {}", one.replacen(from, to, 1))]);
        let (of_one, of_other) = (asked_alone(validator, &policies[0]), asked_alone(validator, &policies[1]));
        assert!(of_one.0.is_some() && of_one.1.is_empty(), "{it:?}: {of_one:?}");
        assert!(of_other.0.is_none() || !of_other.1.is_empty(), "{it:?}: {of_other:?}");
        let shapes: Vec<_> = policies.iter().map(|policy| Shape::of(policy.cedar.as_ref(), core).unwrap()).collect();
        assert_ne!(shapes[0], shapes[1], "{it:?}");
        agrees(Shape::of, validator, 0, &policies).unwrap_or_else(|why| panic!("{it:?}: {why}"));
    }
    let same = ["a", "b"].map(|id| {
        format!("@id(\"{id}\") forbid (principal in Group::\"{id}\", action, resource) unless {{ resource.owner == User::\"{id}\" }};")
    });
    let policies = parsed(&same);
    let shape = |n: usize| Shape::of(policies[n].cedar.as_ref(), core).unwrap();
    assert_eq!(shape(0), shape(1), "other ids, and nothing else");
}

/// The comparison above sees a shape that leaves too much out.
#[test]
fn shape_that_leaves_out_too_much_is_seen() {
    fn scope_alone(policy: &ast::Policy, schema: &ValidatorSchema) -> Option<Shape> {
        let alone = ast::StaticPolicy::new(
            policy.id().clone(),
            None,
            ast::Annotations::new(),
            policy.effect(),
            policy.principal_constraint(),
            ast::ActionConstraint::Any,
            policy.resource_constraint(),
            None,
        );
        Shape::of(&alone.ok()?.into(), schema)
    }
    let validator = &validator();
    let texts = ["principal.level > 1", "principal.size > 1"];
    let texts = texts.map(|it| format!("@id(\"p{}\") permit (principal, action, resource) when {{ {it} }};", it.len()));
    let mut texts = texts.to_vec();
    texts.extend((0..8).map(|n| format!("@id(\"q{n}\") permit (principal, action == Action::\"read\", resource);")));
    assert!(agrees(scope_alone, validator, 0, &parsed(&texts)).is_err());
    assert!(agrees(Shape::of, validator, 0, &parsed(&texts)).is_ok());
}
