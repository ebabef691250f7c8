//! Which store is configured, and how its database is reached. Secrets come from files, or from the
//! environment; a URL on the command line shows in the list of processes.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use magistrate_storage_postgres::Database;
use serde::Deserialize;

use super::Storage;
use crate::cli::{DatabaseArgs, Global, Pooler};

/// The `[database]` table of the configuration file.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct DatabaseFile {
    url: Option<String>,
    url_file: Option<PathBuf>,
    password_file: Option<PathBuf>,
    direct_url: Option<String>,
    direct_url_file: Option<PathBuf>,
    pooler: Option<Pooler>,
}

/// A database where one is named; else the directory.
pub(super) fn storage(global: &Global, data: Option<PathBuf>, file: &DatabaseFile) -> anyhow::Result<Storage> {
    let DatabaseArgs { url, url_file, password_file, direct_url, direct_url_file, pooler } = global.database.clone();
    // What names the database is taken from one place as a whole: half of one URL and half of another is neither.
    let (url, url_file) = first((url, url_file), (file.url.clone(), file.url_file.clone()));
    let Some(url) = text("database.url", url, url_file.as_deref())? else {
        return embedded(global, data, file);
    };
    if global.data.is_some() {
        bail!("both a data directory and a database are given; give one of them");
    }
    let (direct, direct_file) =
        first((direct_url, direct_url_file), (file.direct_url.clone(), file.direct_url_file.clone()));
    let mut database = Database::new(&url).context("`database.url`")?;
    if let Some(path) = password_file.or_else(|| file.password_file.clone()) {
        database = database.with_password_file(&path).context("`database.password_file`")?;
    }
    if let Some(direct) = text("database.direct_url", direct, direct_file.as_deref())? {
        database = database.direct(&direct).context("`database.direct_url`")?;
    }
    let pooled = pooler.or(file.pooler) == Some(Pooler::Transaction);
    Ok(Storage::Postgres(database.pooled(pooled).application_name("magistrate")))
}

fn embedded(global: &Global, data: Option<PathBuf>, file: &DatabaseFile) -> anyhow::Result<Storage> {
    let lonely = global.database.direct_url.is_some() || global.database.pooler.is_some() || file.pooler.is_some();
    if lonely || file.direct_url.is_some() || file.password_file.is_some() {
        bail!("a database is described and not named; give `database.url` or `database.url_file`");
    }
    Ok(Storage::Embedded(global.data.clone().or(data).unwrap_or_else(|| PathBuf::from(".magistrate"))))
}

type Named = (Option<String>, Option<PathBuf>);

fn first(given: Named, otherwise: Named) -> Named {
    if given.0.is_some() || given.1.is_some() { given } else { otherwise }
}

fn text(what: &str, text: Option<String>, file: Option<&Path>) -> anyhow::Result<Option<String>> {
    match (text, file) {
        (Some(_), Some(_)) => bail!("`{what}` and `{what}_file` are both given; give one of them"),
        (Some(text), None) => Ok(Some(text)),
        (None, Some(path)) => Ok(Some(read_secret(&format!("{what}_file"), path)?)),
        (None, None) => Ok(None),
    }
}

/// A secret kept in a file of its own; the end of its line does not belong to it.
pub(crate) fn read_secret(what: &str, path: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read `{what}` = `{}`", path.display()))?;
    let secret = text.trim_end_matches(['\r', '\n']);
    match secret.is_empty() {
        true => bail!("`{what}` = `{}` is empty", path.display()),
        false => Ok(secret.to_owned()),
    }
}
