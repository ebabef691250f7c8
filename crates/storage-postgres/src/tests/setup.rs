//! Databases as `migrate` makes them, with roles that log in.

use std::fmt::Write as _;

use magistrate_testkit::postgres::{Cluster, Database as Created};

use crate::{Database, HardeningLevel, MigrateOptions, Migrated, OpenError, Role, RolePrefix, Verifier, migrate};

/// The password of every role.
pub(crate) const PASSWORD: &str = "open Sesame! 1";

/// A migrated database, and roles of its own that all log in.
#[derive(Debug)]
pub(crate) struct Installed {
    pub(crate) created: Created,
    pub(crate) prefix: RolePrefix,
}

/// Options under which all roles but the owner log in.
pub(crate) fn options(prefix: &RolePrefix, hardening: HardeningLevel) -> MigrateOptions {
    let verifier = Verifier::new(PASSWORD, [7; 16]).unwrap();
    let passwords = Role::ALL[1..].iter().map(|role| (*role, verifier.clone())).collect();
    MigrateOptions { role_prefix: prefix.clone(), hardening, passwords }
}

/// Options that change no role: for databases whose roles other tests use at the same time.
pub(crate) fn without_passwords(prefix: &RolePrefix, hardening: HardeningLevel) -> MigrateOptions {
    MigrateOptions { role_prefix: prefix.clone(), hardening, passwords: Vec::new() }
}

/// Migrates as a user.
pub(crate) async fn migrated(url: &str, options: &MigrateOptions) -> Result<Migrated, OpenError> {
    migrate(&Database::new(url).unwrap(), options).await
}

impl Installed {
    /// A copy of a database that is made once a run for each hardening level. Its roles are those of the level, so
    /// that tests change none of them.
    pub(crate) async fn at(hardening: HardeningLevel) -> Self {
        let cluster = Cluster::shared();
        let prefix = RolePrefix::new(&format!("kit_{}", hardening.name())).unwrap();
        let fill = async |url: String| {
            migrated(&url, &options(&prefix, hardening)).await.unwrap();
        };
        let steps: String = crate::schema::STEPS.iter().map(|(_, sql)| *sql).collect();
        let print = format!("{hardening:?} {steps} {} {}", crate::schema::RIGHTS, crate::schema::STRICT);
        let template = cluster.template(&print, fill).await;
        Self { created: cluster.database(Some(&template)), prefix }
    }

    /// An empty database, and a prefix that no other test has.
    pub(crate) fn empty() -> Self {
        let created = Cluster::shared().database(None);
        let prefix = RolePrefix::new(&created.name().replace("test_", "t_")).unwrap();
        Self { created, prefix }
    }

    /// The URL with which a role logs in.
    pub(crate) fn login(&self, role: Role) -> String {
        self.created.login(&self.prefix.name_of(role), PASSWORD)
    }
}

/// Bytes as SQL writes them.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}
