//! What of a policy its validation depends on: policies of one shape are accepted together.
//!
//! Large sets consist of few forms, over and over, about other users, groups and resources. Cedar types each of them
//! under every request environment of the schema, which is most of what a start takes; here it does so once a form.
//!
//! **Why that accepts nothing else.** Validation reads the uid of an entity only
//!
//! - where an action is named: it is looked up in the schema, with the actions that it belongs to;
//! - where its type is enumerated: the id must be one of the declared;
//! - through its type, wherever else it is typed;
//! - in `==` between two literals, and where what one clause found out counts in another (`X has a && X.a`): only
//!   whether two are the same;
//! - for characters that confuse readers (mixed scripts, directions): none of them is printable ASCII.
//!
//! So a one-to-one change of uids that keeps types, and leaves actions and enumerated uids and ids with other
//! characters alone, turns a policy that is accepted with so many attribute hops into another such policy. A shape is a
//! policy with these uids replaced by their number in the order in which they appear: two policies of one shape differ
//! by such a change, but for annotations and places in the text, which validation reads only to tell what is wrong.
//! What is not accepted, or warned of, has no place here: it is validated by itself.

use std::collections::HashMap;
use std::io::Write as _;

use cedar_policy_core::ast::{
    self, ActionConstraint, EntityReference, EntityUID, Expr, ExprKind, Literal, PatternElem,
    PrincipalOrResourceConstraint,
};
use cedar_policy_core::validator::{ValidatorEntityTypeKind, ValidatorSchema};

/// The shape of a policy.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Shape(Box<[u8]>);

impl Shape {
    /// Of a policy; `None` where it has a slot or an unknown.
    pub(crate) fn of(policy: &ast::Policy, schema: &ValidatorSchema) -> Option<Self> {
        let mut writing = Writing { schema, bytes: Vec::with_capacity(256), numbers: HashMap::new() };
        let template = policy.template();
        writing.party(template.principal_constraint().as_inner())?;
        writing.action(template.action_constraint());
        writing.party(template.resource_constraint().as_inner())?;
        match template.non_scope_constraints() {
            Some(condition) => writing.expression(condition)?,
            None => writing.byte(END),
        }
        Some(Self(writing.bytes.into()))
    }
}

/// Ends a text, and stands where something that may be there is not: no byte of UTF-8.
const END: u8 = 0xff;

/// What is written can be read back: every text ends, every list tells its length, and a byte before each part tells
/// which one it is. So different policies are written differently, but for what a shape leaves out.
struct Writing<'a> {
    schema: &'a ValidatorSchema,
    bytes: Vec<u8>,
    /// Uids that were replaced.
    numbers: HashMap<&'a EntityUID, u32>,
}

impl<'a> Writing<'a> {
    fn byte(&mut self, byte: u8) {
        self.bytes.push(byte);
    }

    fn text(&mut self, text: &str) {
        self.bytes.extend_from_slice(text.as_bytes());
        self.byte(END);
    }

    fn shown(&mut self, shown: &impl std::fmt::Display) {
        let _never_fails = write!(self.bytes, "{shown}");
        self.byte(END);
    }

    fn count(&mut self, count: usize) {
        self.bytes.extend_from_slice(&(count as u64).to_le_bytes());
    }

    fn uid(&mut self, uid: &'a EntityUID) {
        self.shown(uid.entity_type());
        match self.is_interchangeable(uid) {
            true => {
                let next = u32::try_from(self.numbers.len()).unwrap_or(u32::MAX);
                let number = *self.numbers.entry(uid).or_insert(next);
                self.byte(1);
                self.bytes.extend_from_slice(&number.to_le_bytes());
            }
            false => {
                self.byte(0);
                self.text(uid.eid().as_ref());
            }
        }
    }

    /// Whether another uid of its type would do as well.
    fn is_interchangeable(&self, uid: &EntityUID) -> bool {
        let kind = self.schema.get_entity_type(uid.entity_type()).map(|it| &it.kind);
        let id: &str = uid.eid().as_ref();
        !uid.is_action()
            && matches!(kind, Some(ValidatorEntityTypeKind::Standard(_)))
            && id.bytes().all(|byte| (b' '..=b'~').contains(&byte))
    }

    fn party(&mut self, constraint: &'a PrincipalOrResourceConstraint) -> Option<()> {
        let uid = |reference: &'a EntityReference| match reference {
            EntityReference::EUID(uid) => Some(&**uid),
            EntityReference::Slot(_) => None,
        };
        match constraint {
            PrincipalOrResourceConstraint::Any => self.byte(0),
            PrincipalOrResourceConstraint::Is(name) => {
                self.byte(1);
                self.shown(name);
            }
            PrincipalOrResourceConstraint::Eq(to) => {
                self.byte(2);
                self.uid(uid(to)?);
            }
            PrincipalOrResourceConstraint::In(of) => {
                self.byte(3);
                self.uid(uid(of)?);
            }
            PrincipalOrResourceConstraint::IsIn(name, of) => {
                self.byte(4);
                self.shown(name);
                self.uid(uid(of)?);
            }
        }
        Some(())
    }

    fn action(&mut self, constraint: &'a ActionConstraint) {
        match constraint {
            ActionConstraint::Any => self.byte(0),
            ActionConstraint::Eq(uid) => {
                self.byte(1);
                self.uid(uid);
            }
            ActionConstraint::In(uids) => {
                self.byte(2);
                self.count(uids.len());
                uids.iter().for_each(|uid| self.uid(uid));
            }
        }
    }

    fn all(&mut self, kind: u8, parts: &[&'a Expr]) -> Option<()> {
        self.byte(kind);
        parts.iter().try_for_each(|part| self.expression(part))
    }

    fn list(&mut self, kind: u8, parts: &'a [Expr]) -> Option<()> {
        self.byte(kind);
        self.count(parts.len());
        parts.iter().try_for_each(|part| self.expression(part))
    }

    fn expression(&mut self, expr: &'a Expr) -> Option<()> {
        match expr.expr_kind() {
            ExprKind::Lit(Literal::Bool(it)) => self.bytes.extend_from_slice(&[0, u8::from(*it)]),
            ExprKind::Lit(Literal::Long(it)) => {
                self.byte(1);
                self.bytes.extend_from_slice(&it.to_le_bytes());
            }
            ExprKind::Lit(Literal::String(it)) => {
                self.byte(2);
                self.text(it);
            }
            ExprKind::Lit(Literal::EntityUID(uid)) => {
                self.byte(3);
                self.uid(uid);
            }
            ExprKind::Var(var) => {
                self.byte(4);
                self.shown(var);
            }
            ExprKind::If { test_expr, then_expr, else_expr } => self.all(5, &[test_expr, then_expr, else_expr])?,
            ExprKind::And { left, right } => self.all(6, &[left, right])?,
            ExprKind::Or { left, right } => self.all(7, &[left, right])?,
            ExprKind::UnaryApp { op, arg } => {
                self.byte(8);
                self.shown(op);
                self.expression(arg)?;
            }
            ExprKind::BinaryApp { op, arg1, arg2 } => {
                self.byte(9);
                self.shown(op);
                self.expression(arg1)?;
                self.expression(arg2)?;
            }
            ExprKind::ExtensionFunctionApp { fn_name, args } => {
                self.byte(10);
                self.shown(fn_name);
                self.list(10, args)?;
            }
            ExprKind::GetAttr { expr, attr } => {
                self.all(11, &[expr])?;
                self.text(attr);
            }
            ExprKind::HasAttr { expr, attr } => {
                self.all(12, &[expr])?;
                self.text(attr);
            }
            ExprKind::ExtHasAttr { expr, attrs } => {
                self.all(13, &[expr])?;
                self.count(attrs.len());
                attrs.iter().for_each(|attr| self.text(attr));
            }
            ExprKind::Like { expr, pattern } => {
                self.all(14, &[expr])?;
                self.count(pattern.len());
                for element in pattern.iter() {
                    match element {
                        PatternElem::Char(c) => self.shown(c),
                        PatternElem::Wildcard => self.byte(END),
                    }
                }
            }
            ExprKind::Is { expr, entity_type } => {
                self.all(15, &[expr])?;
                self.shown(entity_type);
            }
            ExprKind::Set(items) => self.list(16, items)?,
            ExprKind::Record(fields) => {
                self.byte(17);
                self.count(fields.len());
                for (name, field) in fields.iter() {
                    self.text(name);
                    self.expression(field)?;
                }
            }
            ExprKind::Slot(_) | ExprKind::Unknown(_) => return None,
        }
        Some(())
    }
}
