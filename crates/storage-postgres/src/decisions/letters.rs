//! Names of a few, as the letters that columns hold: those that `audit.letter` knows.

use magistrate_model::{Cause, Decision, DurabilityClass};

/// What a letter that stands for nothing is read as: no record says that.
const UNKNOWN: &str = "?";

pub(super) const fn of_class(class: DurabilityClass) -> i8 {
    signed(match class {
        DurabilityClass::Process => b'p',
        DurabilityClass::Disk => b'd',
        DurabilityClass::Database => b'b',
    })
}

pub(super) const fn of_decision(decision: Decision) -> i8 {
    signed(match decision {
        Decision::Allow => b'a',
        Decision::Deny => b'd',
    })
}

pub(super) const fn of_cause(cause: Cause) -> i8 {
    signed(match cause {
        Cause::Permitted => b'p',
        Cause::Forbidden => b'f',
        Cause::NoPermit => b'n',
        Cause::ForbidErrored => b'e',
        Cause::UnknownPrincipal => b'P',
        Cause::UnknownResource => b'R',
        Cause::UnknownEntity => b'E',
        Cause::ScopeCeiling => b's',
    })
}

/// Of an index column, which holds the name of a decision.
pub(super) fn of_decision_named(name: &str) -> i8 {
    of_decision(if name == Decision::Allow.name() { Decision::Allow } else { Decision::Deny })
}

/// Of an index column, which holds the name of a cause.
pub(super) fn of_cause_named(name: &str) -> i8 {
    Cause::named(name).map_or(signed(b'?'), of_cause)
}

pub(super) fn class(letter: i8) -> String {
    let all = [DurabilityClass::Process, DurabilityClass::Disk, DurabilityClass::Database];
    all.into_iter().find(|it| of_class(*it) == letter).map_or(UNKNOWN, DurabilityClass::name).to_owned()
}

pub(super) fn decision(letter: i8) -> String {
    let all = [Decision::Allow, Decision::Deny];
    all.into_iter().find(|it| of_decision(*it) == letter).map_or(UNKNOWN, Decision::name).to_owned()
}

pub(super) fn cause(letter: i8) -> String {
    Cause::ALL.into_iter().find(|it| of_cause(*it) == letter).map_or(UNKNOWN, Cause::name).to_owned()
}

/// As the driver has the type `"char"`.
const fn signed(letter: u8) -> i8 {
    letter.cast_signed()
}
