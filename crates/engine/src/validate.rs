//! Whether policies fit the schema, and how many attribute hops they make.

use std::cell::LazyCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use cedar_policy::{PolicySet as CedarSet, Schema, ValidationMode, Validator};
use magistrate_model::PolicyId;

use crate::finding::{Finding, Rule};
use crate::policy::{CheckedPolicy, ParsedPolicy, finding_of};
use crate::snapshot::{MAX_DEREFERENCES, OTHER_ID, unprocessable};
use crate::stack;

/// Attribute hops that a policy makes, as far as validation has told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hops {
    at_least: u32,
    at_most: u32,
}

/// Strict validation, warnings as errors; returns the attribute hops of each policy.
///
/// Cedar validates policies one by one, and so does this: on every core, and at a level of hops that rises from `level`
/// with the policies seen, so that nearly all of them are typed once.
pub(crate) fn validate(
    schema: &Schema,
    level: u32,
    parsed: &BTreeMap<PolicyId, ParsedPolicy>,
) -> Result<Vec<Hops>, Vec<Finding>> {
    let validator = Validator::new(schema.clone());
    let policies: Vec<&ParsedPolicy> = parsed.values().collect();
    let shares = stack::in_shares(&policies, |share| {
        let mut validation = Validation { level, ..Validation::default() };
        share.iter().for_each(|policy| validation.add(&validator, policy, parsed));
        validation
    });
    let mut whole = Validation::default();
    for share in shares.ok_or_else(unprocessable)? {
        whole.hops.extend(share.hops);
        whole.findings.extend(share.findings);
        whole.too_deep.extend(share.too_deep);
    }
    match (whole.findings.is_empty(), whole.too_deep.is_empty()) {
        (true, true) => Ok(whole.hops),
        (true, false) => Err(whole.too_deep),
        (false, _) => Err(whole.findings),
    }
}

/// How many hops the set makes: what its policies make at most. Where it is not known of any policy that it makes so
/// many, those that may are asked until one does.
pub(crate) fn settle(schema: &Schema, policies: &[Arc<CheckedPolicy>], hops: &mut [Hops]) -> u32 {
    let validator = LazyCell::new(|| Validator::new(schema.clone()));
    loop {
        let most = hops.iter().map(|hops| hops.at_most).max().unwrap_or(0);
        if most == 0 || hops.iter().any(|hops| hops.at_least == most) {
            return most;
        }
        let open = policies.iter().zip(hops.iter_mut()).filter(|(_, hops)| hops.at_most == most);
        for (policy, hops) in open {
            let set = CedarSet::from_policies([policy.cedar.clone()]);
            let is_less = set.is_ok_and(|set| {
                validator.validate_with_level(&set, ValidationMode::Strict, most - 1).validation_passed()
            });
            if !is_less {
                hops.at_least = most;
                break;
            }
            hops.at_most = most - 1;
        }
    }
}

/// What is known of the policies validated so far.
#[derive(Debug, Default)]
struct Validation {
    /// Attribute hops they make at most.
    level: u32,
    hops: Vec<Hops>,
    findings: Vec<Finding>,
    /// Told only where nothing else is wrong.
    too_deep: Vec<Finding>,
}

impl Validation {
    fn add(&mut self, validator: &Validator, policy: &ParsedPolicy, parsed: &BTreeMap<PolicyId, ParsedPolicy>) {
        let set = CedarSet::from_policies([policy.cedar.clone()]);
        let Ok(set) = set.inspect_err(|e| self.findings.push(policy.finding(Rule::Id, e.to_string(), OTHER_ID))) else {
            return;
        };
        let at = |level| validator.validate_with_level(&set, ValidationMode::Strict, level);
        let at_last =
            (self.level..=MAX_DEREFERENCES).map(|level| (level, at(level))).find(|(_, it)| it.validation_passed());
        if let Some((level, result)) = at_last {
            self.hops.push(Hops { at_least: if level > self.level { level } else { 0 }, at_most: level });
            self.level = level;
            let warnings = result.validation_warnings();
            self.findings.extend(warnings.map(|w| located(parsed, w.policy_id(), Rule::Warning, w)));
            return;
        }
        let result = validator.validate(&set, ValidationMode::Strict);
        let errors = result.validation_errors().map(|e| located(parsed, e.policy_id(), Rule::Type, e));
        let warnings = result.validation_warnings().map(|w| located(parsed, w.policy_id(), Rule::Warning, w));
        let found: Vec<Finding> = errors.chain(warnings).collect();
        match (found.is_empty(), result.validation_passed()) {
            (false, _) => self.findings.extend(found),
            // Strict validation that stops at its recursion limit fails without naming an error.
            (true, false) => {
                self.findings.push(policy.finding(Rule::Size, "validation gave up", "simplify the policies"));
            }
            (true, true) => {
                let result = at(MAX_DEREFERENCES);
                let errors = result.validation_errors().map(|e| located(parsed, e.policy_id(), Rule::Depth, e));
                self.too_deep.extend(errors);
            }
        }
    }
}

fn located(
    parsed: &BTreeMap<PolicyId, ParsedPolicy>,
    id: &cedar_policy::PolicyId,
    rule: Rule,
    error: &dyn miette::Diagnostic,
) -> Finding {
    let id: &str = id.as_ref();
    match id.parse().ok().and_then(|id: PolicyId| parsed.get(&id)) {
        Some(policy) => finding_of(policy.source.as_pair(), rule, error),
        None => finding_of((id, ""), rule, error),
    }
}
