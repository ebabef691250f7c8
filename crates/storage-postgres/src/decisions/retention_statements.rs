//! Every statement on days that are taken out or held.

use crate::statements::statements;

statements! {
    /// Days of which there are records, the oldest first: partitions are named after them.
    DAYS = "SELECT (p.day - date '1970-01-01')::bigint, audit.is_held(p.day) FROM (
            SELECT to_date(substr(c.relname, 10), 'YYYYMMDD') AS day
            FROM pg_catalog.pg_inherits i JOIN pg_catalog.pg_class c ON c.oid = i.inhrelid
            WHERE i.inhparent = 'audit.decision'::regclass AND NOT i.inhdetachpending) p
        WHERE EXISTS (SELECT FROM audit.decision d WHERE d.day = p.day) ORDER BY p.day";
    /// What there is of each stream on a day.
    STREAMS_OF_DAY = "SELECT d.stream, min(d.seq), max(d.seq), count(*) FROM audit.decision d
        WHERE d.day = date '1970-01-01' + $1::integer GROUP BY d.stream ORDER BY d.stream";
    /// Every hold.
    HOLDS = "SELECT h.name, (h.first_day - date '1970-01-01')::bigint, (h.last_day - date '1970-01-01')::bigint,
            EXISTS (SELECT FROM audit.hold_release r WHERE r.name = h.name)
        FROM audit.hold h ORDER BY h.name";
    /// Holds days.
    HOLD_DAYS = "SELECT audit.hold_days($1, date '1970-01-01' + $2::integer, date '1970-01-01' + $3::integer, $4, $5, $6)";
    /// Releases them.
    RELEASE_DAYS = "SELECT audit.release_days($1, $2, $3, $4)";
    /// Takes a day out.
    EXPIRE_DAY = "SELECT audit.expire_day(date '1970-01-01' + $1::integer, $2, $3, $4, $5, $6, $7, $8)";
    /// Leaves of a stream that were kept.
    KEPT_LEAVES = "SELECT seq, leaf FROM audit.kept_leaf WHERE stream = $1 ORDER BY seq";
}
