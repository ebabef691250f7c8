//! How well a database protects recorded decisions, and what keeps it from more.

use sqlx::PgConnection;

use crate::embedded::{self, Function};
use crate::statements::statements;

statements! {
    /// What keeps a database from a level, and whether it is only the strict one.
    FINDINGS = include_str!("hardening.sql");
}

/// How well a database protects recorded decisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum HardeningLevel {
    /// Somebody who should not can change them.
    None,
    /// Rights and triggers protect them from everybody but the owner role and superusers.
    Standard,
    /// Event triggers protect them from the owner role as well, and from a superuser's mistake.
    Strict,
}

/// How well a database protects recorded decisions from this session's user, and what keeps it from more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hardening {
    /// The level it has.
    pub level: HardeningLevel,
    /// What keeps it from the next one, in words; nothing at the highest.
    pub findings: Vec<String>,
}

impl HardeningLevel {
    /// Its name in settings and reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Standard => "standard",
            Self::Strict => "strict",
        }
    }
}

impl Hardening {
    /// Asks the catalogue of the database, with whatever rights the session has.
    pub(crate) async fn of(connection: &mut PgConnection, prepares: bool) -> Result<Self, sqlx::Error> {
        let (names, bodies) = columns(&embedded::functions());
        let guards = embedded::guards();
        let (guard_names, guard_bodies) = columns(&embedded::guard_functions());
        let found: Vec<(bool, String)> = sqlx::query_as(FINDINGS)
            .persistent(prepares)
            .bind(names)
            .bind(bodies)
            .bind(guards.iter().map(|guard| guard.table).collect::<Vec<_>>())
            .bind(guards.iter().map(|guard| guard.trigger).collect::<Vec<_>>())
            .bind(guard_names)
            .bind(guard_bodies)
            .bind(embedded::event_triggers())
            .fetch_all(connection)
            .await?;
        Ok(Self::judge(found))
    }

    fn judge(found: Vec<(bool, String)>) -> Self {
        let (strict, standard): (Vec<_>, Vec<_>) = found.into_iter().partition(|(is_strict, _)| *is_strict);
        let (level, findings) = match (standard.is_empty(), strict.is_empty()) {
            (false, _) => (HardeningLevel::None, standard),
            (true, false) => (HardeningLevel::Standard, strict),
            (true, true) => (HardeningLevel::Strict, strict),
        };
        Self { level, findings: findings.into_iter().map(|(_, finding)| finding).collect() }
    }
}

fn columns(functions: &[Function]) -> (Vec<&'static str>, Vec<&'static str>) {
    functions.iter().map(|function| (function.name, function.body)).unzip()
}
