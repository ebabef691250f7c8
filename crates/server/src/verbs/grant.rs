//! `grant`: role and scope assignments.

use magistrate_model::{Conferred, EntityUid, Grant, Instant, Span, json};
use magistrate_pap::{Data, GrantFilter, GrantText, ItemKind, Located, Records as _};
use serde_json::Value as Json;

use super::{bulk, input, store};
use crate::cli::{BulkImport, GrantArgs, GrantFilterArgs, GrantVerb};
use crate::config::Config;
use crate::exit::Exit;
use crate::os;
use crate::output::Out;

pub(crate) async fn run(config: &Config, out: Out, verb: GrantVerb, now: Instant) -> anyhow::Result<Exit> {
    match verb {
        GrantVerb::Add(args) => add(config, out, args, now).await,
        GrantVerb::Revoke { id, authored } => {
            let administration = store::administration(config).await?;
            let outcome = administration.revoke(&id.parse()?, &store::authorship(&authored, now)?).await?;
            store::tell(out, &outcome, false)
        }
        GrantVerb::List(args) => list(config, out, &filter(config, &args, now).await?, now).await,
        GrantVerb::Expiring { within } => {
            let end = now.plus(within.parse::<Span>()?);
            let filter = GrantFilter { in_force_at: Some(now), expires_before: Some(end), ..GrantFilter::default() };
            list(config, out, &filter, now).await
        }
        GrantVerb::Import(args) => import(config, out, &args, now).await,
    }
}

async fn add(config: &Config, out: Out, args: GrantArgs, now: Instant) -> anyhow::Result<Exit> {
    let id = args.id.unwrap_or_else(os::grant_id);
    let grant = GrantText {
        id: Some(id.clone()),
        holder: input::uid(&args.holder)?,
        role: args.role,
        scope: args.scope,
        resource: args.on.as_deref().map(input::uid).transpose()?,
        not_before: args.not_before,
        expires_at: args.expires,
        standing: args.standing,
        reason: args.authored.reason.clone(),
    };
    let data = Data { grants: vec![Located::here(grant)], ..Data::default() };
    let administration = store::administration(config).await?;
    let outcome = administration.put(&data, &store::authorship(&args.authored, now)?, false).await?;
    let named = || {
        let mut json = store::json(&outcome, false);
        if let Json::Object(fields) = &mut json {
            fields.insert("grant".into(), Json::from(id.as_str()));
        }
        json
    };
    out.either(|| format!("grant {id}\n{}", store::text(&outcome, false)), named)?;
    Ok(Exit::Ok)
}

async fn import(config: &Config, out: Out, args: &BulkImport, now: Instant) -> anyhow::Result<Exit> {
    let csv = args.import.file.extension().is_some_and(|extension| extension == "csv");
    let kind = if csv { ItemKind::CsvGrants } else { ItemKind::Grants };
    bulk::import(config, out, args, kind, now).await
}

async fn filter(config: &Config, args: &GrantFilterArgs, now: Instant) -> anyhow::Result<GrantFilter> {
    Ok(GrantFilter {
        holder: args.holder.as_deref().map(input::uid).transpose()?,
        role: match &args.role {
            Some(role) => Some(role_uid(config, role).await?),
            None => None,
        },
        scope: args.scope.clone(),
        resource: args.on.as_deref().map(input::uid).transpose()?,
        in_force_at: args.in_force.then_some(now),
        limit: Some(args.limit),
        ..GrantFilter::default()
    })
}

async fn role_uid(config: &Config, role: &str) -> anyhow::Result<EntityUid> {
    let (_, snapshot) = store::administration(config).await?.live().await?;
    magistrate_pap::role_uid(snapshot.vocabulary(), role).map_err(anyhow::Error::msg)
}

async fn list(config: &Config, out: Out, filter: &GrantFilter, now: Instant) -> anyhow::Result<Exit> {
    let grants = store::open(config).await?.grants(filter).await?;
    let rows: Vec<_> = grants.iter().map(|grant| row(grant, now)).collect();
    let headers = ["grant", "holder", "confers", "on", "begins", "ends", "state", "reason"];
    out.rows(&headers, &rows, || Json::Array(grants.iter().map(json::grant).collect()))?;
    if !out.is_json() && store::is_cut(grants.len(), filter.limit) {
        out.line("\nthere may be more: raise --limit")?;
    }
    Ok(Exit::Ok)
}

fn row(grant: &Grant, now: Instant) -> Vec<String> {
    let (confers, on) = match grant.conferred() {
        Conferred::Role { role, resource: None } => (role.to_string(), "everywhere".to_owned()),
        Conferred::Role { role, resource: Some(resource) } => (role.to_string(), resource.to_string()),
        Conferred::Scope(pattern) => (format!("scope {pattern}"), String::new()),
    };
    let term = grant.term();
    let state = match (term.in_force(now), term.not_before().is_some_and(|begin| begin > now)) {
        (true, _) => "in force",
        (false, true) => "not yet",
        (false, false) => "over",
    };
    let begins = term.not_before().map_or("at once".to_owned(), |begin| begin.to_string());
    let ends = term.expires_at().map_or("standing".to_owned(), |end| end.to_string());
    vec![
        grant.id().to_string(),
        grant.holder().to_string(),
        confers,
        on,
        begins,
        ends,
        state.to_owned(),
        grant.reason().to_owned(),
    ]
}
