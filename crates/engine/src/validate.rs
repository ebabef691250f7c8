//! Whether policies fit the schema, and how many attribute hops they make.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use cedar_policy::{PolicySet as CedarSet, ValidationMode, Validator};
use cedar_policy_core::ast;
use cedar_policy_core::validator::ValidatorSchema;
use foldhash::fast::RandomState;

use crate::finding::{Finding, Rule};
use crate::policy::{CheckedPolicy, ParsedPolicy, finding_of};
use crate::reach::reach;
use crate::shape::Shape;
use crate::snapshot::{MAX_DEREFERENCES, OTHER_ID, unprocessable};
use crate::stack;

/// Attribute hops that a policy makes, as far as validation has told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hops {
    pub(crate) at_least: u32,
    pub(crate) at_most: u32,
}

/// What tells the [`Shape`] of a policy, where there is one.
pub(crate) type ShapeOf = fn(&ast::Policy, &ValidatorSchema) -> Option<Shape>;

/// Policies for which it is worth going to another thread.
const LEAST: usize = 16;

/// Strict validation, warnings as errors; returns the attribute hops of each policy.
///
/// Cedar validates policies one by one, and so does this: on every core, each [`Shape`] once, and at a level of hops that
/// rises from `level` with the policies seen, so that nearly all shapes are typed once.
pub(crate) fn validate(validator: &Validator, level: u32, parsed: &[ParsedPolicy]) -> Result<Vec<Hops>, Vec<Finding>> {
    validate_by(Shape::of, validator, level, parsed)
}

pub(crate) fn validate_by(
    shape_of: ShapeOf,
    validator: &Validator,
    level: u32,
    parsed: &[ParsedPolicy],
) -> Result<Vec<Hops>, Vec<Finding>> {
    let pieces = stack::in_pieces(parsed, LEAST, || {
        let mut validating = Validating { validator, shape_of, level, accepted: HashMap::default() };
        move |piece: &[ParsedPolicy]| {
            let mut validation = Validation::default();
            piece.iter().for_each(|policy| validating.add(policy, &mut validation));
            validation
        }
    });
    let mut whole = Validation::default();
    for piece in pieces.ok_or_else(unprocessable)? {
        whole.hops.extend(piece.hops);
        whole.findings.extend(piece.findings);
        whole.too_deep.extend(piece.too_deep);
    }
    match (whole.findings.is_empty(), whole.too_deep.is_empty()) {
        (true, true) => Ok(whole.hops),
        (true, false) => Err(whole.too_deep),
        (false, _) => Err(whole.findings),
    }
}

/// How many hops the set makes: what its policies make at most. Where it is not known of any policy that it makes so
/// many, those that may are asked until one does.
pub(crate) fn settle(validator: &Validator, policies: &[Arc<CheckedPolicy>], hops: &mut [Hops]) -> u32 {
    loop {
        let most = hops.iter().map(|hops| hops.at_most).max().unwrap_or(0);
        if most == 0 || hops.iter().any(|hops| hops.at_least == most) {
            return most;
        }
        let mut fewer = HashSet::new();
        let open = policies.iter().zip(hops.iter_mut()).filter(|(_, hops)| hops.at_most == most);
        for (policy, hops) in open {
            let shape = Shape::of(policy.cedar.as_ref(), validator.as_ref().schema());
            let is_fewer = shape.as_ref().is_some_and(|shape| fewer.contains(shape))
                || CedarSet::from_policies([policy.cedar.clone()]).is_ok_and(|set| {
                    validator.validate_with_level(&set, ValidationMode::Strict, most - 1).validation_passed()
                });
            if !is_fewer {
                hops.at_least = most;
                break;
            }
            hops.at_most = most - 1;
            fewer.extend(shape);
        }
    }
}

/// What is known of some policies.
#[derive(Debug, Default)]
struct Validation {
    hops: Vec<Hops>,
    findings: Vec<Finding>,
    /// Told only where nothing else is wrong.
    too_deep: Vec<Finding>,
}

/// Validates one policy after the other.
struct Validating<'a> {
    validator: &'a Validator,
    shape_of: ShapeOf,
    /// Attribute hops that those seen so far make at most.
    level: u32,
    /// Shapes that were accepted.
    accepted: HashMap<Shape, Hops, RandomState>,
}

impl Validating<'_> {
    fn add(&mut self, policy: &ParsedPolicy, to: &mut Validation) {
        let shape = (self.shape_of)(policy.cedar.as_ref(), self.validator.as_ref().schema());
        if let Some(hops) = shape.as_ref().and_then(|shape| self.accepted.get(shape)) {
            return to.hops.push(*hops);
        }
        let set = CedarSet::from_policies([policy.cedar.clone()]);
        let Ok(set) = set.inspect_err(|e| to.findings.push(policy.finding(Rule::Id, e.to_string(), OTHER_ID))) else {
            return;
        };
        let found_before = to.findings.len();
        let Some(hops) = self.accept(policy, &set, to) else { return self.refuse(policy, &set, to) };
        self.level = self.level.max(hops.at_most);
        to.hops.push(hops);
        if to.findings.len() == found_before
            && let Some(shape) = shape
        {
            self.accepted.insert(shape, hops);
        }
    }

    /// The hops of a policy that is accepted, perhaps with warnings.
    fn accept(&self, policy: &ParsedPolicy, set: &CedarSet, to: &mut Validation) -> Option<Hops> {
        let core: &ast::Policy = policy.cedar.as_ref();
        // Cedar types a policy twice to count its hops.
        let (hops, result) = match reach(&core.condition()).filter(|reach| *reach <= self.level) {
            Some(reach) => (Hops { at_least: 0, at_most: reach }, self.validator.validate(set, ValidationMode::Strict)),
            None => {
                let at = |level| (level, self.validator.validate_with_level(set, ValidationMode::Strict, level));
                let (level, result) = (self.level..=MAX_DEREFERENCES).map(at).find(|(_, it)| it.validation_passed())?;
                (Hops { at_least: if level > self.level { level } else { 0 }, at_most: level }, result)
            }
        };
        let warnings = result.validation_warnings().map(|warning| told(policy, Rule::Warning, warning));
        result.validation_passed().then(|| {
            to.findings.extend(warnings);
            hops
        })
    }

    fn refuse(&self, policy: &ParsedPolicy, set: &CedarSet, to: &mut Validation) {
        let result = self.validator.validate(set, ValidationMode::Strict);
        let errors = result.validation_errors().map(|error| told(policy, Rule::Type, error));
        let warnings = result.validation_warnings().map(|warning| told(policy, Rule::Warning, warning));
        let found: Vec<Finding> = errors.chain(warnings).collect();
        match (found.is_empty(), result.validation_passed()) {
            (false, _) => to.findings.extend(found),
            // Strict validation that stops at its recursion limit fails without naming an error.
            (true, false) => {
                to.findings.push(policy.finding(Rule::Size, "validation gave up", "simplify the policies"));
            }
            (true, true) => {
                let result = self.validator.validate_with_level(set, ValidationMode::Strict, MAX_DEREFERENCES);
                to.too_deep.extend(result.validation_errors().map(|error| told(policy, Rule::Depth, error)));
            }
        }
    }
}

/// What Cedar says of a policy that it was given alone.
fn told(policy: &ParsedPolicy, rule: Rule, error: &dyn miette::Diagnostic) -> Finding {
    finding_of(policy.source.as_pair(), rule, error)
}
