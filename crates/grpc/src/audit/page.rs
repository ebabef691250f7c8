//! Where a page ends, as callers hand it back: a text that is good for the same question only.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use magistrate_ledger::DecisionId;
use magistrate_model::{Instant, Malformed};
use magistrate_pdp::Position;
use magistrate_pdp::history::SearchWords;

/// What a token begins with: another form gets another letter.
const FORM: char = 'd';
const CHECKPOINT_FORM: char = 'c';

/// What was asked, in one number.
pub(super) fn asked(words: &SearchWords, oldest_first: bool) -> u64 {
    let mut hasher = DefaultHasher::new();
    (words.line(), oldest_first).hash(&mut hasher);
    hasher.finish()
}

/// The text for a position.
pub(super) fn token(at: Position, asked: u64) -> String {
    let Position { recorded_at, id } = at;
    format!("{FORM}{asked:016x}-{:x}-{id}", recorded_at.micros())
}

/// The position a text stands for; none where there is no text.
pub(super) fn position(token: &str, asked: u64) -> Result<Option<Position>, Malformed> {
    if token.is_empty() {
        return Ok(None);
    }
    let refuse = |why: &str| Malformed::at("page_token", why);
    let (of, at) = parse(token).ok_or_else(|| refuse("is none that this server gave; begin again without one"))?;
    match of == asked {
        true => Ok(Some(at)),
        false => Err(refuse("was given for another filter or order; begin again without one")),
    }
}

fn parse(token: &str) -> Option<(u64, Position)> {
    let mut parts = token.strip_prefix(FORM)?.splitn(3, '-');
    let asked = u64::from_str_radix(parts.next()?, 16).ok()?;
    // Written as the bits of a signed number.
    let micros = u64::from_str_radix(parts.next()?, 16).ok()?.cast_signed();
    let id: DecisionId = parts.next()?.parse().ok()?;
    Some((asked, Position { recorded_at: Instant::from_micros(micros).ok()?, id }))
}

/// The text for a checkpoint.
pub(super) fn checkpoint_token(origin: &str, size: i64) -> String {
    format!("{CHECKPOINT_FORM}{size}-{origin}")
}

/// The checkpoint a text stands for; none where there is no text.
pub(super) fn checkpoint(token: &str) -> Result<Option<(String, i64)>, Malformed> {
    if token.is_empty() {
        return Ok(None);
    }
    let parsed = || {
        let (size, origin) = token.strip_prefix(CHECKPOINT_FORM)?.split_once('-')?;
        Some((origin.to_owned(), size.parse().ok()?))
    };
    let parsed = parsed();
    parsed
        .map(Some)
        .ok_or_else(|| Malformed::at("page_token", "is none that this server gave; begin again without one"))
}

#[cfg(test)]
mod tests {
    use magistrate_ledger::StreamId;

    use super::*;

    #[test]
    fn token_is_good_for_its_question_only() {
        let id = DecisionId { stream: StreamId::new([7; 16]), seq: 42 };
        for micros in [0, -1, 1_780_315_200_000_001] {
            let at = Position { recorded_at: Instant::from_micros(micros).unwrap(), id };
            let token = token(at, 5);
            assert_eq!(position(&token, 5), Ok(Some(at)));
            assert!(position(&token, 6).unwrap_err().to_string().contains("another filter"));
        }
        assert_eq!(position("", 5), Ok(None));
        for bad in ["d", "x", "d5-0-07-1", &"d".repeat(300)] {
            assert!(position(bad, 5).unwrap_err().to_string().contains("none that this server gave"), "{bad}");
        }
        assert_eq!(checkpoint(&checkpoint_token("a/b-c", 3)), Ok(Some(("a/b-c".to_owned(), 3))));
        assert!(checkpoint("c").is_err() && checkpoint("cx-y").is_err());
    }
}
