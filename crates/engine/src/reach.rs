//! How many attribute hops a policy can make at most, as far as its form tells.

use cedar_policy_core::ast::{BinaryOp, Expr, ExprKind};

/// The most hops that Cedar's level validation (RFC 76) can count in a condition that strict validation accepts, with
/// whatever schema; `None` where it may refuse it at every level, as an attribute of an entity that is named.
///
/// Whatever asks something of an entity is a hop behind what leads to that entity. Every attribute on the way counts as
/// one here, those of records, too, since types are not known: that is never too few.
pub(crate) fn reach(condition: &Expr) -> Option<u32> {
    condition.subexpressions().map(hops).try_fold(0, |most, hops| Some(hops?.max(most)))
}

/// Of one expression, without its parts.
fn hops(expr: &Expr) -> Option<u32> {
    let (of, hops) = if let ExprKind::GetAttr { expr, .. } | ExprKind::HasAttr { expr, .. } = expr.expr_kind() {
        (expr, 1)
    } else if let ExprKind::BinaryApp { op: BinaryOp::In | BinaryOp::GetTag | BinaryOp::HasTag, arg1, .. } =
        expr.expr_kind()
    {
        (arg1, 1)
    } else if let ExprKind::ExtHasAttr { expr, attrs } = expr.expr_kind() {
        (expr, u32::try_from(attrs.len()).ok()?)
    } else {
        return Some(0);
    };
    led_to(of)?.checked_add(hops)
}

/// The hops that lead to an entity, or to a record that one may lie in; `None` where they begin at anything but a party
/// or the context of the request.
fn led_to(expr: &Expr) -> Option<u32> {
    if let ExprKind::GetAttr { expr, .. } | ExprKind::BinaryApp { op: BinaryOp::GetTag, arg1: expr, .. } =
        expr.expr_kind()
    {
        return led_to(expr)?.checked_add(1);
    }
    matches!(expr.expr_kind(), ExprKind::Var(_)).then_some(0)
}
