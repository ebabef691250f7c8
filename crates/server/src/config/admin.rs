//! The administration listener, and whose eyes it reads history with.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use magistrate_storage_postgres::Database;
use serde::Deserialize;

use super::Storage;
use super::database::read_secret;

/// Where it listens unless told otherwise.
const DEFAULT: ([u8; 4], u16) = ([127, 0, 0, 1], 7701);

/// The `[admin]` table of the configuration file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct AdminFile {
    listen: Option<String>,
    auditor_database_url_file: Option<PathBuf>,
}

/// The administration listener, resolved.
#[derive(Debug, Clone)]
pub(crate) struct Admin {
    /// Where it listens.
    pub(crate) listen: SocketAddr,
    /// Where it reads history: in a database as the auditor, whom the service's own login is not.
    pub(crate) history: Storage,
}

/// Resolves the table. Where the history is in a database and no login of an auditor is given, there is no listener.
pub(super) fn resolve(
    file: AdminFile,
    listen: Option<&str>,
    environment: impl Fn(&str) -> Option<String>,
    storage: &Storage,
) -> anyhow::Result<Option<Admin>> {
    let text = listen.map(ToOwned::to_owned).or(file.listen);
    let url_file =
        environment("MAGISTRATE_AUDITOR_DATABASE_URL_FILE").map(PathBuf::from).or(file.auditor_database_url_file);
    if text.as_deref() == Some("off") {
        return Ok(None);
    }
    let history = match (storage, url_file) {
        (Storage::Embedded(_), None) => storage.clone(),
        (Storage::Embedded(_), Some(_)) => {
            bail!("`admin.auditor_database_url_file` is given, and the store is no database; leave it away")
        }
        (Storage::Postgres(_), Some(path)) => {
            let url = read_secret("admin.auditor_database_url_file", &path)?;
            let database = Database::new(&url).context("`admin.auditor_database_url_file`")?;
            Storage::Postgres(Box::new(database.application_name("magistrate-audit")))
        }
        (Storage::Postgres(_), None) if text.is_some() => bail!(
            "`admin.listen` needs a login of the role `auditor`, for this server's own reads no decisions; give \
             `admin.auditor_database_url_file`, or `off`"
        ),
        (Storage::Postgres(_), None) => return Ok(None),
    };
    let listen = match text {
        None => SocketAddr::from(DEFAULT),
        Some(text) => text.parse().with_context(|| {
            format!("`admin.listen` is `{text}`, which is no address; write `127.0.0.1:7701`, or `off`")
        })?,
    };
    Ok(Some(Admin { listen, history }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(file: &str, listen: Option<&str>, storage: &Storage, expected: &str) {
        let told = match resolve(toml::from_str(file).unwrap(), listen, |_| None, storage) {
            Ok(admin) => format!("{:?}", admin.map(|it| it.listen)),
            Err(error) => format!("{error:#}"),
        };
        assert!(told.contains(expected), "{told}");
    }

    #[test]
    fn listener_reads_history_as_an_auditor_or_is_off() {
        let embedded = Storage::Embedded("/nowhere".into());
        let database = Database::new("postgres://u@127.0.0.1/m").unwrap();
        let shared = Storage::Postgres(Box::new(database));
        check("", None, &embedded, "Some(127.0.0.1:7701)");
        check("listen = 'off'", None, &embedded, "None");
        check("listen = 'off'", Some("[::1]:3"), &embedded, "Some([::1]:3)");
        check("listen = 'everywhere'", None, &embedded, "which is no address");
        check("", None, &shared, "None");
        check("", Some("127.0.0.1:3"), &shared, "needs a login of the role `auditor`");
        check("auditor_database_url_file = '/x'", None, &shared, "cannot read `admin.auditor_database_url_file`");
        check("auditor_database_url_file = '/x'", None, &embedded, "the store is no database");
    }
}
