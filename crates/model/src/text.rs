//! Character rules shared by every identifier that callers and admins choose.

/// Why a text is not accepted as an identifier.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidText {
    /// Nothing was given.
    #[error("it is empty")]
    Empty,
    /// More bytes than the bound.
    #[error("it is {length} bytes long; the limit is {limit}")]
    TooLong {
        /// Bytes given.
        length: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// A character that can hide or reorder what a person reads.
    #[error("it contains the {kind} character U+{code:04X} at byte {at}; remove it")]
    Hidden {
        /// `control`, `direction` or `separator`.
        kind: &'static str,
        /// The code point.
        code: u32,
        /// Byte offset.
        at: usize,
    },
}

/// Accepts text of 1 to `limit` bytes without NUL, control, bidirectional or line-separating characters.
///
/// Bidirectional controls are those of Unicode Standard Annex 9, section 2; they make an id display as
/// another one.
pub(crate) fn check(text: &str, limit: usize) -> Result<(), InvalidText> {
    if text.is_empty() {
        return Err(InvalidText::Empty);
    }
    if text.len() > limit {
        return Err(InvalidText::TooLong { length: text.len(), limit });
    }
    // Printable ASCII hides nothing, and is what ids are made of.
    if text.bytes().all(|b| (b' '..=b'~').contains(&b)) {
        return Ok(());
    }
    match text.char_indices().find_map(|(at, c)| hidden_kind(c).map(|kind| (at, c, kind))) {
        Some((at, c, kind)) => Err(InvalidText::Hidden { kind, code: u32::from(c), at }),
        None => Ok(()),
    }
}

fn hidden_kind(c: char) -> Option<&'static str> {
    match c {
        c if c.is_control() => Some("control"),
        '\u{061C}' | '\u{200E}' | '\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' => Some("direction"),
        '\u{2028}' | '\u{2029}' | '\u{FEFF}' | '\u{200B}' => Some("separator"),
        _ => None,
    }
}
