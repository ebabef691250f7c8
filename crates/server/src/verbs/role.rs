//! `role`: roles and what they include.

use magistrate_model::Instant;
use magistrate_pap::{Data, EntityFilter, Located, Records as _, RoleText};
use serde_json::{Value as Json, json};

use super::store;
use crate::cli::RoleVerb;
use crate::config::Config;
use crate::exit::Exit;
use crate::output::Out;

pub(crate) async fn run(config: &Config, out: Out, verb: RoleVerb, now: Instant) -> anyhow::Result<Exit> {
    match verb {
        RoleVerb::Put { role, includes, authored } => {
            let data = Data { roles: vec![Located::here(RoleText { role, parents: includes })], ..Data::default() };
            store::put(config, out, data, &authored, now, false).await
        }
        RoleVerb::Delete { role, authored } => {
            let administration = store::administration(config).await?;
            let outcome = administration.delete_role(&role, &store::authorship(&authored, now)?).await?;
            store::tell(out, &outcome, false)
        }
        RoleVerb::List => list(config, out).await,
        RoleVerb::Import(import) => {
            store::import(config, out, &import, now, |data, name, text| data.add_jsonl("roles", name, text)).await
        }
    }
}

async fn list(config: &Config, out: Out) -> anyhow::Result<Exit> {
    let administration = store::administration(config).await?;
    let (_, snapshot) = administration.live().await?;
    let mut roles = Vec::new();
    for type_name in snapshot.vocabulary().role_types() {
        let filter = EntityFilter { type_name: Some(type_name.clone()), ..EntityFilter::default() };
        roles.extend(administration.store().entities(&filter).await?);
    }
    let includes =
        |role: &magistrate_model::EntityData| role.parents.iter().map(ToString::to_string).collect::<Vec<_>>();
    let rows: Vec<_> = roles.iter().map(|role| vec![role.uid.to_string(), includes(role).join(", ")]).collect();
    let json = || {
        Json::Array(
            roles.iter().map(|role| json!({ "role": role.uid.to_string(), "includes": includes(role) })).collect(),
        )
    };
    out.rows(&["role", "includes"], &rows, json)?;
    Ok(Exit::Ok)
}
