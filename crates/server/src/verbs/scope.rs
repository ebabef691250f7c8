//! `scope`: the scope catalogue.

use magistrate_model::{Instant, json};
use magistrate_pap::{Data, Located, Records as _, ScopeText};
use serde_json::Value as Json;

use super::store;
use crate::cli::ScopeVerb;
use crate::config::Config;
use crate::exit::Exit;
use crate::output::Out;

pub(crate) async fn run(config: &Config, out: Out, verb: ScopeVerb, now: Instant) -> anyhow::Result<Exit> {
    match verb {
        ScopeVerb::Put { scope, action_group, description, authored } => {
            let scope = ScopeText { scope, action_group, description };
            let data = Data { scopes: vec![Located::here(scope)], ..Data::default() };
            store::put(config, out, data, &authored, now, false).await
        }
        ScopeVerb::Delete { scope, authored } => {
            let administration = store::administration(config).await?;
            let outcome = administration.delete_scope(&scope.parse()?, &store::authorship(&authored, now)?).await?;
            store::tell(out, &outcome, false)
        }
        ScopeVerb::List => {
            let scopes = store::open(config).await?.base().await?.scopes;
            let row = |scope: &magistrate_model::ScopeDeclaration| {
                vec![scope.name.to_string(), scope.action_group.to_string(), scope.description.clone()]
            };
            let rows: Vec<_> = scopes.iter().map(row).collect();
            out.rows(&["scope", "action group", "description"], &rows, || {
                Json::Array(scopes.iter().map(json::scope).collect())
            })?;
            Ok(Exit::Ok)
        }
        ScopeVerb::Import(import) => {
            store::import(config, out, &import, now, |data, name, text| data.add_jsonl("scopes", name, text)).await
        }
    }
}
