//! Rows as every store keeps them, and the values they must be. A row is a tuple of its columns in the order
//! of its statement.

use std::collections::HashMap;
use std::fmt::Display;

use foldhash::fast::RandomState;
use magistrate_identity::{ApiKey, KeyHash, ListedKey, UnknownKind};
use magistrate_model::{
    ActionUid, Authorship, ConferredRef, Digest, EntityData, EntityUid, Grant, GrantRef, Instant, InvalidInstant,
    InvalidUid, LoggedChange, PolicyText, Revision, ScopeDeclaration, Term, TypeName, UidRef, json,
};

use crate::ports::{PolicyMigration, StoreError};

/// A row no valid value can be made of: the store was changed from outside, or is damaged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the policy store holds a `{table}` row that is not valid (`{row}`): {why}")]
pub struct InconsistentRow {
    /// Which table.
    pub table: &'static str,
    /// Which row.
    pub row: String,
    /// What is wrong with it.
    pub why: String,
}

impl InconsistentRow {
    /// A row of a table and what is wrong with it.
    pub fn new(table: &'static str, row: impl Display, why: impl Display) -> Self {
        Self { table, row: row.to_string().escape_debug().to_string(), why: why.to_string() }
    }
}

impl From<InconsistentRow> for StoreError {
    fn from(InconsistentRow { table, row, why }: InconsistentRow) -> Self {
        Self::Inconsistent { table, row, why }
    }
}

/// Type, id, attributes, and parents as a JSON array of `[type, id]`.
pub type EntityRow = (String, String, String, String);

/// Id, holder (type, id), role (type, id), resource (type, id), scope, term (begin, end), reason.
pub type GrantRow = (
    String,
    String,
    String,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<i64>,
    Option<i64>,
    String,
);

/// Name, action group, description.
pub type ScopeRow = (String, String, String);

/// Revision, ordinal, kind, key, before, after, actor, reason, at.
pub type LogRow = (i64, i64, String, String, Option<String>, Option<String>, String, String, i64);

/// Number, name, base, result, revision, actor, reason, at.
pub type MigrationRow = (i64, String, Option<Vec<u8>>, Vec<u8>, i64, String, String, i64);

/// An entity with its direct parents.
pub fn entity((type_name, id, attributes, parents): &EntityRow) -> Result<EntityData, InconsistentRow> {
    let mut reader = Reader::default();
    let mut entity = reader.entity(type_name, id, attributes)?;
    let refused = |why: &dyn Display| InconsistentRow::new("entity", format_args!("{type_name}::\"{id}\""), why);
    let parents: Vec<(String, String)> = serde_json::from_str(parents).map_err(|why| refused(&why))?;
    for (parent_type, parent_id) in &parents {
        let parent = reader.parent(&entity.uid, parent_type, parent_id)?;
        entity.parents.insert(parent);
    }
    Ok(entity)
}

/// A role or scope assignment.
pub fn grant(row: GrantRow) -> Result<Grant, InconsistentRow> {
    let (id, holder_type, holder_id, role_type, role_id, resource_type, resource_id, scope, begin, end, reason) = row;
    let mut reader = Reader::default();
    let columns = GrantColumns {
        id: &id,
        holder: (&holder_type, &holder_id),
        role: role_type.as_deref().zip(role_id.as_deref()),
        resource: resource_type.as_deref().zip(resource_id.as_deref()),
        scope: scope.as_deref(),
        not_before: begin,
        expires_at: end,
        reason: &reason,
    };
    Ok(reader.grant(&columns)?.to_grant())
}

/// A row of a grant, by column. Uids are type and id.
#[derive(Debug, Clone, Copy)]
pub struct GrantColumns<'a> {
    /// Its id.
    pub id: &'a str,
    /// Who holds it.
    pub holder: (&'a str, &'a str),
    /// The role.
    pub role: Option<(&'a str, &'a str)>,
    /// Where the role is held.
    pub resource: Option<(&'a str, &'a str)>,
    /// The scopes, as a pattern.
    pub scope: Option<&'a str>,
    /// When it begins, in microseconds.
    pub not_before: Option<i64>,
    /// When it ends, in microseconds.
    pub expires_at: Option<i64>,
    /// Why it was given.
    pub reason: &'a str,
}

/// Reads many rows: types that come again and again are checked once.
#[derive(Debug, Default)]
pub struct Reader {
    types: HashMap<Box<str>, TypeName, RandomState>,
}

impl Reader {
    /// A role or scope assignment.
    pub fn grant<'a>(&'a mut self, row: &GrantColumns<'a>) -> Result<GrantRef<'a>, InconsistentRow> {
        let refused = |why: &dyn Display| InconsistentRow::new("grant_range", row.id, why);
        let all = [Some(row.holder), row.role, row.role.and(row.resource)];
        for (type_name, _) in all.into_iter().flatten() {
            self.learn(type_name).map_err(|why| refused(&why))?;
        }
        let uid = |of: (&str, &'a str)| self.known(of.0, of.1).map_err(|why| refused(&why));
        let conferred = match (row.role, row.scope) {
            (Some(role), None) => ConferredRef::Role { role: uid(role)?, resource: row.resource.map(uid).transpose()? },
            (None, Some(pattern)) => ConferredRef::Scope(pattern.parse().map_err(|why| refused(&why))?),
            _ => return Err(refused(&"it confers neither a role nor a scope")),
        };
        let begin = instant(row.not_before).map_err(|why| refused(&why))?;
        let term = match instant(row.expires_at).map_err(|why| refused(&why))? {
            Some(end) => Term::until(begin, end).map_err(|why| refused(&why))?,
            None => Term::standing(begin),
        };
        GrantRef::new(row.id, uid(row.holder)?, conferred, term, row.reason).map_err(|why| refused(&why))
    }

    /// An entity without its parents.
    pub fn entity(&mut self, type_name: &str, id: &str, attributes: &str) -> Result<EntityData, InconsistentRow> {
        let refused = |why: &dyn Display| InconsistentRow::new("entity", format_args!("{type_name}::\"{id}\""), why);
        let uid = self.entity_uid(type_name, id)?;
        let attributes = json::parse(attributes).and_then(|json| json::record_from(&json, "attributes"));
        Ok(EntityData { attributes: attributes.map_err(|why| refused(&why))?, ..EntityData::bare(uid) })
    }

    /// The uid of an entity.
    pub fn entity_uid(&mut self, type_name: &str, id: &str) -> Result<EntityUid, InconsistentRow> {
        let refused = |why| InconsistentRow::new("entity", format_args!("{type_name}::\"{id}\""), why);
        self.uid(type_name, id).map_err(refused)
    }

    /// A parent of an entity.
    pub fn parent(&mut self, of: &EntityUid, type_name: &str, id: &str) -> Result<EntityUid, InconsistentRow> {
        self.uid(type_name, id).map_err(|why| InconsistentRow::new("entity", of, why))
    }

    fn uid(&mut self, type_name: &str, id: &str) -> Result<EntityUid, InvalidUid> {
        self.learn(type_name)?;
        self.known(type_name, id).map(UidRef::to_uid)
    }

    /// Checks a type that comes for the first time.
    fn learn(&mut self, type_name: &str) -> Result<(), InvalidUid> {
        if !self.types.contains_key(type_name) {
            self.types.insert(type_name.into(), TypeName::new(type_name)?);
        }
        Ok(())
    }

    /// A uid of a type that came before.
    fn known<'a>(&'a self, type_name: &str, id: &'a str) -> Result<UidRef<'a>, InvalidUid> {
        let unknown = || InvalidUid::Type { given: type_name.to_owned(), why: "it is not known".to_owned() };
        UidRef::new(self.types.get(type_name).ok_or_else(unknown)?, id)
    }
}

/// A scope of the catalogue.
pub fn scope((name, action_group, description): ScopeRow) -> Result<ScopeDeclaration, InconsistentRow> {
    let refused = |why: &dyn Display| InconsistentRow::new("scope", &name, why);
    let action_group = action_group.parse().and_then(ActionUid::new);
    Ok(ScopeDeclaration {
        action_group: action_group.map_err(|why| refused(&why))?,
        name: name.parse().map_err(|why| refused(&why))?,
        description,
    })
}

/// A row of the change log.
pub fn logged_change(row: LogRow) -> Result<LoggedChange, InconsistentRow> {
    let (number, ordinal, kind, key, before, after, actor, reason, at) = row;
    let place = format!("{number}/{ordinal}");
    Ok(LoggedChange {
        revision: revision("change_log", number)?,
        ordinal: u32::try_from(ordinal).map_err(|why| InconsistentRow::new("change_log", &place, why))?,
        kind,
        key,
        before,
        after,
        authorship: authorship("change_log", &place, &actor, &reason, at)?,
    })
}

/// A policy of a set.
pub fn policy((id, text): (String, String)) -> Result<PolicyText, InconsistentRow> {
    let parsed = id.parse().map_err(|why| InconsistentRow::new("policy", &id, why))?;
    Ok(PolicyText { id: parsed, text: text.into() })
}

/// A row of the policy migration history.
pub fn migration(row: MigrationRow) -> Result<PolicyMigration, InconsistentRow> {
    let (number, name, base, result, at_revision, actor, reason, at) = row;
    let (table, row) = ("policy_migration", number.to_string());
    Ok(PolicyMigration {
        number: u64::try_from(number).map_err(|why| InconsistentRow::new(table, &row, why))?,
        name,
        base: base.map(|base| digest(table, &row, &base)).transpose()?,
        result: digest(table, &row, &result)?,
        revision: revision(table, at_revision)?,
        authorship: authorship(table, &row, &actor, &reason, at)?,
    })
}

/// A revision of a table's row.
pub fn revision(table: &'static str, value: i64) -> Result<Revision, InconsistentRow> {
    u64::try_from(value).map(Revision::new).map_err(|why| InconsistentRow::new(table, value, why))
}

/// A revision as a row keeps it.
pub fn stored(revision: Revision) -> Result<i64, InconsistentRow> {
    i64::try_from(revision.number()).map_err(|why| InconsistentRow::new("revision", revision, why))
}

/// A digest of a table's row.
pub fn digest(table: &'static str, row: &str, bytes: &[u8]) -> Result<Digest, InconsistentRow> {
    Digest::from_slice(bytes).map_err(|why| InconsistentRow::new(table, row, why))
}

fn authorship(
    table: &'static str,
    row: &str,
    actor: &str,
    reason: &str,
    at: i64,
) -> Result<Authorship, InconsistentRow> {
    let refused = |why: &dyn Display| InconsistentRow::new(table, row, why);
    Ok(Authorship {
        actor: actor.parse().map_err(|why| refused(&why))?,
        reason: reason.parse().map_err(|why| refused(&why))?,
        at: Instant::from_micros(at).map_err(|why| refused(&why))?,
    })
}

fn instant(micros: Option<i64>) -> Result<Option<Instant>, InvalidInstant> {
    micros.map(Instant::from_micros).transpose()
}

/// Id, caller, hash, kind, creation, end, revocation.
pub type KeyRow = (String, String, Vec<u8>, String, i64, i64, Option<i64>);

/// The key of a row.
pub fn api_key(
    (id, caller, hash, kind, created_at, expires_at, revoked_at): KeyRow,
) -> Result<ApiKey, InconsistentRow> {
    let refused = |why: &dyn Display| InconsistentRow::new("api_key", &id, why);
    let instant = |micros: i64| Instant::from_micros(micros).map_err(|why| refused(&why));
    let hash: [u8; 32] = hash.try_into().map_err(|_| refused(&"its hash has not 32 bytes"))?;
    Ok(ApiKey {
        id: id.parse().map_err(|why| refused(&why))?,
        kind: kind.parse().map_err(|why: UnknownKind| refused(&why))?,
        hash: KeyHash::new(hash),
        created_at: instant(created_at)?,
        expires_at: instant(expires_at)?,
        revoked_at: revoked_at.map(instant).transpose()?,
        caller,
    })
}

/// Id, caller, kind, creation, end, who made it and why, revocation, who revoked it and why.
pub type ListedKeyRow = (String, String, String, i64, i64, String, String, Option<i64>, Option<String>, Option<String>);

/// The key of a row, for people.
pub fn listed_key(
    (id, caller, kind, created_at, expires_at, created_by, reason, revoked_at, revoked_by, revoked_reason): ListedKeyRow,
) -> Result<ListedKey, InconsistentRow> {
    const TABLE: &str = "api_key";
    let refused = |why: &dyn Display| InconsistentRow::new(TABLE, &id, why);
    let revoked = match (revoked_at, revoked_by, revoked_reason) {
        (None, _, _) => None,
        (Some(at), Some(by), Some(reason)) => Some(authorship(TABLE, &id, &by, &reason, at)?),
        (Some(_), _, _) => return Err(refused(&"it does not tell who revoked it, and why")),
    };
    Ok(ListedKey {
        id: id.parse().map_err(|why| refused(&why))?,
        kind: kind.parse().map_err(|why: UnknownKind| refused(&why))?,
        created: authorship(TABLE, &id, &created_by, &reason, created_at)?,
        expires_at: Instant::from_micros(expires_at).map_err(|why| refused(&why))?,
        revoked,
        caller,
    })
}
