//! When time alone can change what a condition comes to.

use cedar_policy_core::ast::{BinaryOp, ExtensionFunction, Literal, PartialValue, Value, ValueKind};
use cedar_policy_core::extensions::Extensions;
use magistrate_model::Instant;
use smol_str::SmolStr;

use super::node::Node;
use crate::schema::FACTS;

/// Facts that are others at another time, and the one of them that is the time.
const PASSING: [&str; 2] = [NOW, "snapshot_age_s"];
const NOW: &str = "now";

/// What a condition reads of the time of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Clock {
    /// It compares `context.facts.now` with constants, if it reads it at all: what it comes to can change at these
    /// instants and at no others.
    At(Vec<Instant>),
    /// It reads it otherwise.
    Always,
}

impl Clock {
    /// Of a prepared condition.
    pub(super) fn of(condition: Option<&Node>) -> Self {
        let mut instants = Vec::new();
        match condition.is_none_or(|condition| collect(condition, &mut instants).is_some()) {
            true => Self::At(instants),
            false => Self::Always,
        }
    }

    /// Whether it reads none.
    pub(super) fn is_unread(&self) -> bool {
        matches!(self, Self::At(instants) if instants.is_empty())
    }

    /// The first instant after `now` at which it can come to something else; `now` itself where that cannot be said.
    pub(super) fn next_change(&self, now: Instant) -> Option<Instant> {
        match self {
            Self::At(instants) => instants.iter().copied().filter(|at| *at > now).min(),
            Self::Always => Some(now),
        }
    }
}

/// Adds the instants at which an expression can change; `None` where it can at any.
fn collect(node: &Node, instants: &mut Vec<Instant>) -> Option<()> {
    match node {
        Node::Context(path) => (!is_passing(path)).then_some(()),
        Node::Var(var) => (*var != cedar_policy_core::ast::Var::Context).then_some(()),
        Node::Value(_) | Node::Never => Some(()),
        Node::Order(op, both) => match compared(both) {
            Some((constant, now_first)) => {
                // `now` has whole milliseconds: it passes `c` when it becomes `c`, or one more than `c`.
                let when_reached = (*op == BinaryOp::Less) == now_first;
                instants.push(instant(constant, (!when_reached).into())?);
                Some(())
            }
            None => each([&both.0, &both.1].into_iter(), instants),
        },
        Node::Equal(both) => match compared(both) {
            Some((constant, _)) => {
                instants.extend([instant(constant, 0)?, instant(constant, 1)?]);
                Some(())
            }
            None => each([&both.0, &both.1].into_iter(), instants),
        },
        Node::And(both)
        | Node::Or(both)
        | Node::Arithmetic(_, both)
        | Node::Sets(_, both)
        | Node::In(both)
        | Node::GetTag(both)
        | Node::HasTag(both) => each([&both.0, &both.1].into_iter(), instants),
        Node::If(parts) => each([&parts.0, &parts.1, &parts.2].into_iter(), instants),
        // Whether there is such a fact does not depend on the time.
        Node::Has(of, _) if matches!(&**of, Node::Context(_) | Node::Var(_)) => Some(()),
        Node::Not(of)
        | Node::Unary(_, of)
        | Node::InNamed(of, _)
        | Node::Get(of, _)
        | Node::Has(of, _)
        | Node::Like(of, _)
        | Node::Is(of, _) => collect(of, instants),
        Node::Set(items) | Node::Call(_, items) => each(items.iter(), instants),
        Node::Record(fields) => each(fields.iter().map(|(_, field)| field), instants),
    }
}

fn each<'n>(mut nodes: impl Iterator<Item = &'n Node>, instants: &mut Vec<Instant>) -> Option<()> {
    nodes.try_for_each(|node| collect(node, instants))
}

/// Whether a path of the context leads to what time changes, or to something that holds it.
fn is_passing(path: &[SmolStr]) -> bool {
    let mut names = path.iter().map(SmolStr::as_str);
    names.next() == Some(FACTS) && names.next().is_none_or(|fact| PASSING.contains(&fact))
}

/// The constant that `context.facts.now` is compared with, and whether that stands first.
fn compared(both: &(Node, Node)) -> Option<(&Value, bool)> {
    let is_now = |node: &Node| matches!(node, Node::Context(path) if path.iter().eq([FACTS, NOW].iter()));
    match both {
        (now, Node::Value(constant)) if is_now(now) => Some((constant, true)),
        (Node::Value(constant), now) if is_now(now) => Some((constant, false)),
        _ => None,
    }
}

/// So many milliseconds after a constant `datetime`; `None` where that is no instant.
fn instant(constant: &Value, later: i64) -> Option<Instant> {
    let function = |name: &str| -> Option<&'static ExtensionFunction> {
        Extensions::all_available().func(&cedar_policy_core::ast::Name::parse_unqualified_name(name).ok()?).ok()
    };
    let call = |name: &str, operands: &[Value]| match function(name)?.call(operands).ok()? {
        PartialValue::Value(value) => Some(value),
        PartialValue::Residual(_) => None,
    };
    let epoch = call("datetime", &[Value::from("1970-01-01")])?;
    let since = call("toMilliseconds", &[call("durationSince", &[constant.clone(), epoch])?])?;
    let ValueKind::Lit(Literal::Long(millis)) = since.value else { return None };
    Instant::from_micros(millis.checked_add(later)?.checked_mul(1_000)?).ok()
}

#[cfg(test)]
mod tests {
    use cedar_policy_core::ast::Policy;

    use super::*;
    use crate::rules::names::Names;

    fn clock(condition: &str) -> Clock {
        let text = format!("permit (principal, action, resource) when {{ {condition} }};");
        let policy: cedar_policy::Policy = text.parse().unwrap();
        let core: &Policy = policy.as_ref();
        let condition = core.non_scope_constraints().map(|expr| Node::prepare(expr, &mut Names::default()));
        Clock::of(condition.as_ref())
    }

    fn at(millis: &[i64]) -> Clock {
        Clock::At(millis.iter().map(|at| Instant::from_micros(at * 1_000).unwrap()).collect())
    }

    /// 2030-01-01 in milliseconds.
    const THEN: i64 = 1_893_456_000_000;

    #[test]
    fn comparisons_with_constants_tell_when_they_change() {
        let date = "datetime(\"2030-01-01\")";
        for (condition, expected) in [
            (format!("context.facts.now < {date}"), at(&[THEN])),
            (format!("context.facts.now <= {date}"), at(&[THEN + 1])),
            (format!("context.facts.now > {date}"), at(&[THEN + 1])),
            (format!("context.facts.now >= {date}"), at(&[THEN])),
            (format!("{date} < context.facts.now"), at(&[THEN + 1])),
            (format!("{date} <= context.facts.now"), at(&[THEN])),
            (format!("context.facts.now == {date}"), at(&[THEN, THEN + 1])),
            (format!("context.facts.now != {date}"), at(&[THEN, THEN + 1])),
            (format!("!(context.facts.now < {date}) || context.x"), at(&[THEN])),
            (
                format!("context.facts.now >= {date} && context.facts.now < {date}.offset(duration(\"1h\"))"),
                at(&[THEN, THEN + 3_600_000]),
            ),
        ] {
            assert_eq!(clock(&condition), expected, "{condition}");
        }
    }

    #[test]
    fn what_reads_the_time_otherwise_may_change_whenever() {
        for condition in [
            "context.facts.now.toTime() < duration(\"9h\")",
            "context.facts.now < context.end",
            "context.facts.now < principal.end",
            "context.facts.now == datetime(\"2030-01-01\").offset(context.d)",
            "context.facts.snapshot_age_s < 5",
            "context.facts == context.other",
            "context == resource.wanted",
            "{now: context.facts.now}.now < datetime(\"2030-01-01\")",
            "[context.facts.now].isEmpty()",
            "(if context.x then context.facts.now else context.y) < datetime(\"2030-01-01\")",
            "context.facts.now < datetime(\"2030-01-01\").toDate().offset(principal.d)",
        ] {
            assert_eq!(clock(condition), Clock::Always, "{condition}");
        }
    }

    #[test]
    fn what_does_not_read_the_time_never_changes() {
        for condition in [
            "true",
            "context.now < datetime(\"2030-01-01\")",
            "context has facts && context.facts has now",
            "context has facts.now",
            "context.facts.channel == \"grpc\"",
            "context.facts has ip && context.facts.ip.isLoopback()",
            "principal.facts.now == resource.x",
        ] {
            assert!(clock(condition).is_unread(), "{condition}");
        }
    }
}
