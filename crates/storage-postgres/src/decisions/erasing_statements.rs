//! Every statement on private values that are erased.

use crate::statements::statements;

statements! {
    /// How many decisions of a selection have private values, and how many of them lie in days that are held.
    COUNT_ERASABLE = "SELECT erasable, held FROM audit.count_erasable($1, $2, $3, $4)";
    /// Those in days that nobody holds.
    ERASABLE = "SELECT (day - date '1970-01-01')::bigint, stream, seq FROM audit.erasable($1, $2, $3, $4, $5)";
    /// Erases after an act.
    ERASE = "SELECT audit.erase($1, $2, $3, array(SELECT date '1970-01-01' + d FROM unnest($4::integer[]) WITH ORDINALITY
        AS n (d, at) ORDER BY at), $5, $6)";
}
