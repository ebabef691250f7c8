//! A seeded generator that scales the shipped example to N policies, M assignments and K entities.

use std::fmt::Write as _;
use std::path::Path;

use magistrate_engine::{Snapshot, Source};
use magistrate_model::{Dataset, Instant};
use magistrate_pap::{Data, Known, PolicyFiles, plan};
use rand::RngExt as _;
use rand::seq::IndexedRandom as _;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng as _;
use serde_json::json;

use crate::world::example_policies;

/// How large a scenario is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scale {
    /// Policies in all, the shipped ones included.
    pub policies: usize,
    /// Role assignments, besides the shipped ones.
    pub assignments: usize,
    /// Users, folders and documents, besides the shipped ones.
    pub entities: usize,
}

/// A generated scenario: the shipped example, grown. The same seed and scale give the same scenario.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// The schema.
    pub schema: Source,
    /// The shipped policies and the generated ones.
    pub policies: Vec<Source>,
    /// The shipped data and the generated data.
    pub data: Data,
    /// The generated data as JSON lines: entities, and grants.
    generated: [(&'static str, String); 2],
}

const ROLES: [&str; 2] = ["viewer", "editor"];
/// Generated policies of one file.
const A_FILE: usize = 10_000;

impl Scenario {
    /// Generates a scenario.
    pub fn generate(seed: u64, scale: Scale) -> Self {
        let files = PolicyFiles::read(&example_policies()).unwrap();
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut data = files.data().unwrap();
        let (entities, users, folders) = entities(&mut data, scale.entities);
        let grants = grants(&mut data, &mut random, scale.assignments, &users, &folders);
        let shipped = files.compile().unwrap_or_else(|findings| panic!("{findings}")).policies().len();
        let mut policies = files.policies.clone();
        policies.extend(generated_policies(&mut random, scale.policies.saturating_sub(shipped), &folders));
        Self { schema: files.schema, policies, data, generated: [("entities", entities), ("grants", grants)] }
    }

    /// Writes it as files: a policy directory with the shipped data, and in `import/` the generated entities and
    /// grants, to be imported afterwards.
    pub fn write(&self, directory: &Path) -> std::io::Result<()> {
        let shipped = example_policies();
        for folder in ["data", "import"] {
            std::fs::create_dir_all(directory.join(folder))?;
        }
        std::fs::write(directory.join("schema.cedarschema"), &self.schema.text)?;
        for Source { name, text } in &self.policies {
            let name = Path::new(name).file_name().unwrap_or_default();
            std::fs::write(directory.join(name), text)?;
        }
        for kind in ["entities", "roles", "scopes", "grants"] {
            let file = format!("data/{kind}.jsonl");
            std::fs::copy(shipped.join(&file), directory.join(&file))?;
        }
        for (kind, lines) in &self.generated {
            std::fs::write(directory.join(format!("import/{kind}.jsonl")), lines)?;
        }
        Ok(())
    }

    /// The scenario compiled and as a store would hold it.
    pub fn build(self, now: Instant) -> (Snapshot, Dataset) {
        let snapshot = Snapshot::compile(&self.schema, &self.policies).unwrap_or_else(|findings| panic!("{findings}"));
        let plan = plan(&snapshot, &Known::default(), self.data, now).unwrap_or_else(|problems| panic!("{problems:?}"));
        let mut dataset = Dataset::empty();
        dataset.apply(plan.changes);
        dataset.policy_set = Some(snapshot.policy_set());
        (snapshot, dataset)
    }
}

/// Adds users, folders and documents in equal parts; returns their lines, and the ids of users and folders.
fn entities(data: &mut Data, count: usize) -> (String, Vec<String>, Vec<String>) {
    let (mut users, mut folders) = (vec!["mia".to_owned()], vec!["handbook".to_owned()]);
    let mut lines = String::new();
    for n in 0..count {
        let line = match n % 3 {
            0 => user(&mut users, n),
            1 => folder(&mut folders, n),
            _ => document(&users, &folders, n),
        };
        writeln!(lines, "{line}").unwrap();
    }
    data.add_jsonl("entities", "generated entities", &lines).unwrap_or_else(|problems| panic!("{problems:?}"));
    (lines, users, folders)
}

fn reference(type_name: &str, id: &str) -> serde_json::Value {
    json!({ "type": format!("Company::{type_name}"), "id": id })
}

fn user(users: &mut Vec<String>, n: usize) -> serde_json::Value {
    let id = format!("user-{n}");
    let unit = json!({ "__entity": reference("OrgUnit", "commerce") });
    let attributes =
        json!({ "unit": unit, "clearance": n % 5, "employment": "employee", "suspended": n.is_multiple_of(50) });
    let json = json!({ "uid": reference("User", &id), "attributes": attributes, "parents": [reference("Group", "employees")] });
    users.push(id);
    json
}

/// Folders form a tree in which each has up to eight below it.
fn folder(folders: &mut Vec<String>, n: usize) -> serde_json::Value {
    let id = format!("folder-{n}");
    let above = folders.get(folders.len() / 8).cloned().unwrap_or_default();
    let json = json!({ "uid": reference("Folder", &id), "attributes": {}, "parents": [reference("Folder", &above)] });
    folders.push(id);
    json
}

fn document(users: &[String], folders: &[String], n: usize) -> serde_json::Value {
    let (owner, folder) = (&users[n % users.len()], &folders[n % folders.len()]);
    let owner = json!({ "__entity": reference("User", owner) });
    let attributes =
        json!({ "owner": owner, "classification": n % 5, "published": n.is_multiple_of(4), "locked": false });
    json!({ "uid": reference("Document", &format!("document-{n}")), "attributes": attributes, "parents": [reference("Folder", folder)] })
}

/// Adds role assignments on folders; a tenth are over and a tenth have not begun. Returns their lines.
fn grants(data: &mut Data, random: &mut ChaCha8Rng, count: usize, users: &[String], folders: &[String]) -> String {
    let mut lines = String::new();
    for n in 0..count {
        let (not_before, expires_at) = match random.random_range(0..10) {
            0 => ("-60d", "-1d"),
            1 => ("+7d", "+90d"),
            _ => ("-1d", "+90d"),
        };
        let line = json!({
            "id": format!("generated-{n}"),
            "holder": reference("User", users.choose(random).unwrap()),
            "role": ROLES.choose(random).unwrap(),
            "resource": reference("Folder", folders.choose(random).unwrap()),
            "not_before": not_before,
            "expires_at": expires_at,
            "reason": "generated",
        });
        writeln!(lines, "{line}").unwrap();
    }
    data.add_jsonl("grants", "generated grants", &lines).unwrap_or_else(|problems| panic!("{problems:?}"));
    lines
}

/// Policies on single folders: of four, two by group, one by attribute and one forbid.
fn generated_policies(random: &mut ChaCha8Rng, count: usize, folders: &[String]) -> Vec<Source> {
    let mut texts = vec![String::new(); count.div_ceil(A_FILE).max(1)];
    for n in 0..count {
        let folder = folders.choose(random).unwrap();
        let scope = format!("action in Company::Action::\"documents:read\", resource in Company::Folder::\"{folder}\"");
        let policy = match n % 4 {
            0 => format!("permit (principal in Company::Group::\"employees\", {scope});"),
            1 => format!("permit (principal in Company::Group::\"contractors\", {scope});"),
            2 => format!("permit (principal is Company::User, {scope}) when {{ principal.clearance >= {} }};", n % 5),
            _ => format!("forbid (principal is Company::User, {scope}) when {{ principal.suspended }};"),
        };
        writeln!(texts[n / A_FILE], "@id(\"generated.policy-{n}\")\n{policy}").unwrap();
    }
    let source = |(n, text): (usize, String)| match n {
        0 => Source { name: "generated.cedar".into(), text },
        n => Source { name: format!("generated-{n}.cedar"), text },
    };
    texts.into_iter().enumerate().map(source).collect()
}
