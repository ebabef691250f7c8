//! `google.protobuf.Struct` to records, and back.

use magistrate_model::{AttributeName, Bounds, EntityUid, ExtensionFunction, Record, Value};
use magistrate_proto::structure::{self as wire, Entry, Kind, Struct};

use crate::finding::{Findings, Parsed, Path, shown};

/// A record in the form that requests have. A whole number that the wire cannot carry is told as a string.
pub(crate) fn structure(record: &Record) -> Struct {
    record.iter().map(|(name, value)| (name.as_str(), told(value))).collect()
}

fn told(value: &Value) -> wire::Value {
    match value {
        Value::Bool(value) => (*value).into(),
        Value::Long(number) => wire::Value::whole(*number).unwrap_or_else(|_| number.to_string().into()),
        Value::String(text) => text.as_ref().into(),
        Value::Entity(uid) => wire::Value::entity(uid.type_name().to_string(), uid.id().as_str()),
        Value::Extension(function, argument) => wire::Value::extension(function.name(), argument.as_ref()),
        Value::Set(items) => wire::ListValue { values: items.iter().map(told).collect() }.into(),
        Value::Record(record) => structure(record).into(),
    }
}

/// A record within the bounds of a request.
pub(crate) fn bounded_record(wire: &Struct, at: Path<'_>, findings: &mut Findings) -> Parsed<Record> {
    let record = record(wire, at, 1, findings)?;
    match Bounds::REQUEST.check("it", &record) {
        Ok(()) => Ok(record),
        Err(exceeded) => findings.report(at, exceeded),
    }
}

/// `level` counts records and lists from the outermost, which is 1.
fn record(wire: &Struct, at: Path<'_>, level: usize, findings: &mut Findings) -> Parsed<Record> {
    guard(at, level, findings)?;
    let mut record = Record::new();
    let mut outcome = Ok(());
    for entry in &wire.fields {
        let at = at.field(&entry.key);
        match attribute(entry, at, level, findings) {
            Err(reported) => outcome = Err(reported),
            Ok((name, _)) if record.contains_key(&name) => {
                outcome = findings.report(at, "stands twice; send each key once");
            }
            Ok((name, value)) => drop(record.insert(name, value)),
        }
    }
    outcome.map(|()| record)
}

fn attribute(entry: &Entry, at: Path<'_>, level: usize, findings: &mut Findings) -> Parsed<(AttributeName, Value)> {
    let name = match AttributeName::new(&entry.key) {
        Ok(name) => name,
        Err(why) => return findings.report(at, format_args!("has a name that is not accepted: {why}")),
    };
    let value = value(entry.value.as_ref(), at, level, findings)?;
    Ok((name, value))
}

fn value(wire: Option<&wire::Value>, at: Path<'_>, level: usize, findings: &mut Findings) -> Parsed<Value> {
    match wire.and_then(|value| value.kind.as_ref()) {
        None => findings.report(at, "has no value; leave an absent attribute out"),
        Some(Kind::Null(_)) => findings.report(at, "is null; leave an absent attribute out"),
        Some(Kind::Bool(value)) => Ok(Value::Bool(*value)),
        Some(Kind::Number(number)) => whole(*number, at, findings).map(Value::Long),
        Some(Kind::String(text)) => Ok(Value::String(text.as_str().into())),
        Some(Kind::List(list)) => set(&list.values, at, level + 1, findings),
        Some(Kind::Struct(fields)) => match fields.fields.as_slice() {
            [only] if only.key == "__entity" => entity(only, at, findings),
            [only] if only.key == "__extn" => extension(only, at, findings),
            _ => record(fields, at, level + 1, findings).map(Value::Record),
        },
    }
}

fn set(items: &[wire::Value], at: Path<'_>, level: usize, findings: &mut Findings) -> Parsed<Value> {
    guard(at, level, findings)?;
    let items = items.iter().enumerate();
    let items: Vec<_> = items.map(|(n, item)| value(Some(item), at.index(n), level, findings)).collect();
    items.into_iter().collect::<Parsed<_>>().map(Value::Set)
}

fn guard(at: Path<'_>, level: usize, findings: &mut Findings) -> Parsed<()> {
    let limit = Bounds::REQUEST.depth;
    if level > limit {
        return findings.report(at, format_args!("nests more than {limit} levels deep; flatten it"));
    }
    Ok(())
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "whole and within 2^53 - 1, checked above"
)]
fn whole(number: f64, at: Path<'_>, findings: &mut Findings) -> Parsed<i64> {
    const LARGEST: f64 = wire::Value::LARGEST_WHOLE as f64;
    if !number.is_finite() {
        return findings.report(at, "is not a finite number");
    }
    if number.fract() != 0.0 {
        let why = format_args!("is {number}, which is not whole; send a decimal as the string \"{number}\"");
        return findings.report(at, why);
    }
    if number.abs() > LARGEST {
        return findings.report(at, "lies beyond 2^53 - 1, where the wire loses digits; send it as a string");
    }
    Ok(number as i64)
}

fn entity(escape: &Entry, at: Path<'_>, findings: &mut Findings) -> Parsed<Value> {
    let Some([type_name, id]) = texts(escape, ["type", "id"]) else {
        return findings.report(at, "must give `type` and `id` in `__entity`, both strings, and nothing else");
    };
    match EntityUid::from_parts(type_name, id) {
        Ok(uid) => Ok(Value::Entity(uid)),
        Err(why) => findings.report(at, why),
    }
}

fn extension(escape: &Entry, at: Path<'_>, findings: &mut Findings) -> Parsed<Value> {
    let Some([function, argument]) = texts(escape, ["fn", "arg"]) else {
        return findings.report(at, "must give `fn` and `arg` in `__extn`, both strings, and nothing else");
    };
    match ExtensionFunction::named(function) {
        Some(function) => Ok(Value::Extension(function, argument.into())),
        None => findings.report(
            at,
            format_args!("calls `{}`; write `ip`, `decimal`, `datetime` or `duration`", shown(function, 80)),
        ),
    }
}

/// The two texts of an escape that holds exactly these two, each once.
fn texts<'w>(escape: &'w Entry, names: [&str; 2]) -> Option<[&'w str; 2]> {
    let Some(Kind::Struct(fields)) = &escape.value.as_ref()?.kind else {
        return None;
    };
    let [first, second] = fields.fields.as_slice() else {
        return None;
    };
    let text = |name: &str| {
        let entry = [first, second].into_iter().find(|entry| entry.key == name)?;
        match &entry.value.as_ref()?.kind {
            Some(Kind::String(text)) => Some(text.as_str()),
            Some(Kind::Null(_) | Kind::Number(_) | Kind::Bool(_) | Kind::Struct(_) | Kind::List(_)) | None => None,
        }
    };
    let [one, other] = names;
    Some([text(one)?, text(other)?])
}
