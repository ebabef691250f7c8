//! Entities prepared for evaluation by one set of rules.

use std::collections::BTreeMap;
use std::sync::Arc;

use cedar_policy_core::ast::{self, EntityUID, Literal, PartialValue, Value, ValueKind};
use smol_str::SmolStr;

use super::index::{Keys, Row};
use super::names::{NameId, TypeId};

/// An entity as the rules of one snapshot see it: its attributes as Cedar's values, everything above it, and which
/// rules it can concern. Made by [`Snapshot::prepare`](crate::Snapshot::prepare); good for that snapshot only, and
/// for as long as neither it nor anything above it changes.
#[derive(Debug)]
pub struct Entity {
    /// Its uid, as a value.
    pub(super) value: Value,
    pub(super) uid: Arc<EntityUID>,
    pub(super) type_id: Option<TypeId>,
    pub(super) attributes: BTreeMap<SmolStr, Value>,
    pub(super) tags: BTreeMap<SmolStr, Value>,
    /// Everything it is a member of, directly or through others; in order.
    pub(super) ancestors: Box<[Arc<EntityUID>]>,
    /// The entities that rules name among itself and its ancestors, in order.
    pub(super) known: Box<[NameId]>,
    /// Rows of the index it selects as a principal, and those that it selects for its members; each in order.
    pub(super) rows: Box<[Row]>,
    pub(super) rows_above: Box<[Row]>,
    /// Keys that it has as a resource, and those that it gives to its members; each in order.
    pub(super) keys: Keys,
    pub(super) keys_above: Keys,
}

impl Entity {
    /// Whether it is a member of an entity, or that entity; without what a request adds.
    pub(super) fn is_in(&self, uid: &EntityUID) -> bool {
        *self.uid == *uid || self.is_below(uid)
    }

    pub(super) fn is_below(&self, uid: &EntityUID) -> bool {
        self.ancestors.binary_search_by(|ancestor| (**ancestor).cmp(uid)).is_ok()
    }

    pub(super) fn is_known_as(&self, id: NameId) -> bool {
        self.known.binary_search(&id).is_ok()
    }
}

/// What Cedar keeps of an entity, as far as evaluation reads it.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) uid: Arc<EntityUID>,
    pub(crate) attributes: BTreeMap<SmolStr, Value>,
    pub(crate) tags: BTreeMap<SmolStr, Value>,
    /// In order.
    pub(crate) ancestors: Box<[Arc<EntityUID>]>,
}

impl Parts {
    /// Of an entity whose ancestors are complete; `None` where a value is not known.
    pub(crate) fn of(entity: &ast::Entity) -> Option<Self> {
        fn values<'a>(of: impl Iterator<Item = (&'a SmolStr, &'a PartialValue)>) -> Option<BTreeMap<SmolStr, Value>> {
            let value = |(name, value): (&SmolStr, &PartialValue)| match value {
                PartialValue::Value(value) => Some((name.clone(), value.clone())),
                PartialValue::Residual(_) => None,
            };
            of.map(value).collect()
        }
        let mut ancestors: Box<[_]> = entity.ancestors().map(|uid| Arc::new(uid.clone())).collect();
        ancestors.sort_unstable();
        Some(Self {
            uid: Arc::new(entity.uid().clone()),
            attributes: values(entity.attrs())?,
            tags: values(entity.tags())?,
            ancestors,
        })
    }

    pub(super) fn value(&self) -> Value {
        Value::new(ValueKind::Lit(Literal::EntityUID(Arc::clone(&self.uid))), None)
    }
}
