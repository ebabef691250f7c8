//! Parsing policies and reading what their annotations say.

use std::collections::BTreeSet;
use std::sync::Arc;

use cedar_policy::{Policy, PolicySet};
use cedar_policy_core::parser::text_to_cst::parse_policies;
use cedar_policy_core::{ast, est};
use magistrate_model::{DurabilityClass, EntityUid, Notice, PolicyId, TypeName};
use serde_json::Value as Json;

use crate::finding::{Finding, Rule};
use crate::schema::RESERVED;
use crate::snapshot::Source;
use crate::{cedar, meaning, roles};

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
    /// What it means, as [`meaning::digest`] takes it.
    pub(crate) canonical: Box<str>,
    /// Roles and scopes tested where they must not be; told only where every policy was parsed.
    pub(crate) misused: Vec<Finding>,
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
        Self { info: parsed.info, cedar: parsed.cedar, canonical: parsed.canonical }
    }
}

impl ParsedPolicy {
    pub(crate) fn finding(&self, rule: Rule, message: impl Into<String>, help: &str) -> Finding {
        Finding::at(self.source.as_pair(), self.place, rule, message, Some(help.to_owned()))
    }
}

/// A policy as Cedar reads it.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) cedar: ast::Policy,
    /// Its text in its source.
    pub(crate) text: String,
    pub(crate) json: Json,
}

/// Parses the policies of one source that the guard let through; `assigned` are the types of roles and scopes.
pub(crate) fn parse(whole: &Source, assigned: &BTreeSet<&TypeName>) -> Result<Vec<ParsedPolicy>, Vec<Finding>> {
    let source = whole.as_pair();
    let shared = Arc::new(whole.clone());
    let (read, mut findings) = match read_at_once(source.1) {
        Some(read) => (read, Vec::new()),
        None => read_each(source)?,
    };
    let mut parsed = Vec::new();
    for policy in read {
        match parse_one(&shared, policy, assigned) {
            Ok(policy) => parsed.push(policy),
            Err(found) => findings.extend(found),
        }
    }
    match findings.is_empty() {
        true => Ok(parsed),
        false => Err(findings),
    }
}

/// Policies in both forms from one reading of their text; `None` where something is wrong with it, which
/// [`read_each`] then tells.
///
/// Cedar's public types give the second form, JSON, by reading the text of each policy once more.
pub(crate) fn read_at_once(text: &str) -> Option<Vec<Read>> {
    let policies = parse_policies(text).ok()?.node?;
    let read = policies.0.into_iter().map(|node| {
        let cedar = node.to_policy(ast::PolicyID::from_string("policy")).ok()?.into();
        let place = node.loc().map(|loc| loc.start()..loc.end())?;
        let json = serde_json::to_value(est::Policy::try_from(node.node?).ok()?).ok()?;
        Some(Read { cedar, text: text.get(place)?.to_owned(), json })
    });
    read.collect()
}

/// The policies of a text, with what is wrong with some of them; an error where nothing can be read.
pub(crate) fn read_each(source: (&str, &str)) -> Result<(Vec<Read>, Vec<Finding>), Vec<Finding>> {
    let set: PolicySet = source.1.parse().map_err(|errors: cedar_policy::ParseErrors| {
        errors.iter().map(|e| finding_of(source, Rule::Syntax, e)).collect::<Vec<_>>()
    })?;
    let mut findings: Vec<Finding> = set.templates().map(|template| template_finding(source, template)).collect();
    let mut read = Vec::new();
    for policy in set.policies() {
        let cedar: &ast::Policy = policy.as_ref();
        match policy.to_json() {
            Ok(json) => read.push(Read { cedar: cedar.clone(), text: policy.to_string(), json }),
            Err(why) => {
                let help = Some("simplify the policy".to_owned());
                findings.push(Finding::at(source, place_of(cedar), Rule::Syntax, why.to_string(), help));
            }
        }
    }
    Ok((read, findings))
}

/// Where a policy stands in its source, and how long its text is.
fn place_of(policy: &ast::Policy) -> (usize, usize) {
    policy.loc().map_or((0, 1), |loc| (loc.start(), loc.end() - loc.start()))
}

/// The value of an annotation; empty where it has none.
fn annotation<'a>(policy: &'a ast::Policy, name: &str) -> Option<&'a str> {
    let mut all = policy.annotations();
    all.find(|(key, _)| AsRef::<str>::as_ref(*key) == name).map(|(_, value)| value.as_ref())
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

fn parse_one(shared: &Arc<Source>, read: Read, assigned: &BTreeSet<&TypeName>) -> Result<ParsedPolicy, Vec<Finding>> {
    let Read { cedar: policy, text, json } = read;
    let source = shared.as_pair();
    let place = place_of(&policy);
    let refuse = |rule, message: String, help: &str| Finding::at(source, place, rule, message, Some(help.to_owned()));
    let annotation = |name: &str| annotation(&policy, name);
    let id = match annotation("id").map(str::parse::<PolicyId>) {
        Some(Ok(id)) => id,
        Some(Err(why)) => return Err(vec![refuse(Rule::Id, why.to_string(), "choose another `@id`")]),
        None => {
            let help = "put `@id(\"area.subject.verb\")` before it; it names the policy in every answer";
            return Err(vec![refuse(Rule::Id, "a policy has no `@id`".into(), help)]);
        }
    };
    let mut findings = Vec::new();
    let mut noted = |name: &str| {
        notices(&id, name, annotation(name)).unwrap_or_else(|why| {
            findings.push(refuse(Rule::Annotation, why, "write `name=value`, several separated by `;`"));
            Vec::new()
        })
    };
    let (mut advice, obligations) = (noted("advice"), noted("obligation"));
    let class =
        annotation("audit").map(str::parse).transpose().unwrap_or_else(|why: magistrate_model::UnknownClass| {
            findings.push(refuse(Rule::Annotation, why.to_string(), "correct `@audit`"));
            None
        });
    if let Some(status) = annotation("status") {
        match status.len() == 3 && status.bytes().all(|b| b.is_ascii_digit()) {
            true => advice.push(Notice { policy_id: id.clone(), name: "status".into(), value: status.into() }),
            false => findings.push(refuse(
                Rule::Annotation,
                format!("`@status(\"{status}\")` is not a status"),
                "write three digits",
            )),
        }
    }
    let negative_role = annotation("negative_role");
    if negative_role.is_some_and(|reason| reason.trim().is_empty()) {
        findings.push(refuse(
            Rule::Annotation,
            "`@negative_role` gives no reason".into(),
            "say why holding the role may take access away",
        ));
    }
    let cedar = Policy::from(policy.new_id(ast::PolicyID::from_string(id.as_str())));
    let names: BTreeSet<EntityUid> =
        cedar.entity_literals().iter().filter_map(|uid| cedar::our_uid(uid).ok()).collect();
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
            ast::Effect::Permit => Effect::Permit,
            ast::Effect::Forbid => Effect::Forbid,
        },
        text,
        advice,
        obligations,
        class: class.unwrap_or_default(),
        names,
        id,
    };
    let canonical = meaning::canonical(&json).into();
    let states_reason = negative_role.is_some();
    let mut parsed = ParsedPolicy { info, cedar, canonical, misused: Vec::new(), source: Arc::clone(shared), place };
    parsed.misused = roles::check(&parsed, &json, states_reason, assigned);
    Ok(parsed)
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
