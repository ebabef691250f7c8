//! Entity types, ids and uids, in Cedar's notation.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::text::{self, InvalidText};

/// Why a text is not an entity type, id or uid.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUid {
    /// The type part is not a Cedar name.
    #[error("`{given}` is not an entity type: {why}; write identifiers joined by `::`, such as `Company::User`")]
    Type {
        /// What was given, cut to a printable length.
        given: String,
        /// What is wrong with it.
        why: String,
    },
    /// The id part breaks the character rules.
    #[error("the id of a `{type_name}` is not accepted: {why}")]
    Id {
        /// The type whose id it is.
        type_name: String,
        /// What is wrong with it.
        why: InvalidText,
    },
    /// The text is not of the form `Type::"id"`.
    #[error("`{given}` is not an entity uid: {why}; write `Type::\"id\"`, such as `Company::User::\"ana\"`")]
    Form {
        /// What was given, cut to a printable length.
        given: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The uid is well formed but its type is not an action type.
    #[error("`{given}` is not an action: its type must end in `Action`")]
    NotAnAction {
        /// The uid given.
        given: String,
    },
}

/// A Cedar entity type: identifiers joined by `::`, at most 256 bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TypeName(Arc<str>);

impl TypeName {
    /// Bytes a type may have.
    pub const LIMIT: usize = 256;

    /// Parses identifiers joined by `::`.
    pub fn new(text: &str) -> Result<Self, InvalidUid> {
        if is_name(text.as_bytes()) && text.len() <= Self::LIMIT {
            return Ok(Self(text.into()));
        }
        let refuse = |why: String| InvalidUid::Type { given: printable(text), why };
        text::check(text, Self::LIMIT).map_err(|why| refuse(why.to_string()))?;
        match text.split("::").find(|part| !is_identifier(part)) {
            Some(part) => Err(refuse(format!("`{}` is not an identifier", printable(part)))),
            None => Ok(Self(text.into())),
        }
    }

    /// The text, such as `Company::User`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The last identifier, such as `User`.
    pub fn base(&self) -> &str {
        self.0.rsplit("::").next().unwrap_or(&self.0)
    }

    /// Everything before the last identifier; empty in the root namespace.
    pub fn namespace(&self) -> &str {
        self.0.rsplit_once("::").map_or("", |(namespace, _)| namespace)
    }
}

impl fmt::Display for TypeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TypeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An entity id: 1 to 256 bytes, no control, direction or separator characters. Compared byte by byte.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntityId(Arc<str>);

impl EntityId {
    /// Bytes an id may have.
    pub const LIMIT: usize = 256;

    /// Checks the character rules.
    pub fn new(text: &str) -> Result<Self, InvalidText> {
        text::check(text, Self::LIMIT)?;
        Ok(Self(text.into()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for EntityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

/// An entity uid that was checked, of texts that lie elsewhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UidRef<'a> {
    type_name: &'a TypeName,
    id: &'a str,
}

impl<'a> UidRef<'a> {
    /// Checks the character rules of the id.
    pub fn new(type_name: &'a TypeName, id: &'a str) -> Result<Self, InvalidUid> {
        let refused = |why| InvalidUid::Id { type_name: type_name.to_string(), why };
        text::check(id, EntityId::LIMIT).map_err(refused)?;
        Ok(Self { type_name, id })
    }

    /// Its type.
    pub fn type_name(self) -> &'a TypeName {
        self.type_name
    }

    /// Its id.
    pub fn id(self) -> &'a str {
        self.id
    }

    /// The uid with a text of its own.
    pub fn to_uid(self) -> EntityUid {
        EntityUid { type_name: self.type_name.clone(), id: EntityId(self.id.into()) }
    }
}

/// A Cedar entity uid: a type and an id.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntityUid {
    type_name: TypeName,
    id: EntityId,
}

impl EntityUid {
    /// Joins a type and an id that were checked before.
    pub fn new(type_name: TypeName, id: EntityId) -> Self {
        Self { type_name, id }
    }

    /// The same, of its own texts.
    pub fn borrowed(&self) -> UidRef<'_> {
        UidRef { type_name: &self.type_name, id: self.id.as_str() }
    }

    /// Checks a type and an id given separately, as on the wire and in rows.
    pub fn from_parts(type_name: &str, id: &str) -> Result<Self, InvalidUid> {
        let type_name = TypeName::new(type_name)?;
        let id = EntityId::new(id).map_err(|why| InvalidUid::Id { type_name: type_name.to_string(), why })?;
        Ok(Self { type_name, id })
    }

    /// Parses `Type::"id"`, and the shorthand `Type::id` that people type into a shell.
    pub fn parse_shorthand(text: &str) -> Result<Self, InvalidUid> {
        if text.ends_with('"') {
            return text.parse();
        }
        let (type_name, id) =
            text.rsplit_once("::").ok_or_else(|| InvalidUid::Form { given: printable(text), why: "it has no `::`" })?;
        Self::from_parts(type_name, id)
    }

    /// The type.
    pub fn type_name(&self) -> &TypeName {
        &self.type_name
    }

    /// The id.
    pub fn id(&self) -> &EntityId {
        &self.id
    }
}

impl FromStr for EntityUid {
    type Err = InvalidUid;

    fn from_str(text: &str) -> Result<Self, InvalidUid> {
        let refuse = |why| InvalidUid::Form { given: printable(text), why };
        let (type_name, rest) = text.split_once("::\"").ok_or_else(|| refuse("it has no `::\"`"))?;
        let quoted = rest.strip_suffix('"').ok_or_else(|| refuse("its id has no closing quote"))?;
        let id = unescape(quoted).ok_or_else(|| refuse("its id has a bare quote or an unknown escape"))?;
        Self::from_parts(type_name, &id)
    }
}

impl fmt::Display for EntityUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.type_name.as_str())?;
        f.write_str("::\"")?;
        for part in self.id.as_str().split_inclusive(['"', '\\']) {
            match part.strip_suffix(['"', '\\']) {
                Some(before) => {
                    f.write_str(before)?;
                    f.write_str(if part.ends_with('"') { "\\\"" } else { "\\\\" })?;
                }
                None => f.write_str(part)?,
            }
        }
        f.write_str("\"")
    }
}

impl fmt::Debug for EntityUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The uid of an action: its type ends in `Action`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ActionUid(EntityUid);

impl ActionUid {
    /// Accepts a uid whose type ends in `Action`.
    pub fn new(uid: EntityUid) -> Result<Self, InvalidUid> {
        match uid.type_name().base() {
            "Action" => Ok(Self(uid)),
            _ => Err(InvalidUid::NotAnAction { given: uid.to_string() }),
        }
    }

    /// Parses `Ns::Action::"id"`, or a bare id that belongs to `default_namespace` (empty: the root).
    pub fn resolve(text: &str, default_namespace: &str) -> Result<Self, InvalidUid> {
        if text.ends_with('"') || text.contains("::") {
            return Self::new(text.parse()?);
        }
        let type_name = match default_namespace {
            "" => "Action".to_owned(),
            namespace => format!("{namespace}::Action"),
        };
        Self::new(EntityUid::from_parts(&type_name, text)?)
    }

    /// The uid.
    pub fn uid(&self) -> &EntityUid {
        &self.0
    }

    /// The id alone, such as `readMessage`.
    pub fn id(&self) -> &str {
        self.0.id().as_str()
    }
}

impl fmt::Display for ActionUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for ActionUid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Whether bytes are identifiers joined by `::`, found in one pass: every name that arrives is looked at, and nearly all are.
fn is_name(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    loop {
        let is_inner = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
        let length = rest.iter().position(|b| !is_inner(b)).unwrap_or(rest.len());
        let (identifier, behind) = rest.split_at(length);
        if identifier.first().is_none_or(u8::is_ascii_digit) {
            return false;
        }
        match behind {
            [] => return true,
            [b':', b':', more @ ..] => rest = more,
            _ => return false,
        }
    }
}

fn is_identifier(part: &str) -> bool {
    let mut bytes = part.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Undoes Cedar's string escapes; `None` for a bare quote or an escape Cedar does not know.
fn unescape(quoted: &str) -> Option<String> {
    let mut text = String::with_capacity(quoted.len());
    let mut chars = quoted.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => return None,
            '\\' => text.push(unescape_one(&mut chars)?),
            c => text.push(c),
        }
    }
    Some(text)
}

fn unescape_one(chars: &mut std::str::Chars<'_>) -> Option<char> {
    match chars.next()? {
        c @ ('"' | '\\' | '\'') => Some(c),
        'n' => Some('\n'),
        'r' => Some('\r'),
        't' => Some('\t'),
        '0' => Some('\0'),
        'u' => {
            let digits = chars.as_str().strip_prefix('{')?.split_once('}')?.0;
            let code = (1..=6).contains(&digits.len()).then(|| u32::from_str_radix(digits, 16).ok())??;
            chars.nth(digits.len() + 1)?;
            char::from_u32(code)
        }
        _ => None,
    }
}

/// What was given, safe to print: hidden characters escaped, cut at 80 characters.
pub(crate) fn printable(text: &str) -> String {
    let mut out: String = text.chars().take(80).flat_map(char::escape_debug).collect();
    if text.chars().nth(80).is_some() {
        out.push('…');
    }
    out
}
