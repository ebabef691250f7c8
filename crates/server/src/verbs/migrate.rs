//! `migrate`: the store's own schema.

use std::path::Path;

use anyhow::Context as _;
use magistrate_storage_sqlite::SqliteStore;
use serde_json::json;

use crate::config::{Config, Storage};
use crate::exit::Exit;
use crate::output::Out;

pub(crate) async fn run(config: &Config, out: Out) -> anyhow::Result<Exit> {
    match &config.storage {
        Storage::Embedded(directory) => embedded(directory, out).await,
        Storage::Postgres(database) => anyhow::bail!("not wired yet: {}", database.describe()),
    }
}

async fn embedded(directory: &Path, out: Out) -> anyhow::Result<Exit> {
    let migrated = SqliteStore::create_or_migrate(directory).await;
    let directory = directory.display();
    let migrated = migrated.with_context(|| format!("cannot migrate the store in `{directory}`"))?;
    let steps: Vec<_> =
        migrated.steps.iter().map(|step| format!("{} {:04} {}", step.file, step.version, step.name)).collect();
    let text = || match steps.is_empty() {
        true => format!("the store in `{directory}` is up to date"),
        false => format!("{}\nthe store in `{directory}` is ready", steps.join("\n")),
    };
    out.either(text, || json!({ "data": directory.to_string(), "applied": steps }))?;
    Ok(Exit::Ok)
}
