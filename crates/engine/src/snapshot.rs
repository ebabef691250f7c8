//! Immutable policy snapshots: what is live, or what would be.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::OnceLock;

use cedar_policy::{PolicySet as CedarSet, Schema};
use cedar_policy_core::validator::types::Attributes;
use foldhash::fast::RandomState;
use magistrate_model::{ActionUid, Digest, EntityData, PolicyId, PolicySet, PolicyText, Record, TypeName, Violation};

use crate::cedar::Types;
use crate::entity_types::Vocabulary;
use crate::explain::Clause;
use crate::finding::{Finding, Findings, Rule};
use crate::guard;
use crate::meaning;
use crate::policy::{self, ParsedPolicy, PolicyInfo};
use crate::roles;
use crate::rules::{RuleId, Rules};
use crate::schema::{self, ParsedSchema};
use crate::stack;
use crate::typed;
use crate::validate;

/// Attribute hops from a party of the request that a published policy may make, as in
/// `resource.owner.manager.suspended`: entities so far away are loaded for every request.
pub const MAX_DEREFERENCES: u32 = 4;

/// A named text: a file, or a policy read back from a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The name findings show.
    pub name: String,
    /// The text.
    pub text: String,
}

impl Source {
    /// Name and text.
    pub(crate) fn as_pair(&self) -> (&str, &str) {
        (&self.name, &self.text)
    }
}

/// A schema and its policies, parsed, checked and ready to answer. Immutable.
#[derive(Debug)]
pub struct Snapshot {
    pub(crate) cedar_schema: Schema,
    pub(crate) cedar_policies: CedarSet,
    /// In id order: a policy's place is its number among the rules.
    pub(crate) policies: Vec<PolicyInfo>,
    /// The policies prepared.
    pub(crate) rules: Rules,
    /// What was explained of each before, by place.
    pub(crate) clauses: Vec<OnceLock<Vec<Clause>>>,
    pub(crate) types: Types,
    /// Actions in Cedar's form, and what their contexts declare.
    pub(crate) actions: HashMap<ActionUid, cedar_policy_core::ast::EntityUID, RandomState>,
    pub(crate) contexts: HashMap<ActionUid, Attributes, RandomState>,
    pub(crate) time_dependent: BTreeSet<ActionUid>,
    vocabulary: Vocabulary,
    schema_text: String,
    digest: Digest,
    dereferences: u32,
}

impl Snapshot {
    /// Parses and checks a schema and policies. Everything a published set must not hold is a finding:
    /// all that one stage can tell are returned together.
    pub fn compile(schema: &Source, policies: &[Source]) -> Result<Self, Findings> {
        let compiled = stack::with_room(|| compile(schema, policies));
        let broken = || Finding::whole((&schema.name, &schema.text), Rule::Size, "it cannot be processed", None);
        compiled.unwrap_or_else(|| Err(vec![broken()])).map_err(Findings::of)
    }

    /// Compiles a set read back from a store.
    pub fn of(set: &PolicySet) -> Result<Self, Findings> {
        let schema = Source { name: "schema".into(), text: set.schema.to_string() };
        let policy =
            |policy: &PolicyText| Source { name: format!("policy {}", policy.id), text: policy.text.to_string() };
        Self::compile(&schema, &set.policies.iter().map(policy).collect::<Vec<_>>())
    }

    /// The set as texts, for a store.
    pub fn policy_set(&self) -> PolicySet {
        let text = |policy: &PolicyInfo| PolicyText { id: policy.id.clone(), text: policy.text.as_str().into() };
        PolicySet {
            digest: self.digest,
            schema: self.schema_text.as_str().into(),
            policies: self.policies.iter().map(text).collect(),
        }
    }

    /// Digest of what the schema and the policies mean.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The schema in our terms.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// The policies, in id order.
    pub fn policies(&self) -> impl ExactSizeIterator<Item = &PolicyInfo> {
        self.policies.iter()
    }

    /// The policy of this id.
    pub fn policy(&self, id: &PolicyId) -> Option<&PolicyInfo> {
        let place = self.policies.binary_search_by(|policy| policy.id.cmp(id)).ok()?;
        self.policies.get(place)
    }

    /// The policy that a rule was prepared from.
    pub(crate) fn policy_of(&self, rule: RuleId) -> Option<&PolicyInfo> {
        self.policies.get(rule.place())
    }

    /// Policies whose scope names neither an entity nor a group, by id: each is evaluated for every request of its
    /// actions and types, however many entities there are.
    pub fn unnarrowed(&self) -> impl Iterator<Item = &PolicyId> {
        self.rules.unnarrowed().filter_map(|rule| Some(&self.policy_of(rule)?.id))
    }

    /// How many attribute hops away from a party its policies read: so far entities must be loaded
    /// (RFC 76 of Cedar, levels).
    pub fn dereferences(&self) -> u32 {
        self.dereferences
    }

    /// A stored entity (or role) in the schema's types, or how it does not fit the schema.
    pub fn typed_entity(&self, given: EntityData) -> Result<EntityData, Vec<Violation>> {
        let type_name = given.uid.type_name().clone();
        let Some(info) = self.vocabulary.entity_type(&type_name) else {
            let description = format!("`{type_name}` is not an entity type of the schema");
            return Err(vec![Violation { field: "uid.type".into(), description }]);
        };
        let mut violations = Vec::new();
        let attributes = self.typed_attributes(&type_name, &given.attributes, "attributes");
        let attributes = attributes.unwrap_or_else(|found| {
            violations.extend(found);
            Record::new()
        });
        for parent in given.parents.iter().filter(|parent| !info.member_of.contains(parent.type_name())) {
            let description = format!("a `{type_name}` cannot be a member of `{parent}` by the schema");
            violations.push(Violation { field: "parents".into(), description });
        }
        match violations.is_empty() {
            true => Ok(EntityData { attributes, ..given }),
            false => Err(violations),
        }
    }

    /// The attributes of an entity in the schema's types; `path` names them in violations.
    pub fn typed_attributes(&self, type_name: &TypeName, given: &Record, path: &str) -> Result<Record, Vec<Violation>> {
        typed::attributes(self.cedar_schema.as_ref(), type_name, given, path)
    }
}

pub(crate) const OTHER_ID: &str = "choose another `@id`";

fn compile(schema: &Source, sources: &[Source]) -> Result<Snapshot, Vec<Finding>> {
    let schema_source = schema.as_pair();
    guard::check(schema_source)?;
    let parsed_schema = schema::parse(schema_source)?;
    let parsed = parse_all(sources)?;
    let assigned: BTreeSet<&TypeName> = assigned_types(&parsed_schema);
    let misused: Vec<Finding> = parsed.values().flat_map(|policy| roles::check(policy, &assigned)).collect();
    if !misused.is_empty() {
        return Err(misused);
    }
    let cedar_policies = cedar_set(&parsed)?;
    let dereferences = validate::validate(&parsed_schema.cedar, &parsed)?;
    let digest = meaning::digest(&parsed_schema.json, parsed.iter().map(|(id, policy)| (id, &policy.json)));
    let types = Types::of(parsed_schema.vocabulary.entity_types().map(|(name, _)| name));
    let actions = parsed_schema.vocabulary.actions();
    let actions: HashMap<ActionUid, _, RandomState> =
        actions.filter_map(|(action, _)| Some((action.clone(), types.uid(action.uid()).ok()?))).collect();
    let context = |uid| typed::declared_context(parsed_schema.cedar.as_ref(), uid);
    let contexts = actions.iter().filter_map(|(action, uid)| Some((action.clone(), context(uid)?))).collect();
    let rules = rules(&parsed_schema, &parsed).ok_or_else(unprocessable)?;
    let policies: Vec<PolicyInfo> = parsed.into_values().map(|policy| policy.info).collect();
    Ok(Snapshot {
        time_dependent: time_dependent(&parsed_schema.vocabulary, &policies),
        cedar_schema: parsed_schema.cedar,
        vocabulary: parsed_schema.vocabulary,
        schema_text: schema.text.clone(),
        cedar_policies,
        clauses: policies.iter().map(|_| OnceLock::new()).collect(),
        policies,
        rules,
        types,
        actions,
        contexts,
        digest,
        dereferences,
    })
}

fn rules(schema: &ParsedSchema, parsed: &BTreeMap<PolicyId, ParsedPolicy>) -> Option<Rules> {
    let schema: &cedar_policy_core::validator::ValidatorSchema = schema.cedar.as_ref();
    Rules::of(parsed.values().map(|policy| policy.cedar.as_ref()), &schema.action_entities().ok()?)
}

fn parse_all(sources: &[Source]) -> Result<BTreeMap<PolicyId, ParsedPolicy>, Vec<Finding>> {
    let parse = |source: &Source| guard::check(source.as_pair()).and_then(|()| policy::parse(source));
    let shares = stack::in_shares(sources, |share| share.iter().map(parse).collect::<Vec<_>>());
    let mut findings = Vec::new();
    let mut parsed: BTreeMap<PolicyId, ParsedPolicy> = BTreeMap::new();
    for source in shares.ok_or_else(unprocessable)?.into_iter().flatten() {
        match source {
            Ok(policies) => policies.into_iter().for_each(|policy| insert_unique(&mut parsed, policy, &mut findings)),
            Err(found) => findings.extend(found),
        }
    }
    match findings.is_empty() {
        true => Ok(parsed),
        false => Err(findings),
    }
}

fn insert_unique(parsed: &mut BTreeMap<PolicyId, ParsedPolicy>, policy: ParsedPolicy, findings: &mut Vec<Finding>) {
    let id = policy.info.id.clone();
    match parsed.get(&id) {
        Some(first) => {
            let message = format!("the id `{id}` is taken by a policy in {}", first.source.name);
            findings.push(policy.finding(Rule::Id, message, OTHER_ID));
        }
        None => drop(parsed.insert(id, policy)),
    }
}

fn assigned_types(schema: &ParsedSchema) -> BTreeSet<&TypeName> {
    schema.vocabulary.entity_types().filter(|(_, info)| info.source.is_assigned()).map(|(name, _)| name).collect()
}

fn cedar_set(parsed: &BTreeMap<PolicyId, ParsedPolicy>) -> Result<CedarSet, Vec<Finding>> {
    let mut set = CedarSet::new();
    for policy in parsed.values() {
        set.add(policy.cedar.clone()).map_err(|e| vec![policy.finding(Rule::Id, e.to_string(), OTHER_ID)])?;
    }
    Ok(set)
}

/// A thread could not be had, or did not end well.
pub(crate) fn unprocessable() -> Vec<Finding> {
    vec![Finding::whole(("policies", ""), Rule::Size, "they cannot be processed", None)]
}

/// Actions that some policy decides by `context.facts`.
fn time_dependent(vocabulary: &Vocabulary, policies: &[PolicyInfo]) -> BTreeSet<ActionUid> {
    let reading: Vec<_> = policies.iter().filter(|policy| policy.reads_facts).collect();
    let depends = |groups: &BTreeSet<magistrate_model::EntityUid>| {
        reading.iter().any(|policy| policy.actions.as_ref().is_none_or(|actions| !actions.is_disjoint(groups)))
    };
    let actions = vocabulary.actions().filter(|(_, info)| info.declares_facts && depends(&info.groups));
    actions.map(|(action, _)| action.clone()).collect()
}
