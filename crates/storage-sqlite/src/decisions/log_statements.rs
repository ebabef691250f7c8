//! Every statement on the global log and on acts.

use crate::statements::statements;

/// This file's clock, in microseconds.
macro_rules! now {
    () => {
        "CAST(unixepoch('subsec') * 1000000 AS INTEGER)"
    };
}

statements! {
    /// Which log it is.
    LOG_ID = "SELECT log FROM sequencer";
    /// The place behind the last entry.
    LOG_SIZE = "SELECT coalesce(max(place) + 1, 0) FROM log";
    /// Entries in their order.
    ENTRIES = "SELECT place, kind, reference, leaf, body FROM log WHERE place >= ?1 ORDER BY place LIMIT ?2";
    /// The newest entry of a kind.
    NEWEST_ENTRY = "SELECT place, kind, reference, leaf, body FROM log WHERE kind = ?1 ORDER BY place DESC LIMIT 1";
    /// The checkpoint of a log that covers most.
    NEWEST_CHECKPOINT = "SELECT origin, size, root, note FROM checkpoint WHERE origin = ?1 ORDER BY size DESC LIMIT 1";
    /// One entry.
    FIND_ENTRY = "SELECT place, kind, reference, leaf, body FROM log WHERE kind = ?1 AND reference = ?2";
    /// Leaves of a run.
    LEAVES = "SELECT leaf FROM log WHERE place >= ?1 AND place < ?1 + ?2 ORDER BY place";
    /// Roots of a run.
    LOG_ROOTS = "SELECT root FROM log_root WHERE level = ?3 AND place >= ?1 AND place < ?1 + ?2 ORDER BY place";
    /// Headers behind the last one of their stream that the log has: from stream to stream, each by its index.
    UNLOGGED_HEADERS = "WITH RECURSIVE known (stream) AS (
            SELECT min(stream) FROM header
            UNION ALL SELECT (SELECT min(h.stream) FROM header h WHERE h.stream > k.stream) FROM known k
            WHERE k.stream IS NOT NULL)
        SELECT h.stream, h.number, h.first_seq, h.count, h.root, h.header
        FROM known k CROSS JOIN header h ON h.stream = k.stream AND h.number > coalesce((
            SELECT l.number FROM header l WHERE l.stream = k.stream AND EXISTS (
                SELECT 1 FROM log g WHERE g.kind = 'header'
                    AND g.reference = lower(hex(l.stream)) || '/' || l.number)
            ORDER BY l.number DESC LIMIT 1), 0)
        ORDER BY h.stream, h.number LIMIT ?1";
    /// Acts in their order.
    ACTS = "SELECT place, id, kind, leaf, body FROM act WHERE place > ?1 AND (?3 IS NULL OR kind = ?3)
        ORDER BY place LIMIT ?2";
    /// The newest act that the log has.
    LAST_LOGGED_ACT = "SELECT coalesce((SELECT a.place FROM act a WHERE EXISTS (
            SELECT 1 FROM log g WHERE g.kind = 'act' AND g.reference = lower(hex(a.id)))
        ORDER BY a.place DESC LIMIT 1), 0)";
    /// Begins the log, unless there is one.
    BEGIN_LOG = "INSERT INTO sequencer (id, log, term, holder, held_until)
        SELECT 1, ?1, 0, ?2, 0 WHERE NOT EXISTS (SELECT 1 FROM sequencer)";
    /// Goes on holding it.
    RENEW_LOG = concat!(
        "UPDATE sequencer SET held_until = ", now!(), " + ?2 WHERE holder = ?1 AND held_until > ", now!()
    );
    /// Holds it anew, if nobody does.
    HOLD_LOG = concat!(
        "UPDATE sequencer SET term = term + 1, holder = ?1, held_until = ", now!(), " + ?2
        WHERE ?2 > 0 AND held_until <= ", now!()
    );
    /// How it stands.
    LEASE = concat!("SELECT log, term, holder = ?1 AND held_until > ", now!(), " FROM sequencer");
    /// Changes nothing unless this is the newest term.
    REQUIRE_TERM = "UPDATE sequencer SET term = term WHERE term = ?1";
    /// Appends an entry; the schema refuses one that does not follow.
    APPEND_ENTRY = "INSERT INTO log (place, kind, reference, leaf, body) VALUES (?1, ?2, ?3, ?4, ?5)";
    /// Keeps the root of a group.
    APPEND_ROOT = "INSERT INTO log_root (level, place, root) VALUES (?1, ?2, ?3)";
    /// Keeps an act behind all others, unless exactly this one is there. Another one of its id is refused by the schema.
    RECORD_ACT = "INSERT INTO act (place, id, kind, leaf, body)
        SELECT (SELECT coalesce(max(place), 0) + 1 FROM act), ?1, ?2, ?3, ?4 WHERE NOT EXISTS (
            SELECT 1 FROM act WHERE id = ?1 AND kind = ?2 AND leaf = ?3 AND body = ?4)";
}
