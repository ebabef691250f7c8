//! Where in a condition it is that evaluation fails.

use cedar_policy_core::ast::{BinaryOp, Expr, ExprKind, Literal, UnaryOp, ValueKind};

use super::harness::Examined;

/// Tells the operators that lead to what fails, each with the operand that it lies in, and last what fails itself.
pub(super) fn positions(examined: &Examined<'_>, failing: &Expr, tell: &mut impl FnMut(String)) {
    let (operator, operands) = evaluated(examined, failing);
    match operands.into_iter().find(|(_, operand)| examined.value(operand).is_none()) {
        Some((place, operand)) => {
            tell(format!("{operator}: {place}"));
            positions(examined, operand, tell);
        }
        None => tell(format!("{operator} itself")),
    }
}

type Operands<'a> = Vec<(&'static str, &'a Expr)>;

/// What an expression is, and those of its operands that are evaluated, in order.
fn evaluated<'a>(examined: &Examined<'_>, expr: &'a Expr) -> (&'static str, Operands<'a>) {
    let truth = |of: &Expr| {
        let value = examined.value(of)?;
        if let ValueKind::Lit(Literal::Bool(it)) = value.value { Some(it) } else { None }
    };
    let one = |place, operand: &'a std::sync::Arc<Expr>| vec![(place, &**operand)];
    match expr.expr_kind() {
        ExprKind::If { test_expr, then_expr, else_expr } => {
            let branch = truth(test_expr).map(|it| if it { ("then", &**then_expr) } else { ("else", &**else_expr) });
            ("if", std::iter::once(("test", &**test_expr)).chain(branch).collect())
        }
        ExprKind::And { left, right } => ("and", logic(left, right, truth(left) == Some(true))),
        ExprKind::Or { left, right } => ("or", logic(left, right, truth(left) == Some(false))),
        ExprKind::UnaryApp { op, arg } => {
            let operator = match op {
                UnaryOp::Not => "not",
                UnaryOp::Neg => "negation",
                UnaryOp::IsEmpty => "isEmpty",
            };
            (operator, one("operand", arg))
        }
        ExprKind::BinaryApp { op, arg1, arg2 } => {
            let operator = match op {
                BinaryOp::Eq => "equality",
                BinaryOp::Less | BinaryOp::LessEq => "order",
                BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul => "arithmetic",
                BinaryOp::In => "in",
                BinaryOp::Contains | BinaryOp::ContainsAll | BinaryOp::ContainsAny => "sets",
                BinaryOp::GetTag | BinaryOp::HasTag => "tag",
            };
            (operator, vec![("left", arg1), ("right", arg2)])
        }
        ExprKind::ExtensionFunctionApp { args, .. } => {
            ("call", args.iter().enumerate().map(|(at, arg)| (if at == 0 { "first" } else { "second" }, arg)).collect())
        }
        ExprKind::GetAttr { expr, .. } => ("get", one("holder", expr)),
        ExprKind::HasAttr { expr, .. } | ExprKind::ExtHasAttr { expr, .. } => ("has", one("holder", expr)),
        ExprKind::Like { expr, .. } => ("like", one("text", expr)),
        ExprKind::Is { expr, .. } => ("is", one("entity", expr)),
        ExprKind::Set(items) => ("set", items.iter().map(|item| ("item", item)).collect()),
        ExprKind::Record(fields) => ("record", fields.values().map(|field| ("field", field)).collect()),
        ExprKind::Lit(_) | ExprKind::Var(_) | ExprKind::Slot(_) | ExprKind::Unknown(_) => ("leaf", Vec::new()),
    }
}

fn logic<'a>(left: &'a Expr, right: &'a Expr, goes_on: bool) -> Operands<'a> {
    std::iter::once(("left", left)).chain(goes_on.then_some(("right", right))).collect()
}

/// Every operand that can fail, and everything that can fail itself.
pub(super) const POSITIONS: [&str; 42] = [
    "if: test",
    "if: then",
    "if: else",
    "if itself",
    "and: left",
    "and: right",
    "and itself",
    "or: left",
    "or: right",
    "or itself",
    "not: operand",
    "not itself",
    "negation: operand",
    "negation itself",
    "isEmpty: operand",
    "isEmpty itself",
    "equality: left",
    "equality: right",
    "order: left",
    "order: right",
    "order itself",
    "arithmetic: left",
    "arithmetic: right",
    "arithmetic itself",
    "in: left",
    "in: right",
    "in itself",
    "sets: left",
    "sets: right",
    "sets itself",
    "tag: left",
    "tag itself",
    "call: first",
    "call: second",
    "call itself",
    "get: holder",
    "get itself",
    "has: holder",
    "like: text",
    "is: entity",
    "set: item",
    "record: field",
];
