//! Every statement on the global log and on acts.

use crate::statements::statements;

statements! {
    /// Which log it is.
    LOG_ID = "SELECT log FROM audit.sequencer";
    /// The place behind the last entry.
    LOG_SIZE = "SELECT coalesce(max(place) + 1, 0) FROM audit.log";
    /// Entries in their order.
    ENTRIES = "SELECT place, kind, reference, leaf, body FROM audit.log WHERE place >= $1 ORDER BY place LIMIT $2";
    /// The newest entry of a kind.
    NEWEST_ENTRY = "SELECT place, kind, reference, leaf, body FROM audit.log WHERE kind = $1 ORDER BY place DESC LIMIT 1";
    /// The checkpoint of a log that covers most.
    NEWEST_CHECKPOINT = "SELECT origin, size, root, note FROM audit.checkpoint WHERE origin = $1 ORDER BY size DESC LIMIT 1";
    /// One entry.
    FIND_ENTRY = "SELECT place, kind, reference, leaf, body FROM audit.log WHERE kind = $1 AND reference = $2";
    /// Leaves of a run.
    LEAVES = "SELECT leaf FROM audit.log WHERE place >= $1 AND place < $1 + $2 ORDER BY place";
    /// Roots of a run.
    LOG_ROOTS = "SELECT root FROM audit.log_root WHERE level = $3 AND place >= $1 AND place < $1 + $2 ORDER BY place";
    /// Headers behind the last one of their stream that the log has: from stream to stream, each by its index.
    UNLOGGED_HEADERS = "WITH RECURSIVE known (stream) AS (
            (SELECT h.stream FROM audit.header h ORDER BY h.stream LIMIT 1)
            UNION ALL SELECT (SELECT h.stream FROM audit.header h WHERE h.stream > k.stream ORDER BY h.stream LIMIT 1)
            FROM known k WHERE k.stream IS NOT NULL)
        SELECT n.stream, n.number, n.first_seq, n.count, n.root, n.header
        FROM known k CROSS JOIN LATERAL (
            SELECT h.stream, h.number, h.first_seq, h.count, h.root, h.header FROM audit.header h
            WHERE h.stream = k.stream AND h.number > coalesce((
                SELECT l.number FROM audit.header l WHERE l.stream = k.stream AND EXISTS (
                    SELECT FROM audit.log g WHERE g.kind = 'header'
                        AND g.reference = encode(l.stream, 'hex') || '/' || l.number)
                ORDER BY l.number DESC LIMIT 1), 0)
            ORDER BY h.number LIMIT $1) n
        ORDER BY n.stream, n.number LIMIT $1";
    /// Acts in their order.
    ACTS = "SELECT place, id, kind, leaf, body FROM audit.act WHERE place > $1 AND ($3::text IS NULL OR kind = $3)
        ORDER BY place LIMIT $2";
    /// The newest act that the log has.
    LAST_LOGGED_ACT = "SELECT coalesce((SELECT a.place FROM audit.act a WHERE EXISTS (
            SELECT FROM audit.log g WHERE g.kind = 'act' AND g.reference = encode(a.id, 'hex'))
        ORDER BY a.place DESC LIMIT 1), 0)";
    /// Asks to append for a while.
    LEASE_LOG = "SELECT log, term, held FROM audit.lease_log($1, $2, $3)";
    /// Appends entries and the roots of the groups that they complete.
    APPEND_LOG = "SELECT audit.append_log($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    /// Keeps an act.
    RECORD_ACT = "SELECT audit.record_act($1, $2, $3, $4)";
}
