//! Every statement on the decisions file.

use crate::statements::statements;

/// The columns of a record.
macro_rules! columns {
    () => {
        "day, stream, seq, leaf, recorded_at, class, principal, action, resource, decision, cause, request_id, body"
    };
}

/// The same with the private values, in the order of [`super::row::Row`].
macro_rules! opened {
    () => {
        concat!(
            columns!(),
            ", (SELECT o.body FROM opening o WHERE o.stream = decision.stream AND o.seq = decision.seq)"
        )
    };
}

/// Places for the values of one record.
macro_rules! row {
    () => {
        "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    };
}

/// Of eight records, and of sixty-four.
macro_rules! eight {
    ($one:expr) => {
        concat!($one, ", ", $one, ", ", $one, ", ", $one, ", ", $one, ", ", $one, ", ", $one, ", ", $one)
    };
}

/// Appends records, unless exactly these are there already. Another one at a place is refused by the schema.
macro_rules! append {
    ($rows:expr) => {
        concat!(
            "INSERT INTO decision (",
            columns!(),
            ") SELECT * FROM (VALUES ",
            $rows,
            ") AS v WHERE NOT EXISTS (
                SELECT 1 FROM decision d INDEXED BY decision_by_place WHERE d.stream = v.column2 AND d.seq = v.column3
                    AND d.day = v.column1 AND d.leaf = v.column4 AND d.recorded_at = v.column5 AND d.class = v.column6
                    AND d.principal = v.column7 AND d.action = v.column8 AND d.resource = v.column9
                    AND d.decision = v.column10 AND d.cause = v.column11 AND d.request_id IS v.column12
                    AND d.body = v.column13)"
        )
    };
}

/// Whether a column has one of the values of a JSON list, or the list is not given.
macro_rules! one_of {
    ($column:literal, $values:literal) => {
        concat!("(", $values, " IS NULL OR ", $column, " IN (SELECT value FROM json_each(", $values, ")))")
    };
}

/// Whether it has none of them.
macro_rules! none_of {
    ($column:literal, $values:literal) => {
        concat!("(", $values, " IS NULL OR ", $column, " NOT IN (SELECT value FROM json_each(", $values, ")))")
    };
}

/// What columns tell of the wanted rows, besides what a statement chooses by. Every part is optional but for the instants,
/// from ?7 to before ?8.
macro_rules! wanted {
    () => {
        concat!(
            "recorded_at >= ?7 AND recorded_at < ?8 AND ",
            one_of!("action", "?2"),
            " AND ",
            one_of!("cause", "?4"),
            " AND ",
            one_of!("request_id", "?5"),
            " AND (request_id IS NULL OR ",
            none_of!("request_id", "?6"),
            ") AND ",
            none_of!("principal", "?13"),
            " AND ",
            none_of!("action", "?14"),
            " AND ",
            none_of!("resource", "?15")
        )
    };
}

/// Records that match, in one direction, from an index that keeps them in order.
///
/// The bounds on the instant and the position are always given, so that the index is entered at the right
/// place; the other fields are optional.
macro_rules! search {
    ($index:literal, $beyond:literal, $direction:literal) => {
        concat!(
            "SELECT ",
            opened!(),
            " FROM decision INDEXED BY ",
            $index,
            " AND (recorded_at, stream, seq) ",
            $beyond,
            " (?9, ?10, ?11) AND ",
            wanted!(),
            " ORDER BY recorded_at ",
            $direction,
            ", stream ",
            $direction,
            ", seq ",
            $direction,
            " LIMIT ?12"
        )
    };
}

/// Counts records that match, by cause and stretch of ?9 microseconds; ?10 to ?12 say nothing, so that all statements take
/// the same.
macro_rules! counting {
    ($index:literal) => {
        concat!(
            "SELECT recorded_at - ((recorded_at % ?9) + ?9) % ?9, cause, count(*) FROM decision INDEXED BY ",
            $index,
            " AND ?10 IS NULL AND ?11 IS NULL AND ?12 IS NULL AND ",
            wanted!(),
            " GROUP BY 1, 2"
        )
    };
}

/// By the time index: neither principals nor resources are given.
macro_rules! by_time {
    ($beyond:literal, $direction:literal) => {
        search!("decision_by_time WHERE ?1 IS NULL AND ?3 IS NULL", $beyond, $direction)
    };
}

/// By the principal index: principals are given, resources may be.
macro_rules! by_principal {
    ($beyond:literal, $direction:literal) => {
        search!(
            "decision_by_principal WHERE principal IN (SELECT value FROM json_each(?1))
                AND (?3 IS NULL OR resource IN (SELECT value FROM json_each(?3)))",
            $beyond,
            $direction
        )
    };
}

/// By the resource index: resources are given, principals are not.
macro_rules! by_resource {
    ($beyond:literal, $direction:literal) => {
        search!(
            "decision_by_resource WHERE ?1 IS NULL AND resource IN (SELECT value FROM json_each(?3))",
            $beyond,
            $direction
        )
    };
}

statements! {
    /// Appends one record.
    APPEND = append!(row!());
    /// Appends sixty-four at once: each statement goes to the thread that SQLite has, and its answer back.
    APPEND_64 = append!(eight!(eight!(row!())));
    /// Puts private values in the place of their record, unless that is there already, or was taken out.
    OPEN = "INSERT INTO opening (stream, seq, day, body) SELECT ?1, ?2, ?3, ?4
        WHERE NOT EXISTS (
            SELECT 1 FROM decision INDEXED BY decision_by_place WHERE stream = ?1 AND seq = ?2)";
    /// Where private values lie behind a place, and whether they belong to no record.
    OPENINGS = "SELECT day, stream, seq, NOT EXISTS (
            SELECT 1 FROM decision d INDEXED BY decision_by_place
            WHERE d.stream = o.stream AND d.seq = o.seq AND d.day = o.day)
        FROM opening o WHERE (stream, seq) > (?1, ?2) ORDER BY stream, seq LIMIT ?3";
    /// Keeps a header, unless exactly this one is there already. Another one of its number is refused by the schema.
    SEAL = "INSERT INTO header (stream, number, first_seq, count, root, header)
        SELECT ?1, ?2, ?3, ?4, ?5, ?6 WHERE NOT EXISTS (
            SELECT 1 FROM header WHERE stream = ?1 AND number = ?2 AND first_seq = ?3 AND count = ?4 AND root = ?5
                AND header = ?6)";
    /// Keeps a checkpoint, likewise.
    KEEP_CHECKPOINT = "INSERT INTO checkpoint (origin, size, root, note)
        SELECT ?1, ?2, ?3, ?4 WHERE NOT EXISTS (
            SELECT 1 FROM checkpoint WHERE origin = ?1 AND size = ?2 AND root = ?3 AND note = ?4)";
    /// The last header of a stream.
    LAST_SEALED = "SELECT max(number) FROM header WHERE stream = ?1";
    /// Every stream there is.
    STREAMS = "SELECT stream FROM header UNION SELECT stream FROM expired_place UNION SELECT DISTINCT stream FROM decision
        ORDER BY 1";
    /// The headers of a stream behind one.
    HEADERS = "SELECT stream, number, first_seq, count, root, header FROM header WHERE stream = ?1 AND number > ?2
        ORDER BY number LIMIT ?3";
    /// Every checkpoint.
    CHECKPOINTS = "SELECT origin, size, root, note FROM checkpoint ORDER BY origin, size";
    /// Checkpoints behind one, of one log or of all.
    CHECKPOINTS_AFTER = "SELECT origin, size, root, note FROM checkpoint
        WHERE (?1 IS NULL OR origin = ?1) AND (origin, size) > (?2, ?3) ORDER BY origin, size LIMIT ?4";
    /// Records of a stream by place.
    RECORDS = concat!(
        "SELECT ", opened!(), " FROM decision INDEXED BY decision_by_place WHERE stream = ?1 AND seq > ?2
            ORDER BY seq LIMIT ?3"
    );
    /// Takes the write lock and changes nothing: fails where nothing can be written.
    PROBE = "UPDATE decision SET seq = seq WHERE false";
    /// The last place of a stream.
    LAST_SEQ = "SELECT nullif(max(
            coalesce((SELECT max(seq) FROM decision INDEXED BY decision_by_place WHERE stream = ?1), 0),
            coalesce((SELECT last_seq FROM expired_place WHERE stream = ?1), 0)), 0)";
    /// The record of one place.
    FIND = concat!(
        "SELECT ", opened!(), " FROM decision INDEXED BY decision_by_place WHERE stream = ?1 AND seq = ?2"
    );
    /// The last place of every stream: from one stream to the next by the index, which has all of their places.
    PLACES = "WITH RECURSIVE known (stream) AS (
            SELECT min(stream) FROM decision INDEXED BY decision_by_place
            UNION ALL
            SELECT (SELECT min(d.stream) FROM decision d INDEXED BY decision_by_place WHERE d.stream > known.stream)
            FROM known WHERE known.stream IS NOT NULL)
        SELECT stream, (SELECT max(d.seq) FROM decision d INDEXED BY decision_by_place WHERE d.stream = known.stream)
        FROM known WHERE stream IS NOT NULL";
    /// Records of a stream ?9 behind the place ?10 and up to ?11, by place.
    BEHIND = concat!(
        "SELECT ", opened!(), " FROM decision INDEXED BY decision_by_place
            WHERE stream = ?9 AND seq > ?10 AND seq <= ?11 AND ",
        one_of!("principal", "?1"), " AND ", one_of!("resource", "?3"), " AND ", wanted!(),
        " ORDER BY seq LIMIT ?12"
    );
    /// Counts, whoever asked.
    COUNT = counting!("decision_by_time WHERE ?1 IS NULL AND ?3 IS NULL");
    /// Counts of some principals.
    COUNT_BY_PRINCIPAL = counting!(
        "decision_by_principal WHERE principal IN (SELECT value FROM json_each(?1))
            AND (?3 IS NULL OR resource IN (SELECT value FROM json_each(?3)))"
    );
    /// Counts on some resources.
    COUNT_BY_RESOURCE = counting!(
        "decision_by_resource WHERE ?1 IS NULL AND resource IN (SELECT value FROM json_each(?3))"
    );
    /// Newest first, whoever asked.
    NEWEST = by_time!("<", "DESC");
    /// Oldest first, whoever asked.
    OLDEST = by_time!(">", "ASC");
    /// Newest first, of some principals.
    NEWEST_BY_PRINCIPAL = by_principal!("<", "DESC");
    /// Oldest first, of some principals.
    OLDEST_BY_PRINCIPAL = by_principal!(">", "ASC");
    /// Newest first, on some resources.
    NEWEST_BY_RESOURCE = by_resource!("<", "DESC");
    /// Oldest first, on some resources.
    OLDEST_BY_RESOURCE = by_resource!(">", "ASC");
}
