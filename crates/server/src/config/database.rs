//! Which store is configured, and how its database is reached. Secrets come from files, or from the
//! environment; a URL on the command line shows in the list of processes.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use magistrate_storage_postgres::Database;
use serde::Deserialize;

use super::Storage;
use crate::cli::{DatabaseArgs, Global, Pooler};

/// The `[database]` table of the configuration file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
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
///
/// Flags and environment describe a database as a whole, or the file does: half of one and half of another is
/// neither.
pub(super) fn storage(global: &Global, data: Option<PathBuf>, file: &DatabaseFile) -> anyhow::Result<Storage> {
    let given = DatabaseFile::from(global.database.clone());
    let described = if given == DatabaseFile::default() || !given.is_named() && file.is_named() {
        given.or(file.clone())
    } else {
        given
    };
    let Some(url) = text("database.url", described.url.clone(), described.url_file.as_deref())? else {
        if described != DatabaseFile::default() {
            bail!("a database is described and not named; give `database.url` or `database.url_file`");
        }
        return Ok(Storage::Embedded(global.data.clone().or(data).unwrap_or_else(|| PathBuf::from(super::DATA))));
    };
    if global.data.is_some() {
        bail!("both a data directory and a database are given; give one of them");
    }
    let mut database = Database::new(&url).context("`database.url`")?;
    if let Some(path) = &described.password_file {
        database = database.with_password_file(path).context("`database.password_file`")?;
    }
    if let Some(direct) = text("database.direct_url", described.direct_url, described.direct_url_file.as_deref())? {
        database = database.direct(&direct).context("`database.direct_url`")?;
    }
    let pooled = described.pooler == Some(Pooler::Transaction);
    Ok(Storage::Postgres(Box::new(database.pooled(pooled).application_name("magistrate"))))
}

impl DatabaseFile {
    fn is_named(&self) -> bool {
        self.url.is_some() || self.url_file.is_some()
    }

    /// What is not given here is taken from there.
    fn or(self, there: Self) -> Self {
        let (url, url_file) = if self.is_named() { (self.url, self.url_file) } else { (there.url, there.url_file) };
        Self {
            url,
            url_file,
            password_file: self.password_file.or(there.password_file),
            direct_url: self.direct_url.or(there.direct_url),
            direct_url_file: self.direct_url_file.or(there.direct_url_file),
            pooler: self.pooler.or(there.pooler),
        }
    }
}

impl From<DatabaseArgs> for DatabaseFile {
    fn from(args: DatabaseArgs) -> Self {
        let DatabaseArgs { url, url_file, password_file, direct_url, direct_url_file, pooler } = args;
        Self { url, url_file, password_file, direct_url, direct_url_file, pooler }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> DatabaseFile {
        toml::from_str(text).unwrap()
    }

    fn global(database: DatabaseArgs) -> Global {
        Global {
            data: None,
            database,
            node: None,
            config: None,
            default_namespace: None,
            output: crate::output::Format::default(),
        }
    }

    fn args() -> DatabaseArgs {
        DatabaseArgs {
            url: None,
            url_file: None,
            password_file: None,
            direct_url: None,
            direct_url_file: None,
            pooler: None,
        }
    }

    fn check(args: DatabaseArgs, text: &str, says: &str) {
        let told = match storage(&global(args), None, &file(text)) {
            Ok(storage) => storage.to_string(),
            Err(error) => format!("{error:#}"),
        };
        assert!(told.contains(says), "{told}");
    }

    /// A URL on the command line is not completed by what a file says about another database.
    #[test]
    fn database_is_described_in_one_place() {
        let url = |name: &str| Some(format!("postgres://u@127.0.0.1/{name}"));
        let production = "url = 'postgres://u@127.0.0.1/prod'\ndirect_url = 'postgres://u@127.0.0.1/prod'\n\
            password_file = '/nowhere'";
        check(DatabaseArgs { url: url("staging"), ..args() }, production, "`staging`");
        check(args(), production, "/nowhere");
        check(args(), "url = 'postgres://u@127.0.0.1/prod'", "`prod`");
        check(DatabaseArgs { password_file: Some("/elsewhere".into()), ..args() }, production, "/elsewhere");
        check(args(), "", ".magistrate");
    }

    /// A container whose URL is missing must not write to a directory instead.
    #[test]
    fn database_that_is_described_and_not_named_is_an_error() {
        let says = "described and not named";
        let some = || Some("/x".into());
        check(DatabaseArgs { password_file: some(), ..args() }, "", says);
        check(DatabaseArgs { direct_url_file: some(), ..args() }, "", says);
        check(DatabaseArgs { direct_url: Some("postgres://x".into()), ..args() }, "", says);
        check(DatabaseArgs { pooler: Some(Pooler::Transaction), ..args() }, "", says);
        for field in ["password_file = '/x'", "direct_url_file = '/x'", "pooler = 'transaction'"] {
            check(args(), field, says);
        }
        check(DatabaseArgs { url: Some("postgres://x".into()), url_file: some(), ..args() }, "", "both given");
    }
}
