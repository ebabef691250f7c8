//! cedar-agent on the same policies and entities. Roles are held on folders, which its data cannot say: like the
//! caller of Cerbos, its caller sends the roles that count.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Context as _;
use magistrate_testkit::Scenario;
use serde_json::{Value as Json, json};

use crate::call::Call;
use crate::scenario::{ACTION, Asked, NAMESPACE, Question};

pub(crate) const CHECK: &str = "/v1/is_authorized";
/// Below the directory of baselines.
pub(crate) const PROGRAM: &str = "cedar-agent/bin/cedar-agent";

/// Its files.
#[derive(Debug)]
pub(crate) struct CedarAgent {
    program: PathBuf,
    home: PathBuf,
}

impl CedarAgent {
    /// Writes policies and entities.
    pub(crate) fn prepare(baselines: &Path, home: &Path, asked: &Asked) -> anyhow::Result<Self> {
        let program = std::fs::canonicalize(baselines.join(PROGRAM)).context("cedar-agent is not installed")?;
        let files = home.join("scenario");
        asked.write(&files)?;
        std::fs::write(home.join("policies.json"), Json::from(policies(&asked.scenario)).to_string())?;
        std::fs::write(home.join("data.json"), Json::from(entities(&files)?).to_string())?;
        Ok(Self { program, home: home.to_owned() })
    }

    /// What starts it at an address.
    pub(crate) fn serve(&self, address: SocketAddr) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["--addr", &address.ip().to_string(), "--port", &address.port().to_string()]);
        command.args(["--policies", "policies.json", "--data", "data.json", "--log-level", "error"]);
        command.current_dir(&self.home);
        command
    }
}

/// The policies a question about documents can reach. It reads an older Cedar, without `is`: here every principal is
/// a user.
fn policies(scenario: &Scenario) -> Vec<Json> {
    let generated = scenario.policies.last().map_or("", |source| source.text.as_str());
    let generated = generated.replace("principal is Company::User", "principal");
    let all = SHIPPED.lines().chain(generated.lines());
    let policies = all.filter(|line| line.starts_with("permit") || line.starts_with("forbid"));
    policies.enumerate().map(|(n, content)| json!({ "id": format!("policy-{n}"), "content": content })).collect()
}

/// Of `documents.cedar` and `guardrails.cedar`, one a line.
const SHIPPED: &str = r#"
permit (principal, action in Company::Action::"documents:read", resource) when { context.roles.contains("viewer") };
permit (principal, action == Company::Action::"readDocument", resource) when { resource.owner == principal };
permit (principal in Company::Group::"employees", action == Company::Action::"readDocument", resource) when { resource.published && resource.classification <= principal.clearance };
forbid (principal, action, resource) when { principal.suspended };
forbid (principal, action, resource) when { principal.clearance < resource.classification };
forbid (principal, action, resource) when { resource.classification >= 2 } unless { context has device && context.device.managed && context.device.owner == principal };
"#;

/// Users, what they belong to, folders and documents; and the action, whose group policies name.
fn entities(files: &Path) -> anyhow::Result<Vec<Json>> {
    let uid = |type_name: &str, id: &str| json!({ "type": format!("{NAMESPACE}::{type_name}"), "id": id });
    let mut entities = vec![
        json!({ "uid": uid("Action", "documents:read"), "attrs": {}, "parents": [] }),
        json!({ "uid": uid("Action", ACTION), "attrs": {}, "parents": [uid("Action", "documents:read")] }),
    ];
    for file in ["data/entities.jsonl", "import/entities.jsonl"] {
        for line in std::fs::read_to_string(files.join(file))?.lines() {
            let entity: Json = serde_json::from_str(line)?;
            let type_name = entity.pointer("/uid/type").and_then(Json::as_str).unwrap_or_default();
            let type_name = type_name.rsplit("::").next().unwrap_or_default();
            if ["User", "Group", "OrgUnit", "Folder", "Document"].contains(&type_name) {
                let part = |name: &str| entity.get(name).cloned().unwrap_or_default();
                entities.push(json!({
                    "uid": part("uid"), "attrs": part("attributes"), "parents": part("parents"),
                }));
            }
        }
    }
    Ok(entities)
}

/// The questions as JSON.
pub(crate) fn calls(asked: &Asked) -> Vec<Call> {
    let call = |it: &Question| Call { body: question(it).to_string().into(), expected: vec![it.allowed] };
    asked.questions.iter().map(call).collect()
}

fn question(question: &Question) -> Json {
    json!({
        "principal": question.user.uid.to_string(),
        "action": format!("{NAMESPACE}::Action::\"{ACTION}\""),
        "resource": question.document.uid.to_string(),
        "context": { "roles": question.roles },
    })
}
