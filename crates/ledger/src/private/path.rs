//! Where a private value belongs in a record.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use magistrate_model::AttributeName;

/// The place of a private value, such as `context.email`. Paths are in the byte order of their texts.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PrivatePath {
    /// `context.NAME`
    Context(AttributeName),
    /// `principal.NAME`: of asserted data.
    Principal(AttributeName),
    /// `resource.NAME`: of asserted data.
    Resource(AttributeName),
    /// `environment.user_agent`
    UserAgent,
    /// `environment.source_ip`
    SourceIp,
    /// `environment.attributes.NAME`
    Environment(Arc<str>),
    /// `caller.address`
    CallerAddress,
    /// `facts.ip`
    FactsIp,
    /// `entities_digest`: private where a private value could be found by trying which one leads to it.
    EntitiesDigest,
    /// `missing`: private where a private value names the entity that is not there.
    Missing,
}

/// A text is no such place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no place of a private value")]
pub struct InvalidPrivatePath;

const ATTRIBUTES: &str = "environment.attributes.";

impl fmt::Display for PrivatePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Context(name) => write!(f, "context.{name}"),
            Self::Principal(name) => write!(f, "principal.{name}"),
            Self::Resource(name) => write!(f, "resource.{name}"),
            Self::UserAgent => f.write_str("environment.user_agent"),
            Self::SourceIp => f.write_str("environment.source_ip"),
            Self::Environment(name) => write!(f, "{ATTRIBUTES}{name}"),
            Self::CallerAddress => f.write_str("caller.address"),
            Self::FactsIp => f.write_str("facts.ip"),
            Self::EntitiesDigest => f.write_str("entities_digest"),
            Self::Missing => f.write_str("missing"),
        }
    }
}

impl FromStr for PrivatePath {
    type Err = InvalidPrivatePath;

    fn from_str(text: &str) -> Result<Self, InvalidPrivatePath> {
        let named = |name: &str| AttributeName::new(name).map_err(|_| InvalidPrivatePath);
        if let Some(name) = text.strip_prefix(ATTRIBUTES) {
            return Ok(Self::Environment(name.into()));
        }
        match text.split_once('.') {
            Some(("context", name)) => named(name).map(Self::Context),
            Some(("principal", name)) => named(name).map(Self::Principal),
            Some(("resource", name)) => named(name).map(Self::Resource),
            Some(("environment", "user_agent")) => Ok(Self::UserAgent),
            Some(("environment", "source_ip")) => Ok(Self::SourceIp),
            Some(("caller", "address")) => Ok(Self::CallerAddress),
            Some(("facts", "ip")) => Ok(Self::FactsIp),
            None if text == "entities_digest" => Ok(Self::EntitiesDigest),
            None if text == "missing" => Ok(Self::Missing),
            Some(_) | None => Err(InvalidPrivatePath),
        }
    }
}

impl Ord for PrivatePath {
    fn cmp(&self, other: &Self) -> Ordering {
        self.to_string().cmp(&other.to_string())
    }
}

impl PartialOrd for PrivatePath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
