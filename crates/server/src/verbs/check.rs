//! `check` and `explain`: one question, to a server or to files.

mod explanation;

use std::sync::Arc;

use anyhow::Context as _;
use magistrate_client::structure::{ListValue, Struct, Value};
use magistrate_client::v1::{CheckRequest, CheckResponse, Entity, Environment as WireEnvironment};
use magistrate_client::{Client, DEADLINE, Options, asserted_entity, check_request, entity_ref, entity_uid};
use magistrate_model::{
    ActionUid, Caller, Channel, Decision, EntityData, EntityInput, EntityUid, Environment, Instant, Query, Record,
    Span, Verdict,
};
use magistrate_pap::PolicyFiles;
use magistrate_pdp::View;
use serde_json::{Value as Json, json as object};

use super::input;
use crate::cli::CheckArgs;
use crate::config::{Config, read_secret};
use crate::exit::Exit;
use crate::output::Out;

/// How much is told of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Telling {
    /// The answer with its reason.
    Answer,
    /// What led to it, too.
    Explanation,
}

pub(crate) async fn run(
    config: &Config,
    out: Out,
    args: CheckArgs,
    now: Instant,
    telling: Telling,
) -> anyhow::Result<Exit> {
    match &args.offline {
        Some(dir) => offline(config, out, &args, dir, now, telling),
        None => {
            let request = request(&args)?;
            let answer = Client::connect_with(&args.server, &options(&args)?).await?.check(request, DEADLINE).await?;
            let answer = Answer::of_wire(&answer).telling(telling);
            answer.tell(out)?;
            Ok(answer.exit())
        }
    }
}

fn offline(
    config: &Config,
    out: Out,
    args: &CheckArgs,
    dir: &std::path::Path,
    now: Instant,
    telling: Telling,
) -> anyhow::Result<Exit> {
    let at = args.at.as_deref().map_or(Ok(now), |text| Instant::parse(text, now))?;
    let files = PolicyFiles::read(dir)?;
    let snapshot = Arc::new(files.compile()?);
    let namespace = super::policy::namespace(config, &snapshot);
    let view = View::offline(Arc::clone(&snapshot), files.dataset(&snapshot, now)?);
    let (_, verdict) = view.answer(query(args, &namespace)?, at, Span::ZERO)?;
    let answer = Answer::of_verdict(&verdict).telling(telling);
    answer.tell(out)?;
    Ok(answer.exit())
}

fn query(args: &CheckArgs, namespace: &str) -> anyhow::Result<Query> {
    let party = |uid: &str, attributes: &Option<String>, parents: &[String]| match attributes {
        None => anyhow::Ok(EntityInput::Reference(input::uid(uid)?)),
        Some(attributes) => Ok(EntityInput::Asserted(EntityData {
            uid: input::uid(uid)?,
            attributes: input::record(attributes, "attributes")?,
            parents: input::uids(parents)?.into_iter().collect(),
        })),
    };
    let parties = &args.parties;
    Ok(Query {
        principal: party(&args.principal, &parties.principal_attributes, &parties.principal_parent)?,
        action: ActionUid::resolve(&args.action, namespace)?,
        resource: party(&args.resource, &parties.resource_attributes, &parties.resource_parent)?,
        context: args.context.as_deref().map_or(Ok(Record::new()), |text| input::record(text, "context"))?,
        environment: Environment::new(args.ip.as_deref().unwrap_or(""), "", std::iter::empty())?,
        at_least_revision: None,
        request_id: None,
        explain: true,
        caller: Caller { address: None, channel: Channel::Local, key: None, trace: None },
    })
}

fn options(args: &CheckArgs) -> anyhow::Result<Options> {
    let api_key = args.api_key_file.as_deref().map(|path| read_secret("--api-key-file", path)).transpose()?;
    let authorities = args
        .ca_file
        .as_deref()
        .map(|path| std::fs::read(path).with_context(|| format!("cannot read `--ca-file` = `{}`", path.display())));
    Ok(Options { api_key, authorities: authorities.transpose()? })
}

fn request(args: &CheckArgs) -> anyhow::Result<CheckRequest> {
    let parties = &args.parties;
    let principal = entity(&args.principal, parties.principal_attributes.as_deref(), &parties.principal_parent)?;
    let resource = entity(&args.resource, parties.resource_attributes.as_deref(), &parties.resource_parent)?;
    Ok(CheckRequest {
        context: args.context.as_deref().map(|text| structure(&input::record(text, "context")?)).transpose()?,
        at_least_revision: args.at_least_revision.unwrap_or_default(),
        request_id: args.request_id.clone().unwrap_or_default(),
        explain: true,
        environment: args.ip.clone().map(|source_ip| WireEnvironment { source_ip, ..WireEnvironment::default() }),
        ..check_request(principal, args.action.clone(), resource)
    })
}

fn entity(uid: &str, attributes: Option<&str>, parents: &[String]) -> anyhow::Result<Entity> {
    let uid = input::uid(uid)?;
    let wire = |uid: &EntityUid| entity_uid(uid.type_name().as_str(), uid.id().as_str());
    match attributes {
        None => Ok(entity_ref(uid.type_name().as_str(), uid.id().as_str())),
        Some(attributes) => {
            let parents = input::uids(parents)?.iter().map(wire).collect();
            Ok(asserted_entity(wire(&uid), structure(&input::record(attributes, "attributes")?)?, parents))
        }
    }
}

fn structure(record: &Record) -> anyhow::Result<Struct> {
    let fields = record.iter().map(|(name, it)| anyhow::Ok((name.to_string(), value(it)?)));
    Ok(Struct::from_iter(fields.collect::<Result<Vec<_>, _>>()?))
}

fn value(value: &magistrate_model::Value) -> anyhow::Result<Value> {
    use magistrate_model::Value as Model;
    Ok(match value {
        Model::Bool(it) => Value::from(*it),
        Model::Long(it) => Value::whole(*it)?,
        Model::String(it) => Value::from(it.to_string()),
        Model::Entity(it) => Value::entity(it.type_name().as_str(), it.id().as_str()),
        Model::Extension(function, argument) => Value::extension(function.name(), argument.as_ref()),
        Model::Set(items) => ListValue::from_iter(items.iter().map(self::value).collect::<Result<Vec<_>, _>>()?).into(),
        Model::Record(record) => structure(record)?.into(),
    })
}

/// An answer, wherever it came from.
#[derive(Debug)]
pub(crate) struct Answer {
    allowed: bool,
    summary: String,
    json: Json,
    explanation: Option<Json>,
}

impl Answer {
    /// The answer of a server.
    pub(crate) fn of_wire(answer: &CheckResponse) -> Self {
        let notices =
            |name: &str, value: &str, policy: &str| object!({ "policy_id": policy, "name": name, "value": value });
        let cause = answer.cause().as_str_name().trim_start_matches("CAUSE_").to_lowercase();
        let allowed = magistrate_client::is_allowed(answer);
        let json = object!({
            "decision": if allowed { "allow" } else { "deny" },
            "cause": cause,
            "summary": answer.explanation.as_ref().map(|explanation| explanation.summary.clone()),
            "determining_policies": answer.determining_policies,
            "grants": answer.grants,
            "advice": answer.advice.iter().map(|it| notices(&it.name, &it.value, &it.policy_id)).collect::<Vec<_>>(),
            "obligations": answer.obligations.iter().map(|it| notices(&it.name, &it.value, &it.policy_id)).collect::<Vec<_>>(),
            "valid_until": answer.valid_until.as_ref().and_then(instant),
            "revision": answer.revision,
            "policy_set_digest": answer.policy_set_digest,
            "decision_id": answer.decision_id,
        });
        let summary = answer.explanation.as_ref().map_or(cause, |explanation| explanation.summary.clone());
        let explanation = answer.explanation.as_ref().map(explanation::of_wire);
        Self { allowed, summary, json, explanation }
    }

    fn of_verdict(verdict: &Verdict) -> Self {
        let notices = |notices: &[magistrate_model::Notice]| {
            notices
                .iter()
                .map(|it| object!({ "policy_id": it.policy_id.as_str(), "name": it.name, "value": it.value }))
                .collect::<Vec<_>>()
        };
        let json = object!({
            "decision": verdict.decision().name(),
            "cause": verdict.cause.name(),
            "summary": verdict.summary(),
            "determining_policies": verdict.determining.iter().map(magistrate_model::PolicyId::as_str).collect::<Vec<_>>(),
            "grants": verdict.grants.iter().map(magistrate_model::GrantId::as_str).collect::<Vec<_>>(),
            "advice": notices(&verdict.advice),
            "obligations": notices(&verdict.obligations),
            "valid_until": verdict.valid_until.map(|it| it.to_string()),
            "policy_set_digest": verdict.policy_set_digest.to_string(),
        });
        let explanation = verdict.explanation.as_deref().map(explanation::of_model);
        Self { allowed: verdict.decision() == Decision::Allow, summary: verdict.summary(), json, explanation }
    }

    /// As much of it as is to be told.
    pub(crate) fn telling(self, telling: Telling) -> Self {
        let explanation = self.explanation.filter(|_| telling == Telling::Explanation);
        let mut json = self.json;
        if let (Some(object), Some(explanation)) = (json.as_object_mut(), &explanation) {
            object.insert("explanation".to_owned(), explanation.clone());
        }
        Self { json, explanation, ..self }
    }

    /// Tells the answer: the decision with its reason first, what else it holds below.
    pub(crate) fn tell(&self, out: Out) -> anyhow::Result<()> {
        out.either(|| self.text(), || self.json.clone())?;
        Ok(())
    }

    pub(crate) fn exit(&self) -> Exit {
        if self.allowed { Exit::Ok } else { Exit::Deny }
    }

    fn text(&self) -> String {
        let decision = if self.allowed { "ALLOW" } else { "DENY" };
        let details = LABELS.iter().filter_map(|(name, label)| {
            let value = self.json.get(*name).and_then(shown)?;
            Some(format!("\n  {label:<12}{value}"))
        });
        let explanation = self.explanation.iter().map(|it| format!("\n{}", explanation::text(it)));
        [format!("{decision}  {}", self.summary)].into_iter().chain(details).chain(explanation).collect()
    }
}

/// What is shown below an answer, where it is not empty.
const LABELS: [(&str, &str); 6] = [
    ("grants", "by grants"),
    ("advice", "advice"),
    ("obligations", "obligations"),
    ("valid_until", "valid until"),
    ("revision", "revision"),
    ("decision_id", "decision id"),
];

fn shown(value: &Json) -> Option<String> {
    let item = |item: &Json| match (item.get("name").and_then(Json::as_str), item.get("value").and_then(Json::as_str)) {
        (Some(name), Some(value)) => format!("{name}={value}"),
        _ => item.as_str().map_or_else(|| item.to_string(), str::to_owned),
    };
    match value {
        Json::Null => None,
        Json::Array(items) if items.is_empty() => None,
        Json::Array(items) => Some(items.iter().map(item).collect::<Vec<_>>().join(", ")),
        Json::String(text) if text.is_empty() => None,
        Json::String(_) | Json::Bool(_) | Json::Number(_) | Json::Object(_) => Some(item(value)),
    }
}

fn instant(timestamp: &magistrate_proto::Timestamp) -> Option<String> {
    let micros = timestamp.seconds.checked_mul(1_000_000)?.checked_add(i64::from(timestamp.nanos) / 1_000)?;
    Instant::from_micros(micros).ok().map(|instant| instant.to_string())
}
