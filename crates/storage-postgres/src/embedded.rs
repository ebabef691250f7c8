//! What the migrations of this program create, read from their own text: function bodies and guarding triggers.
//! Whoever inspects a database compares it with these.

use std::collections::BTreeSet;

use crate::schema::{STEPS, STRICT};

/// A function as `schema.name` with its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) name: &'static str,
    pub(crate) body: &'static str,
    /// Whether it acts as its owner.
    pub(crate) is_definer: bool,
    /// What it sets while it runs, as the catalogue tells it, sorted and joined.
    pub(crate) settings: String,
}

/// A trigger that is enabled ALWAYS, and its table as `schema.name`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Guard {
    pub(crate) table: &'static str,
    pub(crate) trigger: &'static str,
    /// When it fires, as bits of the catalogue.
    pub(crate) kind: i16,
    /// What it calls, as `schema.name`.
    pub(crate) function: &'static str,
    /// Under which condition, without spaces and parentheses; empty for any.
    pub(crate) condition: String,
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

/// The tables that steps create and none drops, as `schema.name`.
pub(crate) fn tables() -> Vec<&'static str> {
    let lines = STEPS.iter().flat_map(|(_, sql)| sql.lines());
    let created = lines.filter_map(|line| Some(line.strip_prefix("CREATE TABLE ")?.split_once(' ')?.0));
    // One that a later step makes anew is one table.
    let created: BTreeSet<&str> = created.filter(|table| !is_dropped(table)).collect();
    created.into_iter().collect()
}

fn is_dropped(table: &str) -> bool {
    let mut lines = STEPS.iter().flat_map(|(_, sql)| sql.lines());
    lines.any(|line| line.strip_prefix("DROP TABLE ").and_then(|rest| rest.strip_suffix(';')) == Some(table))
}

/// The guarding triggers of these tables, those of later steps in place of earlier ones; those of partitions are made by
/// `audit.prepare_day`.
pub(crate) fn guards() -> Vec<Guard> {
    let trigger =
        |text: &'static str| guard(text.strip_prefix("CONSTRAINT ").unwrap_or(text).strip_prefix("TRIGGER ")?);
    let created = |(_, sql): &(_, &'static str)| sql.split("\nCREATE ").skip(1).filter_map(trigger);
    let mut kept: Vec<Guard> = Vec::new();
    for guard in STEPS.iter().flat_map(created).filter(|guard| !is_dropped(guard.table)) {
        kept.retain(|earlier| (earlier.table, earlier.trigger) != (guard.table, guard.trigger));
        kept.push(guard);
    }
    kept
}

/// The event triggers of strict hardening.
pub(crate) fn event_triggers() -> Vec<&'static str> {
    let name = |line: &'static str| line.strip_prefix("ALTER EVENT TRIGGER ")?.strip_suffix(" ENABLE ALWAYS;");
    STRICT.lines().filter_map(name).collect()
}

fn functions_of(sql: &'static str) -> impl Iterator<Item = Function> {
    sql.split("\nCREATE ").skip(1).filter_map(|text| {
        let text = text.strip_prefix("OR REPLACE ").unwrap_or(text).strip_prefix("FUNCTION ")?;
        let (name, rest) = text.split_once('(')?;
        let (head, rest) = rest.split_once(" AS $")?;
        let (tag, rest) = rest.split_once('$')?;
        let (body, _) = rest.split_once(&format!("${tag}$"))?;
        Some(Function { name, body, is_definer: head.contains("SECURITY DEFINER"), settings: settings(head) })
    })
}

fn settings(head: &str) -> String {
    let lines: Vec<&str> = head.lines().filter(|line| !line.starts_with("--")).collect();
    let text = lines.join(" ");
    let mut set: Vec<String> =
        text.split(" SET ").skip(1).map(|it| it.trim().replace(" = ", "=").replace('\'', "")).collect();
    set.sort_unstable();
    set.join("; ")
}

/// Reads a trigger from what follows CREATE TRIGGER.
fn guard(text: &'static str) -> Option<Guard> {
    let (text, _) = text.split_once(';')?;
    let (trigger, rest) = text.split_once(' ')?;
    let (head, rest) = rest.split_once(" ON ")?;
    let table = rest.split_whitespace().next()?;
    let (before_call, call) = rest.rsplit_once("EXECUTE FUNCTION ")?;
    let condition = before_call.split_once("WHEN ").map_or(String::new(), |(_, condition)| by_column(condition));
    let bits = [("BEFORE", 2), ("INSERT", 4), ("DELETE", 8), ("UPDATE", 16), ("TRUNCATE", 32)];
    let kind: i16 = bits.into_iter().filter(|(word, _)| head.contains(word)).map(|(_, bit)| bit).sum();
    Some(Guard {
        table,
        trigger,
        kind: kind + i16::from(rest.contains("FOR EACH ROW")),
        function: call.split_once('(')?.0,
        condition: condition.replace(['(', ')', ' ', '\n'], "").to_lowercase(),
    })
}

/// A condition with rows compared column by column, as the catalogue tells it.
fn by_column(condition: &str) -> String {
    let rows = condition.split_once("IS DISTINCT FROM").and_then(|(before, new)| {
        let (before, old) = before.rsplit_once('(')?;
        let pairs = old.split(',').zip(new.split(',')).map(|(old, new)| format!("{old} IS DISTINCT FROM {new}"));
        Some(format!("{before} {}", pairs.collect::<Vec<_>>().join(" OR ")))
    });
    rows.unwrap_or_else(|| condition.to_owned())
}
