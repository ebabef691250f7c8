//! Builders of requests.

use crate::structure::Struct;
use crate::v1::{CheckRequest, Entity, EntityRef};

/// The uid of an entity.
pub fn entity_uid(type_name: impl Into<String>, id: impl Into<String>) -> EntityRef {
    EntityRef { r#type: type_name.into(), id: id.into() }
}

/// A principal or resource that the decision point looks up.
pub fn entity_ref(type_name: impl Into<String>, id: impl Into<String>) -> Entity {
    Entity { uid: Some(entity_uid(type_name, id)), attributes: None, parents: Vec::new() }
}

/// A principal or resource the caller vouches for: these attributes and parents are all it has.
pub fn asserted_entity(uid: EntityRef, attributes: Struct, parents: Vec<EntityRef>) -> Entity {
    Entity { uid: Some(uid), attributes: Some(attributes), parents }
}

/// A request without context; fill in the other fields as needed.
pub fn check_request(principal: Entity, action: impl Into<String>, resource: Entity) -> CheckRequest {
    CheckRequest {
        principal: Some(principal),
        action: action.into(),
        resource: Some(resource),
        ..CheckRequest::default()
    }
}
