//! Every statement on days that are taken out or held.

use crate::statements::statements;

statements! {
    /// Days of which there are records, the oldest first, from one to the next by the key; and whether they are held.
    DAYS = "WITH RECURSIVE stored (day) AS (
            SELECT min(day) FROM decision
            UNION ALL SELECT (SELECT min(d.day) FROM decision d WHERE d.day > stored.day) FROM stored
            WHERE stored.day IS NOT NULL)
        SELECT day, EXISTS (
            SELECT 1 FROM hold WHERE stored.day >= first_day AND (last_day IS NULL OR stored.day <= last_day)
                AND name NOT IN (SELECT name FROM hold_release))
        FROM stored WHERE day IS NOT NULL";
    /// What there is of each stream on a day.
    STREAMS_OF_DAY = "SELECT stream, min(seq), max(seq), count(*) FROM decision WHERE day = ?1
        GROUP BY stream ORDER BY stream";
    /// Every hold.
    HOLDS = "SELECT name, first_day, last_day, name IN (SELECT name FROM hold_release) FROM hold ORDER BY name";
    /// Holds days.
    HOLD_DAYS = "INSERT INTO hold (name, first_day, last_day, act) VALUES (?1, ?2, ?3, ?4)";
    /// Releases them.
    RELEASE_DAYS = "INSERT INTO hold_release (name, act) VALUES (?1, ?2)";
    /// Leaves of a stream that were kept.
    KEPT_LEAVES = "SELECT seq, leaf FROM kept_leaf WHERE stream = ?1 ORDER BY seq";
    /// What keeps a day from going, but for its records: whether it is held, is not over for a whole day, how many records it
    /// has, and whether there is a checkpoint of the log over so many entries.
    OBSTACLES = "SELECT EXISTS (
            SELECT 1 FROM hold WHERE ?1 >= first_day AND (last_day IS NULL OR ?1 <= last_day)
                AND name NOT IN (SELECT name FROM hold_release)),
        ?1 >= CAST(strftime('%s', 'now') AS INTEGER) / 86400 - 1,
        (SELECT count(*) FROM decision WHERE day = ?1),
        EXISTS (
            SELECT 1 FROM checkpoint, sequencer
            WHERE origin = 'magistrate/log/' || lower(hex(sequencer.log)) AND size = ?2)";
    /// Keeps the leaf of a record that goes.
    KEEP_LEAF = "INSERT INTO kept_leaf (stream, seq, leaf)
        SELECT stream, seq, leaf FROM decision WHERE day = ?1 AND stream = ?2 AND seq = ?3";
    /// A record that neither lies under a header among so many entries of the log, nor leaves its leaf.
    BARE = "SELECT lower(hex(d.stream)) || '-' || d.seq FROM decision d JOIN (
            SELECT s.stream, coalesce((
                SELECT h.first_seq + h.count FROM header h WHERE h.stream = s.stream AND h.number = (
                    SELECT max(l.number) FROM header l JOIN log g
                        ON g.kind = 'header' AND g.reference = lower(hex(l.stream)) || '/' || l.number
                    WHERE l.stream = s.stream AND g.place < ?2)), 0) AS next_seq
            FROM (SELECT DISTINCT stream FROM decision WHERE day = ?1) s) covered ON covered.stream = d.stream
        WHERE d.day = ?1 AND d.seq >= covered.next_seq
            AND NOT EXISTS (SELECT 1 FROM kept_leaf k WHERE k.stream = d.stream AND k.seq = d.seq)
        LIMIT 1";
    /// Remembers that a day went.
    EXPIRED = "INSERT INTO expiry (act, day, records) VALUES (?1, ?2, ?3)";
    /// Remembers how far each stream of it went.
    EXPIRED_PLACES = "INSERT INTO expired_place (stream, last_seq)
        SELECT stream, max(seq) FROM decision WHERE day = ?1 GROUP BY stream
        ON CONFLICT (stream) DO UPDATE SET last_seq = max(last_seq, excluded.last_seq)";
    /// Opens a day to be taken out, takes it out, and closes it again.
    BEGIN_EXPIRING = "INSERT INTO expiring (day) VALUES (?1)";
    EXPIRE = "DELETE FROM decision WHERE day = ?1";
    END_EXPIRING = "DELETE FROM expiring WHERE day = ?1";
}
