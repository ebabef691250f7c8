//! Which values are private, as it is configured.

use std::fmt;
use std::sync::Arc;

use magistrate_model::AttributeName;

/// Which values of a record are private; none unless it is told.
///
/// Ids of principals and resources, actions and request ids cannot be: they are indexed, and what is indexed stays.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PrivateFields {
    pub(super) context: Vec<AttributeName>,
    pub(super) principal: Vec<AttributeName>,
    pub(super) resource: Vec<AttributeName>,
    pub(super) environment: Vec<Arc<str>>,
    pub(super) ip: bool,
}

impl fmt::Display for PrivateFields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = |part: &'static str, names: &[AttributeName]| -> Vec<String> {
            names.iter().map(|name| format!("{part}.{name}")).collect()
        };
        let mut fields =
            [named("context", &self.context), named("principal", &self.principal), named("resource", &self.resource)]
                .concat();
        fields.extend(self.environment.iter().map(|name| format!("environment.{name}")));
        fields.extend(self.ip.then(|| "ip".to_owned()));
        f.write_str(&fields.join(", "))
    }
}

/// A text names no field that can be private.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` cannot be private; what can be is `context.NAME`, `principal.NAME` and `resource.NAME` (attributes, the asserted \
     ones of principal and resource; NAME has no dot), `environment.user_agent`, `environment.NAME` (an attribute) and `ip` (every address)"
)]
pub struct InvalidPrivateField(String);

impl PrivateFields {
    /// Reads the fields as they are written in a configuration.
    pub fn parse<T: AsRef<str>>(texts: &[T]) -> Result<Self, InvalidPrivateField> {
        let mut fields = Self::default();
        for text in texts.iter().map(AsRef::as_ref) {
            fields.add(text).ok_or_else(|| InvalidPrivateField(text.escape_debug().take(200).collect()))?;
        }
        Ok(fields)
    }

    /// Whether nothing is private.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Attributes are named by one word each: what lies deeper goes with its top.
    fn add(&mut self, text: &str) -> Option<()> {
        if text == "ip" {
            self.ip = true;
            return Some(());
        }
        let (part, name) = text.split_once('.')?;
        let word = |name: &str| AttributeName::new(name).ok().filter(|_| !name.contains('.'));
        match part {
            "context" if name != "facts" => self.context.push(word(name)?),
            "principal" => self.principal.push(word(name)?),
            "resource" => self.resource.push(word(name)?),
            // The address has a name of its own: it stands in other places as well.
            "environment" if name != "source_ip" => self.environment.push(word(name)?.as_str().into()),
            _ => return None,
        }
        Some(())
    }
}
