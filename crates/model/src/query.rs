//! What a caller asks.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use crate::entity::EntityInput;
use crate::revision::Revision;
use crate::text::{self, InvalidText};
use crate::uid::ActionUid;
use crate::value::Record;

/// A caller's own id for a request: 1 to 128 bytes. Not unique: a retry is a decision of its own.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RequestId(Arc<str>);

impl RequestId {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RequestId {
    type Err = InvalidText;

    fn from_str(text: &str) -> Result<Self, InvalidText> {
        text::check(text, 128)?;
        Ok(Self(text.into()))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The door a request came through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Channel {
    /// The gRPC door.
    Grpc,
    /// In-process: tests, offline checks.
    Local,
}

impl Channel {
    /// The name in facts, records and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::Local => "local",
        }
    }

    /// The channel called `name`.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Grpc, Self::Local].into_iter().find(|channel| channel.name() == name)
    }
}

/// The id of an API key: 16 lower-case letters and digits. No secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(Arc<str>);

/// The text is no key id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a key's id has {} lower-case letters and digits", KeyId::LENGTH)]
pub struct InvalidKeyId;

impl KeyId {
    /// Characters of an id.
    pub const LENGTH: usize = 16;

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for KeyId {
    type Err = InvalidKeyId;

    fn from_str(text: &str) -> Result<Self, InvalidKeyId> {
        let fits = text.len() == Self::LENGTH && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if fits { Ok(Self(text.into())) } else { Err(InvalidKeyId) }
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The trace a call belongs to (W3C Trace Context, `trace-id`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId([u8; 16]);

impl TraceId {
    /// The id of these bytes.
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// A text is not a trace id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a trace id has 32 lower-case hexadecimal digits")]
pub struct InvalidTraceId;

impl FromStr for TraceId {
    type Err = InvalidTraceId;

    fn from_str(text: &str) -> Result<Self, InvalidTraceId> {
        let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let number = u128::from_str_radix(text, 16).ok().filter(|_| text.len() == 32 && text.bytes().all(is_digit));
        number.map(|number| Self(number.to_be_bytes())).ok_or(InvalidTraceId)
    }
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The party that calls us (a PEP), as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Caller {
    /// The peer's address; `None` in-process.
    pub address: Option<IpAddr>,
    /// The door it came through.
    pub channel: Channel,
    /// The API key it presented, if it did.
    pub key: Option<KeyId>,
    /// The trace its call belongs to, if it said so or is sampled here.
    pub trace: Option<TraceId>,
}

impl Caller {
    /// Whether this caller may assert entities and environment. Until callers have identities and
    /// rights, only this machine may.
    pub fn may_assert(&self) -> bool {
        self.address.is_none_or(|address| address.to_canonical().is_loopback())
    }
}

/// What a caller says of the end user's surroundings. Counts only from a caller that may assert.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Environment {
    /// The end user's address.
    pub source_ip: Option<IpAddr>,
    /// The end user's agent, at most 512 bytes.
    pub user_agent: Option<Arc<str>>,
    /// Anything else, at most 32 short texts.
    pub attributes: BTreeMap<Arc<str>, Arc<str>>,
}

/// Why an environment is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidEnvironment {
    /// The address does not parse.
    #[error("`{0}` is not an IP address")]
    SourceIp(String),
    /// The agent breaks the character rules.
    #[error("the user agent is not accepted: {0}")]
    UserAgent(InvalidText),
    /// A name or value breaks the character rules.
    #[error("the attribute `{0}` is not accepted: {1}")]
    Attribute(String, InvalidText),
    /// More than 32 attributes.
    #[error("{0} attributes; the limit is 32")]
    TooMany(usize),
}

impl Environment {
    /// Checks what a caller sent; empty texts count as absent.
    pub fn new<'a>(
        source_ip: &str,
        user_agent: &str,
        attributes: impl ExactSizeIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, InvalidEnvironment> {
        let refused = |_| InvalidEnvironment::SourceIp(crate::uid::printable(source_ip));
        let source_ip = Some(source_ip).filter(|text| !text.is_empty()).map(str::parse).transpose().map_err(refused)?;
        let user_agent = Some(user_agent).filter(|text| !text.is_empty());
        user_agent.map(|agent| text::check(agent, 512)).transpose().map_err(InvalidEnvironment::UserAgent)?;
        if attributes.len() > 32 {
            return Err(InvalidEnvironment::TooMany(attributes.len()));
        }
        let mut checked = BTreeMap::new();
        for (name, value) in attributes {
            text::check(name, 128)
                .and_then(|()| text::check(value, 512))
                .map_err(|why| InvalidEnvironment::Attribute(crate::uid::printable(name), why))?;
            checked.insert(name.into(), value.into());
        }
        Ok(Self { source_ip, user_agent: user_agent.map(Into::into), attributes: checked })
    }

    /// Whether nothing was said.
    pub fn is_empty(&self) -> bool {
        self.source_ip.is_none() && self.user_agent.is_none() && self.attributes.is_empty()
    }
}

/// One request for a decision, as parsed by a door.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Query {
    /// Who would act.
    pub principal: EntityInput,
    /// What it would do.
    pub action: ActionUid,
    /// On what.
    pub resource: EntityInput,
    /// Circumstances the caller vouches for.
    pub context: Record,
    /// What the caller says of the end user's surroundings.
    pub environment: Environment,
    /// The caller will not be answered by an older revision.
    pub at_least_revision: Option<Revision>,
    /// The caller's own id for the request.
    pub request_id: Option<RequestId>,
    /// Whether the caller wants the answer explained.
    pub explain: bool,
    /// Who asks.
    pub caller: Caller,
}
