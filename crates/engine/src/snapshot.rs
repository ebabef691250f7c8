//! Immutable policy snapshots: what is live, or what would be.

use std::sync::{Arc, OnceLock};

use cedar_policy::PolicySet as CedarSet;
use magistrate_model::{Digest, EntityData, PolicyId, PolicySet, PolicyText, Record, TypeName, Violation};

use crate::compile::{self, Before};
use crate::entity_types::Vocabulary;
use crate::explain::Clause;
use crate::finding::{Finding, Findings, Rule};
use crate::policy::{CheckedPolicy, PolicyInfo};
use crate::rules::{RuleId, Rules};
use crate::schema::CompiledSchema;
use crate::stack;
use crate::typed;
use crate::validate::{self, Hops};

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

/// A schema and its policies, parsed, checked and ready to answer. Immutable; what is next shares with it everything
/// that did not change.
#[derive(Debug)]
pub struct Snapshot {
    pub(crate) schema: Arc<CompiledSchema>,
    /// In id order: a policy's place is its number among the rules.
    pub(crate) policies: Vec<Arc<CheckedPolicy>>,
    /// Attribute hops of each, as far as they are known.
    pub(crate) hops: Vec<Hops>,
    /// The policies prepared.
    pub(crate) rules: Rules,
    /// What was explained of each before, by place.
    clauses: Vec<OnceLock<Vec<Clause>>>,
    /// The policies as Cedar's authorizer takes them, once it is asked.
    authorizer_policies: OnceLock<Option<CedarSet>>,
    digest: Digest,
    dereferences: u32,
}

impl Snapshot {
    /// Parses and checks a schema and policies. Everything a published set must not hold is a finding:
    /// all that one stage can tell are returned together.
    pub fn compile(schema: &Source, policies: &[Source]) -> Result<Self, Findings> {
        with_room(|| compile::compile(schema, policies, None))
    }

    /// Compiles a set read back from a store.
    pub fn of(set: &PolicySet) -> Result<Self, Findings> {
        Self::stored(set, None)
    }

    /// Compiles a set read back from a store, which may have much in common with this one: what the texts of schema and
    /// policies are the same for is taken over, so that a small change to a large set costs little. The outcome is that
    /// of [`Self::of`].
    pub fn followed_by(&self, set: &PolicySet) -> Result<Self, Findings> {
        Self::stored(set, Some(self))
    }

    fn stored(set: &PolicySet, before: Option<&Self>) -> Result<Self, Findings> {
        let schema = Source { name: "schema".into(), text: set.schema.to_string() };
        let before = before.filter(|before| before.schema.text == *set.schema);
        let (kept, new) = before.map_or_else(|| (Vec::new(), set.policies.iter().collect()), |it| it.divide(set));
        let source = |it: &&PolicyText| Source { name: format!("policy {}", it.id), text: it.text.to_string() };
        let compiled = |new: &[Source]| {
            let before = before.map(|before| Before { snapshot: before, kept: &kept });
            with_room(|| compile::compile(&schema, new, before))
        };
        // Cedar's lexer starts anew with every text: some texts together are read faster. Should they not come to the
        // same policies, each is read by itself, so that what is wrong is told of the policy that it is wrong with.
        let together = (new.len() > 1).then(|| compiled(&joined(&new)));
        match together {
            Some(Ok(snapshot)) if snapshot.holds_texts_of(set) => Ok(snapshot),
            _ => compiled(&new.iter().map(source).collect::<Vec<_>>()),
        }
    }

    /// Where it holds which of these policies as they are, and those that it does not hold so.
    fn divide<'a>(&self, set: &'a PolicySet) -> (Vec<RuleId>, Vec<&'a PolicyText>) {
        let (mut kept, mut new) = (Vec::with_capacity(set.policies.len()), Vec::new());
        let mut expected = 0;
        for it in &set.policies {
            // Stores give them in order: nearly every one stands behind the one before.
            let is_here = |policy: &Arc<CheckedPolicy>| policy.info.id == it.id;
            let here = self.policies.get(expected).is_some_and(is_here).then_some(expected);
            let place = here.or_else(|| self.place(&it.id));
            expected = place.map_or(expected, |place| place + 1);
            match place.filter(|place| self.policies.get(*place).is_some_and(|known| known.info.text == *it.text)) {
                Some(place) => kept.push(RuleId::at(place)),
                None => new.push(it),
            }
        }
        (kept, new)
    }

    fn holds_texts_of(&self, set: &PolicySet) -> bool {
        self.policies.len() == set.policies.len() && self.divide(set).1.is_empty()
    }

    pub(crate) fn assemble(
        schema: Arc<CompiledSchema>,
        policies: Vec<Arc<CheckedPolicy>>,
        rules: Rules,
        mut hops: Vec<Hops>,
        digest: Digest,
    ) -> Self {
        let dereferences = validate::settle(&schema.validator, &policies, &mut hops);
        Self {
            digest,
            clauses: policies.iter().map(|_| OnceLock::new()).collect(),
            authorizer_policies: OnceLock::new(),
            schema,
            policies,
            hops,
            rules,
            dereferences,
        }
    }

    /// The set as texts, for a store.
    pub fn policy_set(&self) -> PolicySet {
        let text = |policy: &PolicyInfo| PolicyText { id: policy.id.clone(), text: policy.text.as_str().into() };
        PolicySet {
            digest: self.digest,
            schema: self.schema.text.as_str().into(),
            policies: self.policies().map(text).collect(),
        }
    }

    /// Digest of what the schema and the policies mean.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The schema in our terms.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.schema.vocabulary
    }

    /// The policies, in id order.
    pub fn policies(&self) -> impl ExactSizeIterator<Item = &PolicyInfo> {
        self.policies.iter().map(|policy| &policy.info)
    }

    /// The policy of this id.
    pub fn policy(&self, id: &PolicyId) -> Option<&PolicyInfo> {
        self.policies.get(self.place(id)?).map(|policy| &policy.info)
    }

    /// Where a policy stands.
    pub(crate) fn place(&self, id: &PolicyId) -> Option<usize> {
        self.policies.binary_search_by(|policy| policy.info.id.cmp(id)).ok()
    }

    /// The policy that a rule was prepared from.
    pub(crate) fn policy_of(&self, rule: RuleId) -> Option<&PolicyInfo> {
        self.policies.get(rule.place()).map(|policy| &policy.info)
    }

    /// The clauses of a policy, prepared by `prepare` from its text when they are first asked for.
    pub(crate) fn clauses_of(&self, rule: RuleId, prepare: impl FnOnce(&str) -> Vec<Clause>) -> Option<&[Clause]> {
        let policy = self.policies.get(rule.place())?;
        Some(self.clauses.get(rule.place())?.get_or_init(|| prepare(&policy.info.text)))
    }

    /// The policies as Cedar's authorizer takes them; `None` where it does not take them.
    pub(crate) fn authorizer_policies(&self) -> Option<&CedarSet> {
        let policies = || CedarSet::from_policies(self.policies.iter().map(|policy| policy.cedar.clone())).ok();
        self.authorizer_policies.get_or_init(policies).as_ref()
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
        let Some(info) = self.vocabulary().entity_type(&type_name) else {
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
        typed::attributes(self.schema.cedar.as_ref(), type_name, given, path)
    }
}

pub(crate) const OTHER_ID: &str = "choose another `@id`";

/// Texts that are read together.
const TOGETHER: usize = 64;

fn joined(policies: &[&PolicyText]) -> Vec<Source> {
    let text = |some: &[&PolicyText]| some.iter().map(|it| &*it.text).collect::<Vec<_>>().join("\n");
    policies.chunks(TOGETHER).map(|some| Source { name: "policies".into(), text: text(some) }).collect()
}

fn with_room(work: impl FnOnce() -> Result<Snapshot, Vec<Finding>> + Send) -> Result<Snapshot, Findings> {
    stack::with_room(work).unwrap_or_else(|| Err(unprocessable())).map_err(Findings::of)
}

/// A thread could not be had, or did not end well.
pub(crate) fn unprocessable() -> Vec<Finding> {
    vec![Finding::whole(("policies", ""), Rule::Size, "they cannot be processed", None)]
}
