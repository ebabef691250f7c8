//! A small world to ask questions in: policies, data and a clock, without a store.

use std::path::PathBuf;
use std::sync::Arc;

use magistrate_engine::{Snapshot, Source};
use magistrate_model::{
    ActionUid, Caller, Channel, Dataset, EntityInput, EntityUid, Environment, Explanation, Instant, Query, Record,
    Span, Verdict, json,
};
use magistrate_pap::{Data, Known, PolicyFiles, plan};
use magistrate_pdp::{CheckError, View};
use serde_json::Value as Json;

/// The directory of the shipped example.
pub fn example_policies() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../policies"))
}

/// An instant from RFC 3339.
pub fn instant(text: &str) -> Instant {
    text.parse().unwrap()
}

/// Policies and data at a clock. Built step by step; each step panics on what the product would refuse.
#[derive(Debug, Clone)]
pub struct World {
    snapshot: Arc<Snapshot>,
    dataset: Dataset,
    now: Instant,
    namespace: String,
}

impl World {
    /// A world of one schema and one policy text, empty of data, at 2026-06-01T12:00:00Z. Bare actions
    /// belong to the root namespace.
    pub fn of(schema: &str, policies: &str) -> Self {
        let source = |name: &str, text: &str| Source { name: name.into(), text: text.into() };
        let snapshot = Snapshot::compile(&source("schema", schema), &[source("policies", policies)]);
        let snapshot = snapshot.unwrap_or_else(|findings| panic!("{findings}"));
        Self {
            snapshot: Arc::new(snapshot),
            dataset: Dataset::empty(),
            now: instant("2026-06-01T12:00:00Z"),
            namespace: String::new(),
        }
    }

    /// The shipped example with its data, at 2026-06-01T12:00:00Z. Bare actions belong to `Company`.
    pub fn example() -> Self {
        let now = instant("2026-06-01T12:00:00Z");
        let files = PolicyFiles::read(&example_policies()).unwrap();
        let snapshot = files.compile().unwrap_or_else(|findings| panic!("{findings}"));
        let dataset = files.dataset(&snapshot, now).unwrap_or_else(|error| panic!("{error}"));
        Self { snapshot: Arc::new(snapshot), dataset, now, namespace: "Company".into() }
    }

    /// Adds data, one JSON object a line, of a kind: `entities`, `roles`, `scopes` or `grants`.
    #[must_use]
    pub fn with(self, kind: &str, lines: &str) -> Self {
        self.try_with(kind, lines).unwrap_or_else(|problems| panic!("{problems:?}"))
    }

    /// Adds data, or says what the product has against it.
    pub fn try_with(mut self, kind: &str, lines: &str) -> Result<Self, Vec<magistrate_pap::Problem>> {
        let mut data = Data::default();
        data.add_jsonl(kind, kind, lines)?;
        let plan = plan(&self.snapshot, &self.known(), data, self.now)?;
        self.dataset.apply(plan.changes);
        Ok(self)
    }

    /// The same world without the grants that `gone` picks.
    #[must_use]
    pub fn without_grants(mut self, gone: impl Fn(&magistrate_model::Grant) -> bool) -> Self {
        self.dataset.grants.retain(|grant| !gone(grant));
        self
    }

    /// The same world at another time.
    #[must_use]
    pub fn at(mut self, now: Instant) -> Self {
        self.now = now;
        self
    }

    /// The clock.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// The compiled policies.
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// The data.
    pub fn dataset(&self) -> &Dataset {
        &self.dataset
    }

    /// A question that can be asked here: a shorthand principal, a bare or full action, a shorthand resource.
    pub fn ask(&self, principal: &str, action: &str, resource: &str) -> Ask {
        let reference = |text: &str| EntityInput::Reference(EntityUid::parse_shorthand(text).unwrap());
        Ask {
            view: View::offline(Arc::clone(&self.snapshot), self.dataset.clone()),
            now: self.now,
            query: Query {
                principal: reference(principal),
                action: ActionUid::resolve(action, &self.namespace).unwrap(),
                resource: reference(resource),
                context: Record::new(),
                environment: Environment::default(),
                at_least_revision: None,
                request_id: None,
                explain: false,
                caller: Caller { address: None, channel: Channel::Local, key: None, trace: None },
            },
        }
    }

    fn known(&self) -> Known {
        Known {
            entities: self.dataset.entities.iter().map(|entity| (entity.uid.clone(), entity.clone())).collect(),
            scopes: self.dataset.scopes.iter().map(|scope| (scope.name.clone(), scope.clone())).collect(),
            grants: self.dataset.grants.iter().map(|grant| (grant.id().clone(), grant.clone())).collect(),
        }
    }
}

/// A question about to be asked.
#[derive(Debug)]
pub struct Ask {
    view: View,
    now: Instant,
    /// The query, free to be changed.
    pub query: Query,
}

impl Ask {
    /// With a context.
    #[must_use]
    pub fn context(mut self, context: &Json) -> Self {
        self.query.context = json::record_from(context, "context").unwrap();
        self
    }

    /// With a resource whose attributes and parents the caller vouches for.
    #[must_use]
    pub fn asserting_resource(mut self, entity: &Json) -> Self {
        self.query.resource = EntityInput::Asserted(json::entity_from(entity).unwrap());
        self
    }

    /// With a principal whose attributes and parents the caller vouches for.
    #[must_use]
    pub fn asserting_principal(mut self, entity: &Json) -> Self {
        self.query.principal = EntityInput::Asserted(json::entity_from(entity).unwrap());
        self
    }

    /// From an end user's address.
    #[must_use]
    pub fn from_ip(mut self, ip: &str) -> Self {
        self.query.environment.source_ip = Some(ip.parse().unwrap());
        self
    }

    /// The answer, or why there is none; the same as Cedar's own authorizer gives.
    pub fn answer(self) -> Result<Verdict, CheckError> {
        let Self { view, now, query } = self;
        let authorizer = view.answer_by_authorizer(query.clone(), now, Span::ZERO);
        let rules = view.answer(query, now, Span::ZERO);
        match (&rules, &authorizer) {
            (Ok((_, rules)), Ok((_, authorizer))) => {
                assert!(rules.says_as(authorizer), "{rules:?}\nby Cedar's authorizer: {authorizer:?}");
                // For how long: the authorizer does not tell which policies were candidates.
                let until = |verdict: &Verdict| verdict.valid_until.map_or(i64::MAX, Instant::micros);
                assert!(until(authorizer) <= until(rules), "{rules:?}\nby Cedar's authorizer: {authorizer:?}");
            }
            // In which words nothing can be answered is up to each.
            (Err(CheckError::NotReady(_)), Err(CheckError::NotReady(_))) => {}
            (rules, authorizer) => assert_eq!(format!("{rules:?}"), format!("{authorizer:?}")),
        }
        rules.map(|(_, verdict)| verdict)
    }

    /// What led to the answer.
    pub fn explanation(self) -> Explanation {
        let Self { view, now, query } = self;
        let (_, verdict) = view.answer(Query { explain: true, ..query }, now, Span::ZERO).unwrap();
        *verdict.explanation.unwrap()
    }

    /// The answer; panics if there is none.
    pub fn verdict(self) -> Verdict {
        self.answer().unwrap_or_else(|error| panic!("{error}"))
    }
}
