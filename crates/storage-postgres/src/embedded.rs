//! What the migrations of this program create, read from their own text: function bodies and guarding triggers.
//! Whoever inspects a database compares it with these.

use crate::schema::{STEPS, STRICT};

/// A function as `schema.name` with its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) name: &'static str,
    pub(crate) body: &'static str,
}

/// A trigger that is enabled ALWAYS, and its table as `schema.name`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Guard {
    pub(crate) table: &'static str,
    pub(crate) trigger: &'static str,
}

/// The functions of the schema, those of later steps in place of earlier ones.
pub(crate) fn functions() -> Vec<Function> {
    let mut kept: Vec<Function> = Vec::new();
    for function in STEPS.iter().flat_map(|(_, sql)| functions_of(sql)) {
        kept.retain(|earlier| earlier.name != function.name);
        kept.push(function);
    }
    kept
}

/// The functions of strict hardening.
pub(crate) fn guard_functions() -> Vec<Function> {
    functions_of(STRICT).collect()
}

/// The guarding triggers of the tables that steps create; those of partitions are made by `audit.prepare_day`.
pub(crate) fn guards() -> Vec<Guard> {
    let lines = STEPS.iter().flat_map(|(_, sql)| sql.lines());
    let guard = |line: &'static str| {
        let (table, trigger) = line.strip_prefix("ALTER TABLE ")?.split_once(" ENABLE ALWAYS TRIGGER ")?;
        Some(Guard { table, trigger: trigger.strip_suffix(';')? })
    };
    lines.filter_map(guard).collect()
}

/// The event triggers of strict hardening.
pub(crate) fn event_triggers() -> Vec<&'static str> {
    let name = |line: &'static str| line.strip_prefix("ALTER EVENT TRIGGER ")?.strip_suffix(" ENABLE ALWAYS;");
    STRICT.lines().filter_map(name).collect()
}

fn functions_of(sql: &'static str) -> impl Iterator<Item = Function> {
    sql.split("\nCREATE FUNCTION ").skip(1).filter_map(|text| {
        let (name, rest) = text.split_once('(')?;
        let (tag, rest) = rest.split_once(" AS $")?.1.split_once('$')?;
        let (body, _) = rest.split_once(&format!("${tag}$"))?;
        Some(Function { name, body })
    })
}
