//! Parsing policies and reading what their annotations say.

use std::collections::BTreeSet;
use std::sync::Arc;

use cedar_policy::{Policy, PolicySet};
use magistrate_model::{DurabilityClass, EntityUid, Notice, PolicyId};
use serde_json::Value as Json;

use crate::cedar;
use crate::finding::{Finding, Rule};
use crate::meaning;
use crate::schema::RESERVED;
use crate::snapshot::Source;

/// What a policy does when it matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// It permits.
    Permit,
    /// It forbids.
    Forbid,
}

/// What we know of a policy besides its Cedar form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyInfo {
    /// Its `@id`.
    pub id: PolicyId,
    /// Permit or forbid.
    pub effect: Effect,
    /// Its text.
    pub text: String,
    /// From `@advice` and `@status`.
    pub advice: Vec<Notice>,
    /// From `@obligation`.
    pub obligations: Vec<Notice>,
    /// The durability class its `@audit` asks for.
    pub class: DurabilityClass,
    /// Entities it names; roles and scopes among them tell which grants it rests on.
    pub names: BTreeSet<EntityUid>,
}

/// A policy with everything the checks of a set need.
#[derive(Debug)]
pub(crate) struct ParsedPolicy {
    pub(crate) info: PolicyInfo,
    pub(crate) cedar: Policy,
    pub(crate) json: Json,
    /// The reason of `@negative_role`, if it has one.
    pub(crate) negative_role: Option<String>,
    /// The source it stands in, shared by all policies of it.
    pub(crate) source: Arc<Source>,
    /// Where it starts in its source, and how long its text is.
    pub(crate) place: (usize, usize),
}

/// A policy that passed the checks. Snapshots that hold it share it.
#[derive(Debug)]
pub(crate) struct CheckedPolicy {
    pub(crate) info: PolicyInfo,
    pub(crate) cedar: Policy,
    /// What it means, as [`meaning::digest`] takes it.
    pub(crate) canonical: Box<str>,
}

impl CheckedPolicy {
    pub(crate) fn of(parsed: ParsedPolicy) -> Self {
        let canonical = meaning::canonical(&parsed.json).into();
        Self { info: parsed.info, cedar: parsed.cedar, canonical }
    }
}

impl ParsedPolicy {
    pub(crate) fn finding(&self, rule: Rule, message: impl Into<String>, help: &str) -> Finding {
        Finding::at(self.source.as_pair(), self.place, rule, message, Some(help.to_owned()))
    }
}

/// Parses the policies of one source that the guard let through.
pub(crate) fn parse(whole: &Source) -> Result<Vec<ParsedPolicy>, Vec<Finding>> {
    let source = whole.as_pair();
    let shared = Arc::new(whole.clone());
    let set: PolicySet = source.1.parse().map_err(|errors: cedar_policy::ParseErrors| {
        errors.iter().map(|e| finding_of(source, Rule::Syntax, e)).collect::<Vec<_>>()
    })?;
    let mut findings: Vec<Finding> = set.templates().map(|template| template_finding(source, template)).collect();
    let mut parsed = Vec::new();
    for policy in set.policies() {
        match parse_one(&shared, policy) {
            Ok(policy) => parsed.push(policy),
            Err(found) => findings.extend(found),
        }
    }
    match findings.is_empty() {
        true => Ok(parsed),
        false => Err(findings),
    }
}

fn template_finding(source: (&str, &str), template: &cedar_policy::Template) -> Finding {
    let slot = source.1.find("?principal").or_else(|| source.1.find("?resource")).unwrap_or(0);
    let id = template.annotation("id").unwrap_or("a policy");
    let help = "name a role instead and grant it: assignments expire and carry reasons".to_owned();
    Finding::at(
        source,
        (slot, 1),
        Rule::Template,
        format!("`{id}` is a template; templates are not published"),
        Some(help),
    )
}

fn parse_one(shared: &Arc<Source>, policy: &Policy) -> Result<ParsedPolicy, Vec<Finding>> {
    let source = shared.as_pair();
    let core: &cedar_policy_core::ast::Policy = policy.as_ref();
    let place = core.loc().map_or((0, 1), |loc| (loc.start(), loc.end() - loc.start()));
    let refuse = |rule, message: String, help: &str| Finding::at(source, place, rule, message, Some(help.to_owned()));
    let id = match policy.annotation("id").map(str::parse::<PolicyId>) {
        Some(Ok(id)) => id,
        Some(Err(why)) => return Err(vec![refuse(Rule::Id, why.to_string(), "choose another `@id`")]),
        None => {
            let help = "put `@id(\"area.subject.verb\")` before it; it names the policy in every answer";
            return Err(vec![refuse(Rule::Id, "a policy has no `@id`".into(), help)]);
        }
    };
    let mut findings = Vec::new();
    let mut noted = |name: &str| {
        notices(&id, name, policy.annotation(name)).unwrap_or_else(|why| {
            findings.push(refuse(Rule::Annotation, why, "write `name=value`, several separated by `;`"));
            Vec::new()
        })
    };
    let (mut advice, obligations) = (noted("advice"), noted("obligation"));
    let class =
        policy.annotation("audit").map(str::parse).transpose().unwrap_or_else(|why: magistrate_model::UnknownClass| {
            findings.push(refuse(Rule::Annotation, why.to_string(), "correct `@audit`"));
            None
        });
    if let Some(status) = policy.annotation("status") {
        match status.len() == 3 && status.bytes().all(|b| b.is_ascii_digit()) {
            true => advice.push(Notice { policy_id: id.clone(), name: "status".into(), value: status.into() }),
            false => findings.push(refuse(
                Rule::Annotation,
                format!("`@status(\"{status}\")` is not a status"),
                "write three digits",
            )),
        }
    }
    let negative_role = policy.annotation("negative_role").map(str::to_owned);
    if negative_role.as_deref().is_some_and(|reason| reason.trim().is_empty()) {
        findings.push(refuse(
            Rule::Annotation,
            "`@negative_role` gives no reason".into(),
            "say why holding the role may take access away",
        ));
    }
    let json = policy.to_json().map_err(|e| vec![refuse(Rule::Syntax, e.to_string(), "simplify the policy")])?;
    let names: BTreeSet<EntityUid> =
        policy.entity_literals().iter().filter_map(|uid| cedar::our_uid(uid).ok()).collect();
    if names.iter().any(|uid| uid.type_name().namespace() == RESERVED) {
        findings.push(refuse(
            Rule::Reserved,
            format!("`{id}` names something of `{RESERVED}`"),
            "only the built-in guard set may",
        ));
    }
    if !findings.is_empty() {
        return Err(findings);
    }
    let info = PolicyInfo {
        effect: match policy.effect() {
            cedar_policy::Effect::Permit => Effect::Permit,
            cedar_policy::Effect::Forbid => Effect::Forbid,
        },
        text: policy.to_string(),
        advice,
        obligations,
        class: class.unwrap_or_default(),
        names,
        id,
    };
    let cedar = policy.new_id(cedar_policy::PolicyId::new(info.id.as_str()));
    Ok(ParsedPolicy { info, cedar, json, negative_role, source: Arc::clone(shared), place })
}

/// `name=value` pairs separated by `;`.
fn notices(id: &PolicyId, annotation: &str, text: Option<&str>) -> Result<Vec<Notice>, String> {
    let pairs = text.into_iter().flat_map(|text| text.split(';'));
    let notice = |pair: &str| {
        let (name, value) = pair.split_once('=').map(|(name, value)| (name.trim(), value.trim()))?;
        let ok = !name.is_empty() && !value.is_empty();
        ok.then(|| Notice { policy_id: id.clone(), name: name.to_owned(), value: value.to_owned() })
    };
    pairs.map(|pair| notice(pair).ok_or_else(|| format!("`@{annotation}` of `{id}` holds `{}`", pair.trim()))).collect()
}

/// A finding at the first place Cedar points to, in Cedar's words.
pub(crate) fn finding_of(source: (&str, &str), rule: Rule, error: &dyn miette::Diagnostic) -> Finding {
    let label = error.labels().and_then(|mut labels| labels.next());
    let place = label.as_ref().map_or((0, 1), |label| (label.offset(), label.len()));
    let mut message = error.to_string();
    if let Some(expected) = label.as_ref().and_then(|label| label.label()) {
        message = format!("{message}: {expected}");
    }
    Finding::at(source, place, rule, message, error.help().map(|help| help.to_string()))
}
