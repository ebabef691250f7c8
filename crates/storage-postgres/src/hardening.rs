//! How well a database protects recorded decisions, and what keeps it from more.

use sqlx::PgConnection;

use crate::embedded;
use crate::statements::statements;

statements! {
    /// What keeps a database from a level, and which kind of finding it is.
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
    /// What else there is to say of the server; no part of the level.
    pub remarks: Vec<String>,
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
        Ok(Self::judge(found(connection, prepares).await?))
    }

    fn judge(mut found: Vec<Found>) -> Self {
        let mut taken = |kinds: &[&str]| -> Vec<String> {
            found.extract_if(.., |(kind, _)| kinds.contains(&kind.as_str())).map(|(_, finding)| finding).collect()
        };
        let standard = taken(&["session", "schema", "code", "days"]);
        let (strict, remarks) = (taken(&["strict"]), taken(&["remark"]));
        let (level, findings) = match (standard.is_empty(), strict.is_empty()) {
            (false, _) => (HardeningLevel::None, standard),
            (true, false) => (HardeningLevel::Standard, strict),
            (true, true) => (HardeningLevel::Strict, strict),
        };
        Self { level, findings, remarks }
    }
}

/// What of a database is not as this program's migrations leave it, whoever asks; partitions to come aside.
pub(crate) async fn differences(connection: &mut PgConnection, of: Kept) -> Result<Vec<String>, sqlx::Error> {
    let kinds: &[&str] = match of {
        Kept::Code => &["code"],
        Kept::All => &["code", "schema"],
    };
    let found = found(connection, false).await?;
    Ok(found.into_iter().filter(|(kind, _)| kinds.contains(&kind.as_str())).map(|(_, finding)| finding).collect())
}

/// What of a database to compare with this program's migrations.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kept {
    /// What runs by itself, or in a session that calls it.
    Code,
    /// Tables and rights as well.
    All,
}

/// The kind of a finding, and what it is in words.
type Found = (String, String);

async fn found(connection: &mut PgConnection, prepares: bool) -> Result<Vec<Found>, sqlx::Error> {
    let (functions, guards, guarding) = (embedded::functions(), embedded::guards(), embedded::guard_functions());
    let (names, bodies) = (each(&functions, |it| it.name), each(&functions, |it| it.body));
    let (guarding_names, guarding_bodies) = (each(&guarding, |it| it.name), each(&guarding, |it| it.body));
    let query = sqlx::query_as(FINDINGS).persistent(prepares);
    let query = query.bind(names).bind(bodies);
    let query = query.bind(each(&functions, |it| it.is_definer)).bind(each(&functions, |it| it.settings.clone()));
    let query = query.bind(each(&guards, |it| it.table)).bind(each(&guards, |it| it.trigger));
    let query = query.bind(each(&guards, |it| it.kind)).bind(each(&guards, |it| it.function));
    let query = query.bind(each(&guards, |it| it.condition.clone()));
    let query = query.bind(guarding_names).bind(guarding_bodies);
    let query = query.bind(each(&guarding, |it| it.is_definer)).bind(each(&guarding, |it| it.settings.clone()));
    query.bind(embedded::event_triggers()).bind(embedded::tables()).fetch_all(connection).await
}

fn each<T, C>(all: &[T], column: impl Fn(&T) -> C) -> Vec<C> {
    all.iter().map(column).collect()
}
