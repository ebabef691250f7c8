//! Cerbos on the same policies: it keeps no data, so its caller sends what the policies look at.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use magistrate_model::{EntityData, json};
use prost::Message;
use prost_types::value::Kind;
use prost_types::{ListValue, Value};
use serde_json::Value as Json;

use super::generated::{Shape, policies};
use crate::call::Call;
use crate::scenario::{ACTION, Asked, Question};
use crate::wire::framed;

pub(crate) const CHECK: &str = "/cerbos.svc.v1.CerbosService/CheckResources";
/// Below the directory of baselines.
pub(crate) const PROGRAM: &str = "cerbos/package/cerbos-linux-x64";

/// Where it keeps decisions. None of these is waited for before an answer leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DecisionLog {
    Off,
    /// A file of JSON lines
    File,
    /// Its embedded database
    Local,
}

/// Its files.
#[derive(Debug)]
pub(crate) struct Cerbos {
    program: PathBuf,
    home: PathBuf,
    log: DecisionLog,
}

impl Cerbos {
    /// Writes the policies.
    pub(crate) fn prepare(baselines: &Path, home: &Path, log: DecisionLog, asked: &Asked) -> anyhow::Result<Self> {
        let program = std::fs::canonicalize(baselines.join(PROGRAM)).context("Cerbos is not installed")?;
        std::fs::create_dir_all(home.join("policies"))?;
        std::fs::write(home.join("policies/document.yaml"), policy(&policies(&asked.scenario)))?;
        Ok(Self { program, home: home.to_owned(), log })
    }

    /// What starts it at an address.
    pub(crate) fn serve(&self, address: SocketAddr, unused: SocketAddr) -> anyhow::Result<Command> {
        let home = self.home.display();
        let audit = match self.log {
            DecisionLog::Off => "{enabled: false}".to_owned(),
            DecisionLog::File => format!("{{{LOGGED}, backend: file, file: {{path: {home}/decisions.log}}}}"),
            DecisionLog::Local => format!("{{{LOGGED}, backend: local, local: {{storagePath: {home}/decisions}}}}"),
        };
        let configuration = format!(
            "server: {{grpcListenAddr: \"{address}\", httpListenAddr: \"{unused}\"}}\ntelemetry: {{disabled: true}}\n\
             storage: {{driver: disk, disk: {{directory: {home}/policies, watchForChanges: false}}}}\naudit: {audit}\n"
        );
        let file = self.home.join("configuration.yaml");
        std::fs::write(&file, configuration)?;
        let mut command = Command::new(&self.program);
        command.args(["server", "--log-level=error"]).arg("--config").arg(file);
        command.current_dir(&self.home).env("CERBOS_NO_TELEMETRY", "1");
        Ok(command)
    }
}

const LOGGED: &str = "enabled: true, accessLogsEnabled: false, decisionLogsEnabled: true";

/// A rule for each policy that a question about documents can reach; forbids win in Cerbos too.
fn policy(generated: &[(String, Shape)]) -> String {
    let mut rules = SHIPPED.to_owned();
    for (folder, shape) in generated {
        let (effect, role, more) = match shape {
            Shape::Group(group) => ("ALLOW", group.clone(), String::new()),
            Shape::Clearance(level) => ("ALLOW", "*".to_owned(), format!(" && P.attr.clearance >= {level}")),
            Shape::Suspended => ("DENY", "*".to_owned(), " && P.attr.suspended".to_owned()),
        };
        let _infallible = writeln!(
            rules,
            "    - {{actions: [{ACTION}], effect: EFFECT_{effect}, roles: [\"{role}\"], \
             condition: {{match: {{expr: '\"{folder}\" in R.attr.folders{more}'}}}}}}"
        );
    }
    rules
}

/// Of `documents.cedar` and `guardrails.cedar`.
const SHIPPED: &str = "\
apiVersion: api.cerbos.dev/v1
resourcePolicy:
  resource: document
  version: default
  rules:
    - {actions: [readDocument], effect: EFFECT_ALLOW, roles: [viewer]}
    - {actions: [readDocument], effect: EFFECT_ALLOW, roles: [\"*\"], condition: {match: {expr: 'R.attr.owner == P.id'}}}
    - actions: [readDocument]
      effect: EFFECT_ALLOW
      roles: [employees]
      condition: {match: {expr: 'R.attr.published && R.attr.classification <= P.attr.clearance'}}
    - {actions: [readDocument], effect: EFFECT_DENY, roles: [\"*\"], condition: {match: {expr: P.attr.suspended}}}
    - actions: [readDocument]
      effect: EFFECT_DENY
      roles: [\"*\"]
      condition: {match: {expr: 'P.attr.clearance < R.attr.classification'}}
    - actions: [readDocument]
      effect: EFFECT_DENY
      roles: [\"*\"]
      condition:
        match:
          expr: 'R.attr.classification >= 2 && !(has(P.attr.device) && P.attr.device.managed && P.attr.device.owner == P.id)'
";

/// The questions as `CheckResources`.
pub(crate) fn calls(asked: &Asked) -> Vec<Call> {
    asked.questions.iter().map(|it| Call { body: framed(&question(it)), expected: vec![it.allowed] }).collect()
}

fn question(question: &Question) -> CheckResources {
    let Question { user, document, groups, folders, roles, .. } = question;
    let mut attributes = attributes(document);
    let folders = folders.iter().map(|folder| text(folder)).collect();
    attributes.insert("folders".into(), of(Kind::ListValue(ListValue { values: folders })));
    CheckResources {
        principal: Some(Principal {
            id: user.uid.id().as_str().into(),
            roles: groups.iter().chain(roles).cloned().chain(["user".to_owned()]).collect(),
            attr: self::attributes(user),
        }),
        resources: vec![ResourceEntry {
            actions: vec![ACTION.into()],
            resource: Some(Resource {
                kind: "document".into(),
                id: document.uid.id().as_str().into(),
                attr: attributes,
            }),
        }],
    }
}

/// An entity's attributes; of a reference, the id.
fn attributes(entity: &EntityData) -> BTreeMap<String, Value> {
    let Json::Object(attributes) = json::record(&entity.attributes) else { return BTreeMap::new() };
    let value = |value: &Json| match value {
        Json::Bool(is) => of(Kind::BoolValue(*is)),
        Json::Number(number) => of(Kind::NumberValue(number.as_f64().unwrap_or_default())),
        Json::String(it) => text(it),
        Json::Object(_) => text(value.pointer("/__entity/id").and_then(Json::as_str).unwrap_or_default()),
        Json::Null | Json::Array(_) => of(Kind::NullValue(0)),
    };
    attributes.iter().map(|(name, it)| (name.clone(), value(it))).collect()
}

fn of(kind: Kind) -> Value {
    Value { kind: Some(kind) }
}

fn text(text: &str) -> Value {
    of(Kind::StringValue(text.into()))
}

/// What is sent of Cerbos's `CheckResourcesRequest`.
#[derive(Clone, PartialEq, Message)]
struct CheckResources {
    #[prost(message, optional, tag = "3")]
    principal: Option<Principal>,
    #[prost(message, repeated, tag = "4")]
    resources: Vec<ResourceEntry>,
}

#[derive(Clone, PartialEq, Message)]
struct Principal {
    #[prost(string, tag = "1")]
    id: String,
    #[prost(string, repeated, tag = "3")]
    roles: Vec<String>,
    #[prost(btree_map = "string, message", tag = "4")]
    attr: BTreeMap<String, Value>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceEntry {
    #[prost(string, repeated, tag = "1")]
    actions: Vec<String>,
    #[prost(message, optional, tag = "2")]
    resource: Option<Resource>,
}

#[derive(Clone, PartialEq, Message)]
struct Resource {
    #[prost(string, tag = "1")]
    kind: String,
    #[prost(string, tag = "3")]
    id: String,
    #[prost(btree_map = "string, message", tag = "4")]
    attr: BTreeMap<String, Value>,
}
