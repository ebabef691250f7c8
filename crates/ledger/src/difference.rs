//! A decision that was made in two ways that do not agree, as an act tells it.

use magistrate_model::{Cause, Digest, PolicyId, Question, Revision, Verdict};
use minicbor::decode::Error;

use crate::act::text;
use crate::cbor::{self, Encoded, In, Out, all, fixed, optional, parsed, put_all, put_digest, put_optional};
use crate::decision::DecisionRecord;
use crate::leaf;
use crate::private::{PrivateFields, leave_out};
use crate::refused::Asked;
use crate::stream::{DecisionId, StreamId};

/// Separates digests of questions from every other use of SHA-256.
const DOMAIN: &[u8] = b"magistrate/question/1";

/// A decision that is made otherwise the second time. INVARIANT: it tells no context, no attributes and no secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DifferingDecision {
    /// The record of the decision, if it has one.
    pub decision: Option<DecisionId>,
    /// The digest of what was asked and known, see [`question_digest`].
    pub question: Digest,
    /// What was asked: uids alone.
    pub asked: Asked,
    /// The administrative state that answered.
    pub revision: Revision,
    /// The policy set that answered.
    pub policy_set: Digest,
    /// What was answered.
    pub answered: Answered,
    /// How it was made the second time.
    pub second: SecondWay,
    /// What was said then.
    pub says: Answered,
}

/// How a decision was made the second time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecondWay {
    /// By Cedar's own authorizer.
    Authorizer,
    /// By evaluation, where an earlier answer had been used again.
    Evaluation,
}

impl SecondWay {
    /// How it is named.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Authorizer => "authorizer",
            Self::Evaluation => "evaluation",
        }
    }

    /// The number of the kind of act.
    pub(crate) const fn kind(self) -> u8 {
        match self {
            Self::Authorizer => 7,
            Self::Evaluation => 9,
        }
    }
}

/// What a way of deciding comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// Why, and thereby what.
    pub cause: Cause,
    /// The policies that determine it.
    pub determining: Policies,
    /// The policies that could not be evaluated.
    pub errored: Policies,
}

/// The first of some policies, and how many there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policies {
    /// At most [`Policies::MOST`] of them, in the order of their ids.
    pub first: Vec<PolicyId>,
    /// All of them.
    pub count: u64,
}

impl Policies {
    /// Policies that are named: what holds many more tells little more.
    pub const MOST: usize = 16;

    fn of(policies: &[PolicyId]) -> Self {
        Self { first: policies.iter().take(Self::MOST).cloned().collect(), count: policies.len() as u64 }
    }

    fn put(&self, out: &mut Out<'_>) -> Encoded {
        put_all(out.array(2)?, self.first.iter(), |out, it| out.str(it.as_str()).map(drop))?;
        out.u64(self.count).map(drop)
    }

    fn take(input: &mut In<'_>) -> Result<Self, Error> {
        cbor::expect_array(input, 2)?;
        let (first, count) = (all(input, parsed)?, input.u64()?);
        match first.len() as u64 == count.min(Self::MOST as u64) {
            true => Ok(Self { first, count }),
            false => {
                Err(cbor::refused(format_args!("an act names as many policies as there are, up to {}", Self::MOST)))
            }
        }
    }
}

impl Answered {
    /// Of a verdict.
    pub fn of(verdict: &Verdict) -> Self {
        Self {
            cause: verdict.cause,
            determining: Policies::of(&verdict.determining),
            errored: Policies::of(&verdict.errored),
        }
    }

    fn put(&self, out: &mut Out<'_>) -> Encoded {
        out.array(3)?.str(self.cause.name())?;
        self.determining.put(out)?;
        self.errored.put(out)
    }

    fn take(input: &mut In<'_>) -> Result<Self, Error> {
        cbor::expect_array(input, 3)?;
        let cause = Cause::named(input.str()?).ok_or_else(|| cbor::refused("a cause that is not known"))?;
        Ok(Self { cause, determining: Policies::take(input)?, errored: Policies::take(input)? })
    }
}

/// Items of its array, the number of its kind in front of them.
pub(crate) const LENGTH: u64 = 10;

impl DifferingDecision {
    pub(crate) fn put(&self, out: &mut Out<'_>) -> Encoded {
        put_optional(out, self.decision, |out, id| out.array(2)?.bytes(id.stream.as_bytes())?.u64(id.seq).map(drop))?;
        put_digest(out, &self.question)?;
        for part in [&self.asked.principal, &self.asked.action, &self.asked.resource] {
            put_optional(out, part.as_ref(), |out, part| out.str(part).map(drop))?;
        }
        put_digest(out.u64(self.revision.number())?, &self.policy_set)?;
        self.answered.put(out)?;
        self.says.put(out)
    }

    pub(crate) fn take(input: &mut In<'_>, second: SecondWay) -> Result<Self, Error> {
        Ok(Self {
            decision: optional(input, decision)?,
            question: cbor::digest(input)?,
            asked: Asked {
                principal: optional(input, text)?,
                action: optional(input, text)?,
                resource: optional(input, text)?,
            },
            revision: Revision::new(input.u64()?),
            policy_set: cbor::digest(input)?,
            answered: Answered::take(input)?,
            second,
            says: Answered::take(input)?,
        })
    }
}

fn decision(input: &mut In<'_>) -> Result<DecisionId, Error> {
    cbor::expect_array(input, 2)?;
    Ok(DecisionId { stream: StreamId::new(fixed(input)?), seq: input.u64()? })
}

/// The digest of a question: SHA-256 over what was asked and what was known, as a record of it tells them, but for values
/// that are private, which it does not tell. Equal questions have equal digests.
pub fn question_digest(question: &Question, verdict: &Verdict, private: &PrivateFields) -> Digest {
    let mut record = DecisionRecord::of(question, verdict);
    leave_out(&mut record, private);
    leaf::of(DOMAIN, &cbor::encode(|out| record.told().put_question(out)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::full;

    #[test]
    fn question_has_one_digest_whatever_was_answered_and_whatever_is_private() {
        let (question, verdict) = full(5, "text", Cause::Permitted);
        let none = PrivateFields::default();
        let digest = question_digest(&question, &verdict, &none);
        let other = Verdict { cause: Cause::Forbidden, revision: Revision::new(77), ..verdict.clone() };
        assert_eq!(question_digest(&question, &other, &none), digest);
        let mut later = question.clone();
        later.facts.instant = later.facts.instant.plus(magistrate_model::Span::seconds(1));
        assert_ne!(question_digest(&later, &verdict, &none), digest);
        let (name, _) = question.query.context.first_key_value().unwrap();
        let private = PrivateFields::parse(&[format!("context.{name}")]).unwrap();
        let hidden = question_digest(&question, &verdict, &private);
        assert_ne!(hidden, digest);
        let mut changed = question.clone();
        changed.query.context.insert(name.clone(), magistrate_model::Value::Long(123_456));
        assert_ne!(question_digest(&changed, &verdict, &none), digest);
        assert_eq!(question_digest(&changed, &verdict, &private), hidden, "a private value is not told");
    }

    #[test]
    fn as_many_policies_are_named_as_can_be_and_no_more() {
        let ids: Vec<PolicyId> = (0..40).map(|n| format!("p{n}").parse().unwrap()).collect();
        for (given, named) in [(0, 0), (15, 15), (16, 16), (17, 16), (40, 16)] {
            let policies = Policies::of(&ids[..given]);
            assert_eq!((policies.first.len(), policies.count), (named, given as u64));
            let bytes = cbor::encode(|out| policies.put(out));
            assert_eq!(Policies::take(&mut In::new(&bytes)).unwrap(), policies);
        }
        for (first, count) in [(17, 17), (3, 4), (3, 2), (0, 1)] {
            let forged = Policies { first: ids[..first].to_vec(), count };
            let bytes = cbor::encode(|out| forged.put(out));
            assert!(Policies::take(&mut In::new(&bytes)).is_err(), "{first} of {count}");
        }
    }
}
