//! Conditions prepared once.

use std::borrow::Cow;
use std::sync::Arc;

use cedar_policy_core::ast::{
    BinaryOp, EntityType, EntityUID, Expr, ExprKind, ExtensionFunction, Literal, Pattern, UnaryOp, Value, ValueKind,
    Var,
};
use cedar_policy_core::extensions::Extensions;
use smol_str::SmolStr;

use super::asked::Asked;
use super::evaluation::Evaluation;
use super::names::{NameId, Naming};

/// A prepared expression: the shape of Cedar's, with what does not depend on the request already evaluated, and
/// entities that are named known by number.
#[derive(Debug)]
pub(crate) enum Node {
    Value(Value),
    Var(Var),
    /// `context.a.b`.
    Context(Box<[SmolStr]>),
    If(Box<(Node, Node, Node)>),
    And(Box<(Node, Node)>),
    Or(Box<(Node, Node)>),
    Not(Box<Node>),
    /// Of `-` and `isEmpty`.
    Unary(UnaryOp, Box<Node>),
    Equal(Box<(Node, Node)>),
    /// Of `<` and `<=`.
    Order(BinaryOp, Box<(Node, Node)>),
    /// Of `+`, `-` and `*`.
    Arithmetic(BinaryOp, Box<(Node, Node)>),
    /// Of `contains`, `containsAll` and `containsAny`.
    Sets(BinaryOp, Box<(Node, Node)>),
    In(Box<(Node, Node)>),
    /// `in` an entity, or a set of entities, that are named.
    InNamed(Box<Node>, Box<[Named]>),
    GetTag(Box<(Node, Node)>),
    HasTag(Box<(Node, Node)>),
    Get(Box<Node>, SmolStr),
    /// One name, or several that follow one another.
    Has(Box<Node>, Box<[SmolStr]>),
    Like(Box<Node>, Pattern),
    Is(Box<Node>, EntityType),
    Set(Box<[Node]>),
    Record(Box<[(SmolStr, Node)]>),
    Call(&'static ExtensionFunction, Box<[Node]>),
    /// What no policy holds that can be evaluated: a slot that is not filled, an unknown.
    Never,
}

/// An entity that a policy names.
#[derive(Debug, Clone)]
pub(crate) struct Named {
    pub(super) id: NameId,
    pub(super) uid: Arc<EntityUID>,
}

impl Node {
    /// Prepares an expression, bottom up. What is constant and has a value becomes that value; what is constant and
    /// fails stays as it is, to fail when and if it is evaluated.
    pub(super) fn prepare(expr: &Expr, names: &mut impl Naming) -> Self {
        let node = Self::translate(expr, names);
        if node.is_constant() {
            let value = Evaluation::of(&Asked::nothing()).value(&node).map(Cow::into_owned);
            if let Ok(value) = value {
                return Self::Value(value);
            }
        }
        node
    }

    fn translate(expr: &Expr, names: &mut impl Naming) -> Self {
        let mut one = |expr: &Expr| Self::prepare(expr, names);
        match expr.expr_kind() {
            ExprKind::Lit(literal) => Self::Value(literal.clone().into()),
            ExprKind::Var(var) => Self::Var(*var),
            ExprKind::If { test_expr, then_expr, else_expr } => {
                Self::If(Box::new((one(test_expr), one(then_expr), one(else_expr))))
            }
            ExprKind::And { left, right } => Self::And(Box::new((one(left), one(right)))),
            ExprKind::Or { left, right } => Self::Or(Box::new((one(left), one(right)))),
            ExprKind::UnaryApp { op: UnaryOp::Not, arg } => Self::Not(Box::new(one(arg))),
            ExprKind::UnaryApp { op: op @ (UnaryOp::Neg | UnaryOp::IsEmpty), arg } => {
                Self::Unary(*op, Box::new(one(arg)))
            }
            ExprKind::BinaryApp { op, arg1, arg2 } => {
                let operands = Box::new((one(arg1), one(arg2)));
                Self::binary(*op, operands, names)
            }
            ExprKind::ExtensionFunctionApp { fn_name, args } => match Extensions::all_available().func(fn_name) {
                Ok(function) => Self::Call(function, args.iter().map(one).collect()),
                Err(_) => Self::Never,
            },
            ExprKind::GetAttr { expr, attr } => {
                let of = one(expr);
                if let Self::Context(path) = &of {
                    Self::Context(path.iter().chain([attr]).cloned().collect())
                } else if matches!(of, Self::Var(Var::Context)) {
                    Self::Context([attr.clone()].into())
                } else {
                    Self::Get(Box::new(of), attr.clone())
                }
            }
            ExprKind::HasAttr { expr, attr } => Self::Has(Box::new(one(expr)), [attr.clone()].into()),
            ExprKind::ExtHasAttr { expr, attrs } => Self::Has(Box::new(one(expr)), attrs.iter().cloned().collect()),
            ExprKind::Like { expr, pattern } => Self::Like(Box::new(one(expr)), pattern.clone()),
            ExprKind::Is { expr, entity_type } => Self::Is(Box::new(one(expr)), entity_type.clone()),
            ExprKind::Set(items) => Self::Set(items.iter().map(one).collect()),
            ExprKind::Record(fields) => {
                Self::Record(fields.iter().map(|(name, expr)| (name.clone(), one(expr))).collect())
            }
            ExprKind::Slot(_) | ExprKind::Unknown(_) => Self::Never,
        }
    }

    fn binary(op: BinaryOp, operands: Box<(Self, Self)>, names: &mut impl Naming) -> Self {
        match op {
            BinaryOp::Eq => Self::Equal(operands),
            BinaryOp::Less | BinaryOp::LessEq => Self::Order(op, operands),
            BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul => Self::Arithmetic(op, operands),
            BinaryOp::Contains | BinaryOp::ContainsAll | BinaryOp::ContainsAny => Self::Sets(op, operands),
            BinaryOp::GetTag => Self::GetTag(operands),
            BinaryOp::HasTag => Self::HasTag(operands),
            BinaryOp::In => match literals(&operands.1, names) {
                Some(targets) => Self::InNamed(Box::new(operands.0), targets),
                None => Self::In(operands),
            },
        }
    }

    /// Whether it depends on nothing of the request. Its parts were prepared: those that are constant and have a
    /// value are values.
    fn is_constant(&self) -> bool {
        let value = |node: &Self| matches!(node, Self::Value(_));
        match self {
            // The last four ask what entities are like.
            Self::Value(_)
            | Self::Var(_)
            | Self::Context(_)
            | Self::Never
            | Self::In(_)
            | Self::InNamed(..)
            | Self::GetTag(_)
            | Self::HasTag(_) => false,
            Self::Get(of, _) => matches!(&**of, Self::Value(value) if !is_entity(&value.value)),
            // Behind the first name there may be an entity.
            Self::Has(of, names) => names.len() == 1 && matches!(&**of, Self::Value(value) if !is_entity(&value.value)),
            Self::If(parts) => value(&parts.0) && value(&parts.1) && value(&parts.2),
            Self::And(parts)
            | Self::Or(parts)
            | Self::Equal(parts)
            | Self::Order(_, parts)
            | Self::Arithmetic(_, parts)
            | Self::Sets(_, parts) => value(&parts.0) && value(&parts.1),
            Self::Not(part) | Self::Unary(_, part) | Self::Like(part, _) | Self::Is(part, _) => value(part),
            Self::Set(items) | Self::Call(_, items) => items.iter().all(value),
            Self::Record(fields) => fields.iter().all(|(_, part)| value(part)),
        }
    }
}

fn is_entity(value: &ValueKind) -> bool {
    matches!(value, ValueKind::Lit(Literal::EntityUID(_)))
}

/// The entities that the right side of an `in` names, if it is a constant that holds nothing else.
fn literals(right: &Node, names: &mut impl Naming) -> Option<Box<[Named]>> {
    let Node::Value(value) = right else { return None };
    let mut one = |kind: &ValueKind| match kind {
        ValueKind::Lit(Literal::EntityUID(uid)) => Some(Named { id: names.number(uid)?, uid: Arc::clone(uid) }),
        ValueKind::Lit(_) | ValueKind::Set(_) | ValueKind::Record(_) | ValueKind::ExtensionValue(_) => None,
    };
    if let ValueKind::Set(set) = &value.value {
        return set.iter().map(|item| one(&item.value)).collect();
    }
    one(&value.value).map(|named| [named].into())
}
