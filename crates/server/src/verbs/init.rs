//! `init`: a policy directory to start from.

use std::path::Path;

use anyhow::{Context as _, bail};
use clap::ValueEnum;
use serde_json::json;

use crate::cli::{InitArgs, Template};
use crate::exit::Exit;
use crate::output::Out;

macro_rules! files {
    ($template:literal, $($path:literal),* $(,)?) => {
        &[$(($path, include_str!(concat!("../../templates/", $template, "/", $path)))),*]
    };
}

const GATEWAY: &[(&str, &str)] = files![
    "gateway",
    "README.md",
    "ask.sh",
    "question.json",
    "magistrate.toml",
    "schema.cedarschema",
    "routes.cedar",
    "data/entities.jsonl",
    "data/roles.jsonl",
    "data/grants.jsonl",
    "tests/routes.yaml",
];
const SAAS: &[(&str, &str)] = files![
    "saas",
    "README.md",
    "ask.sh",
    "question.json",
    "magistrate.toml",
    "schema.cedarschema",
    "projects.cedar",
    "data/entities.jsonl",
    "data/roles.jsonl",
    "data/grants.jsonl",
    "tests/projects.yaml",
];
const M2M: &[(&str, &str)] = files![
    "m2m",
    "README.md",
    "ask.sh",
    "question.json",
    "magistrate.toml",
    "schema.cedarschema",
    "queues.cedar",
    "data/entities.jsonl",
    "data/roles.jsonl",
    "data/scopes.jsonl",
    "data/grants.jsonl",
    "tests/queues.yaml",
];

pub(crate) fn run(out: Out, args: &InitArgs) -> anyhow::Result<Exit> {
    let Some(template) = args.template else {
        return list(out);
    };
    let files = match template {
        Template::Gateway => GATEWAY,
        Template::Saas => SAAS,
        Template::M2m => M2M,
    };
    let directory = &args.directory;
    check_empty(directory)?;
    for (name, text) in files {
        let path = directory.join(name);
        let folder = path.parent().unwrap_or(directory);
        std::fs::create_dir_all(folder).with_context(|| format!("cannot create `{}`", folder.display()))?;
        std::fs::write(&path, text).with_context(|| format!("cannot write `{}`", path.display()))?;
    }
    let shown = directory.display();
    out.either(
        || format!("{} files are in {shown}; next: magistrate policy test {shown}", files.len()),
        || json!({ "directory": shown.to_string(), "files": files.iter().map(|(name, _)| name).collect::<Vec<_>>() }),
    )?;
    Ok(Exit::Ok)
}

/// Tells what there is to start from, in the words of the command line's help.
fn list(out: Out) -> anyhow::Result<Exit> {
    let known = Template::value_variants().iter().filter_map(ValueEnum::to_possible_value);
    let rows: Vec<Vec<String>> = known
        .map(|value| vec![value.get_name().to_owned(), value.get_help().map(ToString::to_string).unwrap_or_default()])
        .collect();
    let json = || rows.iter().map(|row| json!({ "template": row.first(), "about": row.last() })).collect();
    out.rows(&["template", "about"], &rows, json)?;
    Ok(Exit::Ok)
}

/// Nothing that is there is written over.
fn check_empty(directory: &Path) -> anyhow::Result<()> {
    match std::fs::read_dir(directory).map(|mut entries| entries.next().is_some()) {
        Ok(true) => bail!("`{}` is not empty; name a directory that is, or is not there yet", directory.display()),
        Ok(false) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).with_context(|| format!("cannot read `{}`", directory.display())),
    }
}
