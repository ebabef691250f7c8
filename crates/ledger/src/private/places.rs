//! Taking private values out of a record, and putting them back.

use std::net::IpAddr;

use magistrate_model::{AttributeName, Digest, EntityInput, Missing, Record, Value};

use super::fields::PrivateFields;
use super::path::PrivatePath;
use crate::decision::DecisionRecord;

type Taken = Vec<(PrivatePath, Value)>;

/// A value is not of the kind that belongs there, or something stands there already.
pub(super) struct Misfit;

/// Takes out every value that is private, and what would tell it.
pub(super) fn take(record: &mut DecisionRecord, fields: &PrivateFields) -> Taken {
    let mut taken = Taken::new();
    let query = &mut record.query;
    attributes(&mut taken, &mut query.context, &fields.context, PrivatePath::Context);
    for (input, names, path) in [
        (&mut query.principal, &fields.principal, PrivatePath::Principal as fn(_) -> _),
        (&mut query.resource, &fields.resource, PrivatePath::Resource),
    ] {
        if let EntityInput::Asserted(data) = input {
            attributes(&mut taken, &mut data.attributes, names, path);
        }
    }
    tellers(&mut taken, record);
    environment(&mut taken, record, fields);
    if fields.ip {
        addresses(&mut taken, record);
    }
    taken
}

fn attributes(
    taken: &mut Taken,
    from: &mut Record,
    names: &[AttributeName],
    path: impl Fn(AttributeName) -> PrivatePath,
) {
    for name in names {
        taken.extend(from.remove(name).map(|value| (path(name.clone()), value)));
    }
}

/// The digest over entities is a plain hash: whoever knows all of them but one attribute finds that by trying, and so for an
/// entity that only a private value names. One that is not there is named in the record, and whoever looks for what refers to
/// it finds what a private value names.
fn tellers(taken: &mut Taken, record: &mut DecisionRecord) {
    let (mut names_entity, mut of_entity) = (false, false);
    for (path, value) in taken.iter() {
        of_entity |= !matches!(path, PrivatePath::Context(_));
        value.each_entity(&mut |_| names_entity = true);
    }
    if of_entity || names_entity {
        let digest = std::mem::replace(&mut record.entities_digest, Digest::ZERO);
        taken.push((PrivatePath::EntitiesDigest, text(&digest)));
        if let Some(Missing::Other(uid)) = record.missing.take_if(|missing| matches!(missing, Missing::Other(_))) {
            taken.push((PrivatePath::Missing, Value::Entity(uid)));
        }
    }
}

fn environment(taken: &mut Taken, record: &mut DecisionRecord, fields: &PrivateFields) {
    let environment = &mut record.query.environment;
    for name in &fields.environment {
        if **name == *"user_agent" {
            taken.extend(environment.user_agent.take().map(|agent| (PrivatePath::UserAgent, Value::String(agent))));
        }
        let value = environment.attributes.remove(name);
        taken.extend(value.map(|value| (PrivatePath::Environment(name.clone()), Value::String(value))));
    }
}

fn addresses(taken: &mut Taken, record: &mut DecisionRecord) {
    let query = &mut record.query;
    taken.extend(query.caller.address.take().map(|ip| (PrivatePath::CallerAddress, text(&ip))));
    taken.extend(query.environment.source_ip.take().map(|ip| (PrivatePath::SourceIp, text(&ip))));
    let supplied = record.supplied.as_mut().and_then(|facts| facts.remove("ip"));
    taken.extend(supplied.map(|ip| (PrivatePath::FactsIp, ip)));
}

/// Whether nothing stands there.
pub(super) fn is_empty(record: &DecisionRecord, path: &PrivatePath) -> bool {
    let query = &record.query;
    let lacks = |input: &EntityInput, name| input.asserted().is_some_and(|data| !data.attributes.contains_key(name));
    match path {
        PrivatePath::Context(name) => !query.context.contains_key(name),
        PrivatePath::Principal(name) => lacks(&query.principal, name),
        PrivatePath::Resource(name) => lacks(&query.resource, name),
        PrivatePath::UserAgent => query.environment.user_agent.is_none(),
        PrivatePath::SourceIp => query.environment.source_ip.is_none(),
        PrivatePath::Environment(name) => !query.environment.attributes.contains_key(name),
        PrivatePath::CallerAddress => query.caller.address.is_none(),
        PrivatePath::FactsIp => record.supplied.as_ref().is_some_and(|facts| !facts.contains_key("ip")),
        PrivatePath::EntitiesDigest => record.entities_digest == Digest::ZERO,
        PrivatePath::Missing => record.missing.is_none(),
    }
}

/// Puts a value where it belongs.
pub(super) fn put(record: &mut DecisionRecord, path: &PrivatePath, value: &Value) -> Result<(), Misfit> {
    if !is_empty(record, path) {
        return Err(Misfit);
    }
    let query = &mut record.query;
    match (path, value) {
        (PrivatePath::Context(name), value) => put_attribute(&mut query.context, name, value),
        (PrivatePath::Principal(name), value) => put_asserted(&mut query.principal, name, value)?,
        (PrivatePath::Resource(name), value) => put_asserted(&mut query.resource, name, value)?,
        (PrivatePath::UserAgent, Value::String(agent)) => query.environment.user_agent = Some(agent.clone()),
        (PrivatePath::SourceIp, Value::String(ip)) => query.environment.source_ip = Some(address(ip)?),
        (PrivatePath::Environment(name), Value::String(value)) => {
            query.environment.attributes.insert(name.clone(), value.clone());
        }
        (PrivatePath::CallerAddress, Value::String(ip)) => query.caller.address = Some(address(ip)?),
        (PrivatePath::FactsIp, value) => {
            let name = AttributeName::new("ip").map_err(|_| Misfit)?;
            put_attribute(record.supplied.as_mut().ok_or(Misfit)?, &name, value);
        }
        (PrivatePath::EntitiesDigest, Value::String(digest)) => {
            record.entities_digest = Digest::from_hex(digest).map_err(|_| Misfit)?;
        }
        (PrivatePath::Missing, Value::Entity(uid)) => record.missing = Some(Missing::Other(uid.clone())),
        (
            PrivatePath::UserAgent
            | PrivatePath::SourceIp
            | PrivatePath::Environment(_)
            | PrivatePath::CallerAddress
            | PrivatePath::EntitiesDigest
            | PrivatePath::Missing,
            _,
        ) => return Err(Misfit),
    }
    Ok(())
}

fn put_attribute(to: &mut Record, name: &AttributeName, value: &Value) {
    to.insert(name.clone(), value.clone());
}

fn put_asserted(input: &mut EntityInput, name: &AttributeName, value: &Value) -> Result<(), Misfit> {
    match input {
        EntityInput::Asserted(data) => {
            put_attribute(&mut data.attributes, name, value);
            Ok(())
        }
        EntityInput::Reference(_) => Err(Misfit),
    }
}

fn address(text: &str) -> Result<IpAddr, Misfit> {
    text.parse().map_err(|_| Misfit)
}

fn text(value: &impl ToString) -> Value {
    Value::String(value.to_string().into())
}
