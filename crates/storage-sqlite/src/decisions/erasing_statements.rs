//! Every statement on private values that are erased.

use crate::statements::statements;

/// Decisions with private values, of principal ?1, on resource ?2, from ?3 to before ?4, as far as these are given.
macro_rules! selected {
    () => {
        "FROM decision d JOIN opening o ON o.stream = d.stream AND o.seq = d.seq
            WHERE (?1 IS NULL OR d.principal = ?1) AND (?2 IS NULL OR d.resource = ?2)
                AND (?3 IS NULL OR d.recorded_at >= ?3) AND (?4 IS NULL OR d.recorded_at < ?4)"
    };
}

/// Whether the day of a row is held.
macro_rules! is_held {
    ($day:literal) => {
        concat!(
            "EXISTS (SELECT 1 FROM hold WHERE ",
            $day,
            " >= first_day AND (last_day IS NULL OR ",
            $day,
            " <= last_day) AND name NOT IN (SELECT name FROM hold_release))"
        )
    };
}

statements! {
    /// How many there are, and how many of them lie in days that are held.
    COUNT_ERASABLE = concat!("SELECT count(*), coalesce(sum(", is_held!("d.day"), "), 0) ", selected!());
    /// Those in days that nobody holds.
    ERASABLE = concat!("SELECT d.day, d.stream, d.seq ", selected!(), " AND NOT ", is_held!("d.day"), " LIMIT ?5");
    /// Whether a day is held.
    IS_HELD = concat!("SELECT ", is_held!("?1"));
    /// Remembers an act that erases.
    ERASED = "INSERT INTO erasure (act, decisions) VALUES (?1, ?2)";
    /// Opens erasing, erases, and closes it again.
    BEGIN_ERASING = "INSERT INTO erasing (act) VALUES (?1)";
    ERASE = "DELETE FROM opening WHERE stream = ?1 AND seq = ?2 AND day = ?3";
    END_ERASING = "DELETE FROM erasing WHERE act = ?1";
}

/// Writes the file anew. It cannot be prepared ahead either.
pub(crate) const VACUUM: &str = "VACUUM";

/// Brings what the write-ahead log has into the file, and empties the log. It cannot be prepared ahead: it runs at once.
pub(crate) const CHECKPOINT: &str = "PRAGMA wal_checkpoint(TRUNCATE)";
