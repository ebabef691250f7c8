//! `entity`: what is stored about principals and resources.

use magistrate_model::{EntityData, Instant, TypeName, json};
use magistrate_pap::{Data, EntityFilter, ItemKind, Located, Records as _};
use serde_json::Value as Json;

use super::{bulk, input, store};
use crate::cli::EntityVerb;
use crate::config::Config;
use crate::exit::Exit;
use crate::output::Out;

pub(crate) async fn run(config: &Config, out: Out, verb: EntityVerb, now: Instant) -> anyhow::Result<Exit> {
    match verb {
        EntityVerb::Put { uid, attributes, parents, authored } => {
            let parents = input::uids(&parents)?.into_iter().collect();
            let entity =
                EntityData { uid: input::uid(&uid)?, attributes: input::record(&attributes, "attributes")?, parents };
            let data = Data { entities: vec![Located::here(entity)], ..Data::default() };
            store::put(config, out, data, &authored, now, false).await
        }
        EntityVerb::Delete { uid, authored } => {
            let administration = store::administration(config).await?;
            let outcome = administration.delete_entity(&input::uid(&uid)?, &store::authorship(&authored, now)?).await?;
            store::tell(out, &outcome, false)
        }
        EntityVerb::List { type_name, limit, after } => {
            let filter = EntityFilter {
                type_name: type_name.as_deref().map(TypeName::new).transpose()?,
                after: after.as_deref().map(input::uid).transpose()?,
                limit: Some(limit),
                ..EntityFilter::default()
            };
            list(config, out, &filter).await
        }
        EntityVerb::Import(args) => bulk::import(config, out, &args, ItemKind::Entities, now).await,
    }
}

/// Lists entities; roles are entities too.
pub(crate) async fn list(config: &Config, out: Out, filter: &EntityFilter) -> anyhow::Result<Exit> {
    let entities = store::open(config).await?.entities(filter).await?;
    let row = |entity: &EntityData| {
        let parents: Vec<String> = entity.parents.iter().map(ToString::to_string).collect();
        vec![entity.uid.to_string(), parents.join(", "), json::record(&entity.attributes).to_string()]
    };
    let rows: Vec<_> = entities.iter().map(row).collect();
    out.rows(&["entity", "parents", "attributes"], &rows, || Json::Array(entities.iter().map(json::entity).collect()))?;
    if let (false, true, Some(last)) = (out.is_json(), store::is_cut(entities.len(), filter.limit), entities.last()) {
        out.line(&format!("\nthere may be more: add --after '{}'", last.uid))?;
    }
    Ok(Exit::Ok)
}
