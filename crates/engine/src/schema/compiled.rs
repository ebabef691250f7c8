//! A schema in every form that evaluation needs.

use std::collections::{BTreeSet, HashMap};

use cedar_policy::{Schema, Validator};
use cedar_policy_core::ast;
use cedar_policy_core::entities::Entities;
use cedar_policy_core::validator::ValidatorSchema;
use cedar_policy_core::validator::types::Attributes;
use foldhash::fast::RandomState;
use magistrate_model::{ActionUid, TypeName};

use super::ParsedSchema;
use crate::cedar::Types;
use crate::entity_types::Vocabulary;
use crate::finding::Finding;
use crate::snapshot::unprocessable;
use crate::{meaning, typed};

/// A schema that was checked. Snapshots of the same schema share it.
#[derive(Debug)]
pub(crate) struct CompiledSchema {
    pub(crate) text: String,
    /// What it means, as [`meaning::digest`] takes it.
    pub(crate) canonical: String,
    pub(crate) cedar: Schema,
    pub(crate) validator: Validator,
    pub(crate) vocabulary: Vocabulary,
    /// The actions with what is above them.
    pub(crate) action_entities: Entities,
    pub(crate) types: Types,
    /// Actions in Cedar's form, and what their contexts declare.
    pub(crate) actions: HashMap<ActionUid, ast::EntityUID, RandomState>,
    pub(crate) contexts: HashMap<ActionUid, Attributes, RandomState>,
}

impl CompiledSchema {
    pub(crate) fn of(text: &str, parsed: ParsedSchema) -> Result<Self, Vec<Finding>> {
        let ParsedSchema { cedar, json, vocabulary } = parsed;
        let core: &ValidatorSchema = cedar.as_ref();
        let action_entities = core.action_entities().map_err(|_| unprocessable())?;
        let types = Types::of(vocabulary.entity_types().map(|(name, _)| name));
        let actions = vocabulary.actions();
        let actions: HashMap<ActionUid, _, RandomState> =
            actions.filter_map(|(action, _)| Some((action.clone(), types.uid(action.uid()).ok()?))).collect();
        let context = |uid| typed::declared_context(core, uid);
        let contexts = actions.iter().filter_map(|(action, uid)| Some((action.clone(), context(uid)?))).collect();
        let canonical = meaning::canonical(&json);
        let validator = Validator::new(cedar.clone());
        let text = text.to_owned();
        Ok(Self { text, canonical, cedar, validator, vocabulary, action_entities, types, actions, contexts })
    }

    /// The types of roles and scopes.
    pub(crate) fn assigned_types(&self) -> BTreeSet<&TypeName> {
        let assigned = self.vocabulary.entity_types().filter(|(_, info)| info.source.is_assigned());
        assigned.map(|(name, _)| name).collect()
    }
}
