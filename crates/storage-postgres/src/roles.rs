//! The database's roles: how they are named, and what makes them.

use std::fmt;
use std::str::FromStr;

/// What the names of the five roles begin with, so that several installations can share a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RolePrefix(String);

/// Text that is no role prefix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{given}` cannot begin the names of roles; use 1 to 40 of `a` to `z`, digits and `_`, not beginning with a digit or `pg_`"
)]
pub struct InvalidRolePrefix {
    given: String,
}

/// One of the five roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Owns everything; only migrations use it.
    Owner,
    /// What nodes connect as: reads policies, appends decisions, changes nothing.
    App,
    /// What administrators connect as: changes policies, entities and grants.
    Admin,
    /// What auditors connect as: reads everything.
    Auditor,
    /// What whoever keeps the rules of retention connects as: reads everything, and takes out whole days.
    Retention,
}

impl RolePrefix {
    /// As the configuration gives it.
    pub fn new(text: &str) -> Result<Self, InvalidRolePrefix> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        let begins = text.bytes().next().is_some_and(|byte| !byte.is_ascii_digit());
        if text.len() > 40 || !begins || !text.bytes().all(allowed) || text.starts_with("pg_") {
            return Err(InvalidRolePrefix { given: text.chars().take(40).flat_map(char::escape_debug).collect() });
        }
        Ok(Self(text.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name of a role.
    pub fn name_of(&self, role: Role) -> String {
        format!("{}_{}", self.0, role.name())
    }

    /// A text with role names, quoted, in place of `{owner}`, `{app}`, `{admin}`, `{auditor}` and `{retention}`.
    pub(crate) fn fill(&self, template: &str) -> String {
        Role::ALL.iter().fold(template.to_owned(), |text, role| {
            text.replace(&format!("{{{}}}", role.name()), &format!("\"{}\"", self.name_of(*role)))
        })
    }
}

impl Default for RolePrefix {
    fn default() -> Self {
        Self("magistrate".to_owned())
    }
}

impl FromStr for RolePrefix {
    type Err = InvalidRolePrefix;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}

impl fmt::Display for RolePrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Role {
    /// All five.
    pub const ALL: [Self; 5] = [Self::Owner, Self::App, Self::Admin, Self::Auditor, Self::Retention];

    /// What its name ends with.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Owner => "owner",
            Self::App => "app",
            Self::Admin => "admin",
            Self::Auditor => "auditor",
            Self::Retention => "retention",
        }
    }
}

/// The SQL that a DBA runs where the login that migrates may not create roles or schemas.
pub fn roles_sql(prefix: &RolePrefix) -> String {
    prefix.fill(ROLES)
}

const ROLES: &str = "-- Run in the database that Magistrate will use, by somebody who may create roles and schemas.
CREATE ROLE {owner} NOLOGIN;
CREATE ROLE {app} NOLOGIN;
CREATE ROLE {admin} NOLOGIN;
CREATE ROLE {auditor} NOLOGIN;
CREATE ROLE {retention} NOLOGIN;
CREATE SCHEMA magistrate AUTHORIZATION {owner};
CREATE SCHEMA audit AUTHORIZATION {owner};

-- Then let the login that runs `magistrate migrate` be the owner while it does:
-- GRANT {owner} TO the_login_that_migrates;

-- And let the others in, each with a login of its own:
-- GRANT {app} TO the_login_of_nodes;
-- GRANT {admin} TO the_login_of_administrators;
-- GRANT {auditor} TO the_login_of_auditors;
-- GRANT {retention} TO the_login_that_takes_out_what_is_old;
";
