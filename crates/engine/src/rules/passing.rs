//! Whether a condition reads what may be another for the next question of the same words.

use cedar_policy_core::ast::Var;
use smol_str::SmolStr;

use super::node::Node;
use crate::schema::FACTS;

/// The facts that follow from what is asked and by which door. Every other one passes: the time and the age of the data, and
/// the address, which is no part of what is asked. One that is not known here counts as passing.
const LASTING: [&str; 1] = ["channel"];

/// Whether a prepared condition reads a fact that passes, or a record that holds one. Whether there is such a fact counts as
/// reading it: not every question has an address.
pub(super) fn reads_passing(node: &Node) -> bool {
    match node {
        Node::Context(path) => is_passing(path.iter(), Reads::Value),
        Node::Var(var) => *var == Var::Context,
        Node::Has(of, names) => match context_path(of) {
            Some(path) => is_passing(path.iter().chain(names), Reads::Presence),
            None => reads_passing(of),
        },
        Node::Value(_) | Node::Never => false,
        Node::If(parts) => [&parts.0, &parts.1, &parts.2].into_iter().any(reads_passing),
        Node::And(both)
        | Node::Or(both)
        | Node::Equal(both)
        | Node::Order(_, both)
        | Node::Arithmetic(_, both)
        | Node::Sets(_, both)
        | Node::In(both)
        | Node::GetTag(both)
        | Node::HasTag(both) => reads_passing(&both.0) || reads_passing(&both.1),
        Node::Not(of)
        | Node::Unary(_, of)
        | Node::InNamed(of, _)
        | Node::Get(of, _)
        | Node::Like(of, _)
        | Node::Is(of, _) => reads_passing(of),
        Node::Set(items) | Node::Call(_, items) => items.iter().any(reads_passing),
        Node::Record(fields) => fields.iter().any(|(_, field)| reads_passing(field)),
    }
}

/// The names that lead to a part of the context; none of the context itself.
fn context_path(node: &Node) -> Option<&[SmolStr]> {
    if let Node::Context(path) = node {
        return Some(path);
    }
    matches!(node, Node::Var(Var::Context)).then_some(&[])
}

/// What is asked of a path of the context.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reads {
    Value,
    Presence,
}

/// Whether a path leads to a fact that passes, or to a record of facts whose value is read.
fn is_passing<'n>(mut names: impl Iterator<Item = &'n SmolStr>, reads: Reads) -> bool {
    if names.next().map(SmolStr::as_str) != Some(FACTS) {
        return false;
    }
    match names.next() {
        Some(fact) => !LASTING.contains(&fact.as_str()),
        None => reads == Reads::Value,
    }
}

#[cfg(test)]
mod tests {
    use cedar_policy_core::ast::Policy;

    use super::*;
    use crate::rules::names::Names;

    fn check(condition: &str, expected: bool) {
        let text = format!("permit (principal, action, resource) when {{ {condition} }};");
        let policy: cedar_policy::Policy = text.parse().unwrap();
        let core: &Policy = policy.as_ref();
        let condition_of = core.non_scope_constraints().map(|expr| Node::prepare(expr, &mut Names::default()));
        assert_eq!(condition_of.as_ref().is_some_and(reads_passing), expected, "{condition}");
    }

    #[test]
    fn time_age_and_address_pass() {
        for condition in [
            "context.facts.now < datetime(\"2030-01-01\")",
            "context.facts.snapshot_age_s < 5",
            "context.facts has ip",
            "context has facts.ip",
            "context.facts has ip && context.facts.ip.isLoopback()",
            "!(principal.x && context.facts.ip == resource.ip)",
            "context == resource.wanted",
            "context.facts == resource.wanted",
            "[context.facts].contains(resource.wanted)",
            "{a: context.facts.now}.a == resource.at",
            "if principal.x then context.facts.ip.isLoopback() else true",
            "context.facts.now.toTime() < duration(\"9h\")",
            "context.facts.risk.level > 2",
            "context.facts has unheard_of",
        ] {
            check(condition, true);
        }
    }

    #[test]
    fn what_is_asked_lasts() {
        for condition in [
            "true",
            "principal.now == resource.ip",
            "context.now < datetime(\"2030-01-01\")",
            "context.facts.channel == \"grpc\"",
            "context.facts has channel",
            "context has facts",
            "context has facts.channel",
            "context.x.facts.now == 1",
            "principal in resource.readers && resource.tags.containsAny([context.tag])",
        ] {
            check(condition, false);
        }
    }
}
