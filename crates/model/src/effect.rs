//! What a logged change did, read back from its row.

use serde_json::Value as Json;

use crate::change::LoggedChange;
use crate::entity::EntityData;
use crate::grant::Grant;
use crate::json::{self, InvalidJson};
use crate::revision::Digest;
use crate::scope::ScopeDeclaration;

/// What was there before a change and what is there since.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference<T> {
    /// Before; `None` if it did not exist.
    pub before: Option<T>,
    /// Since; `None` if it exists no longer.
    pub after: Option<T>,
}

/// What a change did to the administrative state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// To an entity, a role among them.
    Entity(Difference<EntityData>),
    /// To a scope of the catalogue.
    Scope(Difference<ScopeDeclaration>),
    /// To a grant.
    Grant(Difference<Grant>),
    /// Another policy set is live.
    PolicySet(Digest),
}

impl LoggedChange {
    /// What the change did.
    pub fn effect(&self) -> Result<Effect, InvalidJson> {
        match self.kind.as_str() {
            "entity.put" | "entity.delete" => Ok(Effect::Entity(self.difference(json::entity_from)?)),
            "scope.put" | "scope.delete" => Ok(Effect::Scope(self.difference(json::scope_from)?)),
            "grant.add" | "grant.revoke" => Ok(Effect::Grant(self.difference(json::grant_from)?)),
            "policy.apply" => match Digest::from_hex(&self.key) {
                Ok(digest) => Ok(Effect::PolicySet(digest)),
                Err(why) => Err(InvalidJson::Syntax(format!("the key of a `policy.apply` is {why}"))),
            },
            other => Err(InvalidJson::Syntax(format!("`{}` is no kind of change", other.escape_debug()))),
        }
    }

    fn difference<T>(&self, read: fn(&Json) -> Result<T, InvalidJson>) -> Result<Difference<T>, InvalidJson> {
        let side = |text: &Option<String>| text.as_deref().map(|text| read(&json::parse(text)?)).transpose();
        Ok(Difference { before: side(&self.before)?, after: side(&self.after)? })
    }
}
