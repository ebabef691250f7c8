//! What is known of entities, prepared for one snapshot.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use cedar_policy_core::ast::{Entity as CedarEntity, PartialValue};
use cedar_policy_core::entities::conformance::EntitySchemaConformanceChecker;
use cedar_policy_core::extensions::Extensions;
use cedar_policy_core::validator::CoreSchema;
use magistrate_model::{EntityData, EntityUid};

use crate::evaluate::Unanswerable;
use crate::rules::{Entity, Parts};
use crate::snapshot::Snapshot;

/// What is known for one request, each made by [`Snapshot::prepare`] of the snapshot that answers.
#[derive(Debug, Clone)]
pub struct Known {
    /// The principal.
    pub principal: Arc<Entity>,
    /// The resource; the principal again where it is the same entity.
    pub resource: Arc<Entity>,
    /// Further entities within reach, roles and scopes included.
    pub others: Vec<Arc<Entity>>,
    /// Roles and scopes that the principal is made a member of for this request.
    pub held: Vec<Arc<Entity>>,
}

impl Snapshot {
    /// An entity prepared for this snapshot's policies. `above` is everything it is a member of, directly or through
    /// others. An error where it does not fit the schema: it was stored under another one.
    pub fn prepare<'a>(
        &self,
        data: &EntityData,
        above: impl Iterator<Item = &'a EntityUid>,
    ) -> Result<Entity, Unanswerable> {
        let failed = |why: &dyn std::fmt::Display| Unanswerable::new(format!("`{}`: {why}", data.uid));
        let uid = self.schema.types.uid(&data.uid).map_err(|e| failed(&e))?;
        let attributes = self.schema.types.attributes(&data.attributes).map_err(|e| failed(&e))?;
        let ancestors: HashSet<_> =
            above.map(|uid| self.schema.types.uid(uid)).collect::<Result<_, _>>().map_err(|e| failed(&e))?;
        let whole = CedarEntity::new_with_attr_partial_value(
            uid,
            attributes.into_iter().map(|(name, value)| (name, PartialValue::Value(value))),
            HashSet::new(),
            ancestors,
            BTreeMap::new(),
        );
        let schema = CoreSchema::new(self.schema.cedar.as_ref());
        let checker = EntitySchemaConformanceChecker::new(&schema, Extensions::all_available());
        checker.validate_entity(&whole).map_err(|e| failed(&e))?;
        let parts = Parts::of(&whole).ok_or_else(|| failed(&"it holds what is not known"))?;
        Ok(self.rules.entity(parts))
    }
}
