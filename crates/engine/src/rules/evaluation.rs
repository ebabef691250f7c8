//! What a prepared condition comes to, for one request.
//!
//! Mirrors `cedar-policy-core`'s evaluator case by case: the same values, failures where it fails, and evaluation of
//! no more than it evaluates. Operators and functions are Cedar's own. That both agree is held by the tests of
//! `rules/tests`, over policies of every form.

use std::borrow::Cow;
use std::sync::Arc;

use cedar_policy_core::ast::{BinaryOp, EntityUID, Literal, PartialValue, Set, Value, ValueKind, Var};
use cedar_policy_core::evaluator::{binary_arith, binary_relation, unary_app};
use cedar_policy_core::extensions::Extensions;
use smol_str::SmolStr;

use super::asked::{Asked, Looked};
use super::entity::Entity;
use super::failure::Failure;
use super::node::{Named, Node};

/// An evaluation for one request.
pub(super) struct Evaluation<'e, 'a>(&'e Asked<'a>);

/// What an attribute is looked up in.
enum Holder<'a> {
    Entity(&'a Entity),
    Unknown(Arc<EntityUID>),
    Value(Cow<'a, Value>),
}

impl<'e, 'a: 'e> Evaluation<'e, 'a> {
    pub(super) fn of(asked: &'e Asked<'a>) -> Self {
        Self(asked)
    }

    /// The value of an expression that must be a boolean.
    pub(super) fn truth(&self, node: &'e Node) -> Result<bool, Failure> {
        match node {
            Node::And(both) => Ok(self.truth(&both.0)? && self.truth(&both.1)?),
            Node::Or(both) => Ok(self.truth(&both.0)? || self.truth(&both.1)?),
            Node::Not(operand) => Ok(!self.truth(operand)?),
            Node::If(parts) => self.truth(if self.truth(&parts.0)? { &parts.1 } else { &parts.2 }),
            Node::Equal(both) => Ok(self.value(&both.0)? == self.value(&both.1)?),
            Node::Order(op, both) => {
                let (left, right) = (self.value(&both.0)?, self.value(&both.1)?);
                order(*op, &left, &right)
            }
            Node::Sets(op, both) => {
                let (left, right) = (self.value(&both.0)?, self.value(&both.1)?);
                sets(*op, &left, &right)
            }
            Node::In(both) => {
                let (left, right) = (self.value(&both.0)?, self.value(&both.1)?);
                self.is_in(&left, &right)
            }
            Node::InNamed(left, named) => self.is_in_named(left, named),
            Node::HasTag(both) => {
                let (of, tag) = (self.value(&both.0)?, self.value(&both.1)?);
                let (uid, tag) = (entity_uid(&of)?, string(&tag)?);
                Ok(self.0.entity(uid).is_some_and(|entity| entity.tags.contains_key(tag)))
            }
            Node::Has(of, path) => self.has(of, path),
            Node::Like(text, pattern) => Ok(pattern.wildcard_match(string(&*self.value(text)?)?)),
            Node::Is(of, wanted) => Ok(entity_uid(&*self.value(of)?)?.entity_type() == wanted),
            Node::Value(_)
            | Node::Var(_)
            | Node::Context(_)
            | Node::Unary(..)
            | Node::Arithmetic(..)
            | Node::GetTag(_)
            | Node::Get(..)
            | Node::Set(_)
            | Node::Record(_)
            | Node::Call(..)
            | Node::Never => boolean(&*self.value(node)?),
        }
    }

    /// The value of an expression.
    pub(super) fn value(&self, node: &'e Node) -> Result<Cow<'e, Value>, Failure> {
        match node {
            Node::Value(value) => Ok(Cow::Borrowed(value)),
            Node::Var(Var::Context) => self.0.given.whole().map(Cow::Owned),
            Node::Var(var) => Ok(Cow::Borrowed(&self.0.party(*var)?.value)),
            Node::Context(path) => self.in_context(path),
            Node::If(parts) => self.value(if self.truth(&parts.0)? { &parts.1 } else { &parts.2 }),
            Node::Unary(op, operand) => Ok(Cow::Owned(unary_app(*op, self.value(operand)?.into_owned(), None)?)),
            Node::Arithmetic(op, both) => {
                let (left, right) = (self.value(&both.0)?, self.value(&both.1)?);
                Ok(Cow::Owned(binary_arith(*op, left.into_owned(), right.into_owned(), None)?))
            }
            Node::GetTag(both) => {
                let (of, tag) = (self.value(&both.0)?, self.value(&both.1)?);
                let (uid, tag) = (entity_uid(&of)?, string(&tag)?);
                let entity = self.0.entity(uid).ok_or_else(|| Failure::NoEntity(Arc::clone(uid)))?;
                entity.tags.get(tag).map(Cow::Borrowed).ok_or_else(|| Failure::NoTag(tag.clone()))
            }
            Node::Get(of, name) => get(self.holder(of)?, name),
            Node::Set(items) => {
                let items = items.iter().map(|item| Ok(self.value(item)?.into_owned()));
                Ok(Cow::Owned(Value::set(items.collect::<Result<Vec<_>, Failure>>()?, None)))
            }
            Node::Record(fields) => {
                let fields = fields.iter().map(|(name, value)| Ok((name.clone(), self.value(value)?.into_owned())));
                Ok(Cow::Owned(Value::record(fields.collect::<Result<Vec<_>, Failure>>()?, None)))
            }
            Node::Call(function, operands) => {
                let operands = operands.iter().map(|operand| Ok(self.value(operand)?.into_owned()));
                match function.call(&operands.collect::<Result<Vec<_>, Failure>>()?)? {
                    PartialValue::Value(value) => Ok(Cow::Owned(value)),
                    PartialValue::Residual(_) => Err(Failure::NotEvaluable),
                }
            }
            Node::Never => Err(Failure::NotEvaluable),
            Node::And(_)
            | Node::Or(_)
            | Node::Not(_)
            | Node::Equal(_)
            | Node::Order(..)
            | Node::Sets(..)
            | Node::In(_)
            | Node::InNamed(..)
            | Node::HasTag(_)
            | Node::Has(..)
            | Node::Like(..)
            | Node::Is(..) => Ok(Cow::Owned(self.truth(node)?.into())),
        }
    }

    fn is_in(&self, left: &Value, right: &Value) -> Result<bool, Failure> {
        let uid = entity_uid(left)?;
        let entity = self.0.entity(uid);
        let is_in = |target: &EntityUID| match entity {
            Some(entity) => self.0.is_in(entity, target),
            None => **uid == *target,
        };
        match &right.value {
            ValueKind::Lit(Literal::EntityUID(target)) => Ok(is_in(target)),
            // All of it must be entities, whichever comes first.
            ValueKind::Set(set) => {
                let targets: Vec<_> = set.iter().map(entity_uid).collect::<Result<_, _>>()?;
                Ok(targets.into_iter().any(|target| is_in(target)))
            }
            ValueKind::Lit(_) | ValueKind::Record(_) | ValueKind::ExtensionValue(_) => {
                Err(Failure::wanted("an entity or a set of entities", right))
            }
        }
    }

    fn is_in_named(&self, left: &'e Node, named: &[Named]) -> Result<bool, Failure> {
        match self.holder(left)? {
            Holder::Entity(entity) => Ok(self.0.is_in_named(entity, named)),
            Holder::Unknown(uid) => Ok(named.iter().any(|it| it.uid == uid)),
            Holder::Value(value) => Err(Failure::wanted("an entity", &value)),
        }
    }

    /// What an expression stands for, as something that has attributes.
    fn holder(&self, node: &'e Node) -> Result<Holder<'e>, Failure> {
        if let Node::Var(var @ (Var::Principal | Var::Action | Var::Resource)) = node {
            return Ok(Holder::Entity(self.0.party(*var)?));
        }
        Ok(self.holder_of(self.value(node)?))
    }

    /// `has` of several names looks for one after the other, and is false where one is missing.
    fn has(&self, of: &'e Node, names: &[SmolStr]) -> Result<bool, Failure> {
        // In the context, what is looked for need not become a value.
        let before: Option<&[SmolStr]> = if let Node::Context(path) = of {
            Some(path)
        } else {
            matches!(of, Node::Var(Var::Context)).then_some(&[])
        };
        if let Some(before) = before {
            match self.0.given.look(before.iter().chain(names))? {
                Looked::Missing(at) if at >= before.len() => return Ok(false),
                Looked::Record(_) => return Ok(true),
                Looked::Value(_, used) if used == before.len() + names.len() => return Ok(true),
                Looked::Missing(_) | Looked::Value(..) => {}
            }
        }
        let mut holder = self.holder(of)?;
        for (at, name) in names.iter().enumerate() {
            let found = match &holder {
                Holder::Entity(entity) => entity.attributes.contains_key(name),
                Holder::Unknown(_) => false,
                Holder::Value(value) => record(value)?.contains_key(name),
            };
            if !found {
                return Ok(false);
            }
            if at + 1 < names.len() {
                holder = self.holder_of(get(holder, name)?);
            }
        }
        Ok(true)
    }

    /// A value in the context; where an entity lies on the way, its attributes are what follows.
    fn in_context(&self, path: &[SmolStr]) -> Result<Cow<'e, Value>, Failure> {
        match self.0.given.look(path.iter())? {
            Looked::Missing(at) => Err(path.get(at).map_or(Failure::NotEvaluable, no_attribute)),
            Looked::Record(record) => self.0.given.record(record).map(Cow::Owned),
            Looked::Value(value, used) => {
                let start = Cow::Owned(self.0.given.value(value)?);
                path.iter().skip(used).try_fold(start, |value, name| get(self.holder_of(value), name))
            }
        }
    }

    fn holder_of(&self, value: Cow<'e, Value>) -> Holder<'e> {
        match &value.value {
            ValueKind::Lit(Literal::EntityUID(uid)) => {
                self.0.entity(uid).map_or_else(|| Holder::Unknown(Arc::clone(uid)), Holder::Entity)
            }
            ValueKind::Lit(_) | ValueKind::Set(_) | ValueKind::Record(_) | ValueKind::ExtensionValue(_) => {
                Holder::Value(value)
            }
        }
    }
}

/// An attribute that must be there.
fn get<'e>(of: Holder<'e>, name: &SmolStr) -> Result<Cow<'e, Value>, Failure> {
    let missing = || no_attribute(name);
    match of {
        Holder::Entity(entity) => entity.attributes.get(name).map(Cow::Borrowed).ok_or_else(missing),
        Holder::Unknown(uid) => Err(Failure::NoEntity(uid)),
        Holder::Value(Cow::Borrowed(value)) => record(value)?.get(name).map(Cow::Borrowed).ok_or_else(missing),
        Holder::Value(Cow::Owned(value)) => {
            record(&value)?.get(name).map(|value| Cow::Owned(value.clone())).ok_or_else(missing)
        }
    }
}

fn no_attribute(name: &SmolStr) -> Failure {
    Failure::NoAttribute(name.clone())
}

fn order(op: BinaryOp, left: &Value, right: &Value) -> Result<bool, Failure> {
    match (&left.value, &right.value) {
        (ValueKind::Lit(Literal::Long(left)), ValueKind::Lit(Literal::Long(right))) => {
            Ok(if op == BinaryOp::Less { left < right } else { left <= right })
        }
        _ => boolean(&binary_relation(op, left, right, Extensions::all_available())?),
    }
}

fn sets(op: BinaryOp, left: &Value, right: &Value) -> Result<bool, Failure> {
    let of = set(left)?;
    match op {
        BinaryOp::Contains => Ok(of.contains(right)),
        BinaryOp::ContainsAll => Ok(set(right)?.is_subset(of)),
        BinaryOp::ContainsAny => Ok(!of.is_disjoint(set(right)?)),
        BinaryOp::Eq
        | BinaryOp::Less
        | BinaryOp::LessEq
        | BinaryOp::Add
        | BinaryOp::Sub
        | BinaryOp::Mul
        | BinaryOp::In
        | BinaryOp::GetTag
        | BinaryOp::HasTag => Err(Failure::NotEvaluable),
    }
}

fn boolean(value: &Value) -> Result<bool, Failure> {
    let ValueKind::Lit(Literal::Bool(it)) = &value.value else { return Err(Failure::wanted("a boolean", value)) };
    Ok(*it)
}

fn string(value: &Value) -> Result<&SmolStr, Failure> {
    let ValueKind::Lit(Literal::String(it)) = &value.value else { return Err(Failure::wanted("a string", value)) };
    Ok(it)
}

fn entity_uid(value: &Value) -> Result<&Arc<EntityUID>, Failure> {
    let ValueKind::Lit(Literal::EntityUID(it)) = &value.value else { return Err(Failure::wanted("an entity", value)) };
    Ok(it)
}

fn set(value: &Value) -> Result<&Set, Failure> {
    let ValueKind::Set(it) = &value.value else { return Err(Failure::wanted("a set", value)) };
    Ok(it)
}

fn record(value: &Value) -> Result<&std::collections::BTreeMap<SmolStr, Value>, Failure> {
    let ValueKind::Record(it) = &value.value else { return Err(Failure::wanted("an entity or a record", value)) };
    Ok(it)
}
