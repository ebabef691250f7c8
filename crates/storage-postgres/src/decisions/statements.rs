//! Every statement on recorded decisions.

use crate::statements::statements;

/// The columns of a row, in the order of [`super::row::Row`].
macro_rules! columns {
    () => {
        "(d.day - date '1970-01-01')::bigint, d.stream, d.seq, d.leaf, d.recorded_at, d.class, d.principal, d.action, \
         d.resource, d.decision, d.cause, d.request_id, d.dictionary, d.body, \
         (SELECT o.body FROM audit.opening o WHERE o.day = d.day AND o.stream = d.stream AND o.seq = d.seq)"
    };
}

/// An instant within its day, in steps of so many microseconds: as an index holds it.
macro_rules! step {
    ($micros:literal) => {
        concat!("(((d.recorded_at - (d.day - date '1970-01-01')::bigint * 86400000000) / ", $micros, ")::integer)")
    };
}

/// The steps of the index on instants, which those of `history.rs` are.
macro_rules! by_instant {
    () => {
        step!(10000)
    };
}

/// The steps of the indexes on names: seconds.
macro_rules! by_second {
    () => {
        step!(1000000)
    };
}

/// In one direction, day by day and within each by step, instant and place: the order of the partitions, of the indexes in
/// them, and of what shares a step.
macro_rules! in_order {
    ($step:expr, $direction:literal) => {
        concat!(
            " ORDER BY d.day ",
            $direction,
            ", ",
            $step,
            " ",
            $direction,
            ", d.recorded_at ",
            $direction,
            ", d.stream ",
            $direction,
            ", d.seq ",
            $direction,
            " LIMIT $15"
        )
    };
}

/// What columns tell of the wanted rows, besides what a statement chooses by. Every part is optional: actions $2, causes $4
/// and request ids $5 that are wanted; request ids $6, principals $16, actions $17 and resources $18 that are not.
macro_rules! wanted {
    () => {
        "($2::text[] IS NULL OR d.action = ANY ($2))
                AND ($4::\"char\"[] IS NULL OR d.cause = ANY ($4))
                AND ($5::text[] IS NULL OR d.request_id = ANY ($5))
                AND ($6::text[] IS NULL OR d.request_id <> ALL ($6))
                AND ($16::text[] IS NULL OR d.principal <> ALL ($16))
                AND ($17::text[] IS NULL OR d.action <> ALL ($17))
                AND ($18::text[] IS NULL OR d.resource <> ALL ($18))"
    };
}

/// The stretch of time, always given, so that partitions are left out and indexes are entered at the right place: the days
/// from $7 to $8, from the step of 10 ms $19 of the first to the step $20 of the last, the instants from $9 to before $10.
/// `$in` is how many of these steps one of the index has.
macro_rules! stretch {
    ($step:expr, $in:literal) => {
        concat!(
            "d.day >= date '1970-01-01' + $7::integer AND d.day <= date '1970-01-01' + $8::integer
                AND (d.day, ",
            $step,
            ") >= (date '1970-01-01' + $7::integer, $19::integer / ",
            $in,
            ") AND (d.day, ",
            $step,
            ") <= (date '1970-01-01' + $8::integer, $20::integer / ",
            $in,
            ") AND d.recorded_at >= $9 AND d.recorded_at < $10"
        )
    };
}

/// Rows that match, in one direction, from the place of day $11, instant $12, stream $13 and seq $14 on.
macro_rules! matching {
    ($columns:expr, $chosen:expr, $step:expr, $in:literal, $beyond:literal, $direction:literal) => {
        concat!(
            "SELECT ",
            $columns,
            " FROM audit.decision d WHERE ",
            $chosen,
            " AND ",
            stretch!($step, $in),
            " AND (d.day, d.recorded_at, d.stream, d.seq) ",
            $beyond,
            " (date '1970-01-01' + $11::integer, $12, $13, $14) AND ",
            wanted!(),
            in_order!($step, $direction)
        )
    };
}

/// Counts rows that match, by cause and stretch of $11 microseconds; $12 to $15 say nothing, so that all statements take the
/// same.
macro_rules! counting {
    ($chosen:expr, $step:expr, $in:literal) => {
        concat!(
            "SELECT d.recorded_at - ((d.recorded_at % $11) + $11) % $11 AS start, d.cause, count(*)
            FROM audit.decision d WHERE ",
            $chosen,
            " AND $12::bigint IS NULL AND $13::bytea IS NULL AND $14::bigint IS NULL AND $15::bigint IS NULL AND ",
            stretch!($step, $in),
            " AND ",
            wanted!(),
            " GROUP BY 1, 2"
        )
    };
}

/// By the time index: neither principals nor resources are given.
macro_rules! by_time {
    ($beyond:literal, $direction:literal) => {
        matching!(columns!(), "$1::text[] IS NULL AND $3::text[] IS NULL", by_instant!(), 1, $beyond, $direction)
    };
}

/// What the index on a name holds is its hash; the name itself is compared then.
macro_rules! named {
    ($column:literal) => {
        concat!("hashtext(", $column, ") = hashtext(w.value) AND ", $column, " = w.value")
    };
}

/// The same for any of some names.
macro_rules! any_named {
    ($column:literal, $names:literal) => {
        concat!(
            "hashtext(",
            $column,
            ") = ANY (ARRAY(SELECT hashtext(n COLLATE \"C\") FROM unnest(",
            $names,
            "::text[]) AS n)) AND ",
            $column,
            " = ANY (",
            $names,
            "::text[])"
        )
    };
}

/// For each wanted value as many rows as are asked for, from an index that keeps them in order; then the first
/// of all of those.
macro_rules! by_each {
    ($wanted:literal, $chosen:expr, $beyond:literal, $direction:literal) => {
        concat!(
            "SELECT ",
            columns!(),
            " FROM (SELECT DISTINCT unnest(",
            $wanted,
            "::text[]) COLLATE \"C\" AS value) w CROSS JOIN LATERAL (",
            matching!("d.*", $chosen, by_second!(), 100, $beyond, $direction),
            ") d",
            in_order!(by_second!(), $direction)
        )
    };
}

/// By the principal index: principals are given, resources may be.
macro_rules! by_principal {
    ($beyond:literal, $direction:literal) => {
        by_each!(
            "$1",
            concat!(named!("d.principal"), " AND ($3::text[] IS NULL OR d.resource = ANY ($3))"),
            $beyond,
            $direction
        )
    };
}

/// By the resource index: resources are given, principals are not.
macro_rules! by_resource {
    ($beyond:literal, $direction:literal) => {
        by_each!("$3", concat!("$1::text[] IS NULL AND ", named!("d.resource")), $beyond, $direction)
    };
}

statements! {
    /// Appends the records of one stream: all of them are committed, or none.
    SHIP = "SELECT audit.append($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)";
    /// Keeps a dictionary for records of a day.
    KEEP_DICTIONARY = "SELECT audit.keep_dictionary(date '1970-01-01' + $1::integer, $2)";
    /// Dictionaries.
    DICTIONARIES = "SELECT id, body FROM audit.dictionary WHERE id = ANY ($1)";
    /// Where private values lie behind a place, by day, and whether they belong to no record.
    OPENINGS = "SELECT (o.day - date '1970-01-01')::bigint, o.stream, o.seq, NOT EXISTS (
            SELECT FROM audit.decision d WHERE d.day = o.day AND d.stream = o.stream AND d.seq = o.seq)
        FROM audit.opening o
        WHERE (o.day, o.stream, o.seq) > (coalesce(date '1970-01-01' + $1::integer, '-infinity'), $2, $3)
        ORDER BY o.day, o.stream, o.seq LIMIT $4";
    /// Keeps headers of one stream.
    SEAL = "SELECT audit.seal($1, $2, $3, $4, $5, $6)";
    /// Keeps a checkpoint.
    KEEP_CHECKPOINT = "SELECT audit.keep_checkpoint($1, $2, $3, $4)";
    /// The last header of a stream.
    LAST_SEALED = "SELECT audit.last_header($1)";
    /// Every stream there is.
    STREAMS = "SELECT stream FROM audit.stream UNION SELECT stream FROM audit.header
        UNION SELECT stream FROM audit.decision ORDER BY stream";
    /// The headers of a stream behind one.
    HEADERS = "SELECT stream, number, first_seq, count, root, header FROM audit.header WHERE stream = $1 AND number > $2
        ORDER BY number LIMIT $3";
    /// The last place of a stream by the store's count; a record behind it is there all the same.
    LAST_PLACE = "SELECT coalesce(max(s.last_seq), 0) FROM audit.stream s WHERE s.stream = $1";
    /// Every checkpoint.
    CHECKPOINTS = "SELECT origin, size, root, note FROM audit.checkpoint ORDER BY origin, size";
    /// Checkpoints behind one, of one log or of all.
    CHECKPOINTS_AFTER = "SELECT origin, size, root, note FROM audit.checkpoint
        WHERE ($1::text IS NULL OR origin = $1) AND (origin, size) > ($2, $3) ORDER BY origin, size LIMIT $4";
    /// Records of a stream by place: the next ones of each day, by its primary key, and of these the first.
    RECORDS = concat!(
        "SELECT ", columns!(), " FROM generate_series((SELECT min(day) FROM audit.decision)::timestamp,
                (SELECT max(day) FROM audit.decision)::timestamp, interval '1 day') AS of (day)
            CROSS JOIN LATERAL (
                SELECT * FROM audit.decision c WHERE c.day = of.day::date AND c.stream = $1 AND c.seq > $2
                ORDER BY c.seq LIMIT $3) d
            ORDER BY d.seq, d.day LIMIT $3"
    );
    /// The last place of a stream, after any commit that is under way.
    LAST_SEQ = "SELECT audit.last_seq($1)";
    /// Makes the partitions of the coming days.
    PREPARE_DAYS = "SELECT audit.prepare_days()";
    /// The record of one place. Its day is not known: each is looked into by its primary key, the newest first.
    /// `OFFSET 0` keeps the planner from looking into all of them at once, without the key.
    FIND = concat!(
        "SELECT ", columns!(), " FROM generate_series((SELECT max(day) FROM audit.decision)::timestamp,
                (SELECT min(day) FROM audit.decision)::timestamp, interval '-1 day') AS of (day)
            CROSS JOIN LATERAL (
                SELECT * FROM audit.decision c WHERE c.day = of.day::date AND c.stream = $1 AND c.seq = $2 OFFSET 0) d
            LIMIT 1"
    );
    /// The last place of every stream.
    PLACES = "SELECT stream, last_seq FROM audit.stream WHERE last_seq > 0";
    /// Records of a stream $11 behind the place $12 and up to $13, by place: the next ones of each day from $7 to $8, by its
    /// primary key, and of these the first; $14, $19 and $20 say nothing.
    BEHIND = concat!(
        "SELECT ", columns!(), " FROM generate_series(
                (SELECT min(f.day) FROM audit.decision f WHERE f.day >= date '1970-01-01' + $7::integer)::timestamp,
                (SELECT max(l.day) FROM audit.decision l WHERE l.day <= date '1970-01-01' + $8::integer)::timestamp,
                interval '1 day') AS of (day)
            CROSS JOIN LATERAL (
                SELECT * FROM audit.decision d
                WHERE d.day = of.day::date AND d.stream = $11::bytea AND d.seq > $12::bigint AND d.seq <= $13::bigint
                AND $14::bigint IS NULL AND $19::integer IS NULL AND $20::integer IS NULL
                AND d.recorded_at >= $9 AND d.recorded_at < $10
                AND ($1::text[] IS NULL OR d.principal = ANY ($1)) AND ($3::text[] IS NULL OR d.resource = ANY ($3)) AND ",
        wanted!(), " ORDER BY d.seq LIMIT $15) d
            ORDER BY d.seq, d.day LIMIT $15"
    );
    /// Counts, whoever asked.
    COUNT = counting!("$1::text[] IS NULL AND $3::text[] IS NULL", by_instant!(), 1);
    /// Counts of some principals.
    COUNT_BY_PRINCIPAL = counting!(concat!(
        any_named!("d.principal", "$1"), " AND ($3::text[] IS NULL OR d.resource = ANY ($3))"
    ), by_second!(), 100);
    /// Counts on some resources.
    COUNT_BY_RESOURCE = counting!(
        concat!("$1::text[] IS NULL AND ", any_named!("d.resource", "$3")), by_second!(), 100
    );
    /// Newest first, whoever asked.
    NEWEST = by_time!("<=", "DESC");
    /// Oldest first, whoever asked.
    OLDEST = by_time!(">=", "ASC");
    /// Newest first, of some principals.
    NEWEST_BY_PRINCIPAL = by_principal!("<=", "DESC");
    /// Oldest first, of some principals.
    OLDEST_BY_PRINCIPAL = by_principal!(">=", "ASC");
    /// Newest first, on some resources.
    NEWEST_BY_RESOURCE = by_resource!("<=", "DESC");
    /// Oldest first, on some resources.
    OLDEST_BY_RESOURCE = by_resource!(">=", "ASC");
}
