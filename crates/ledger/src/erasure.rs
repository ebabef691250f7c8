//! Erasure: whose private values were taken out of a store, and who says so.
//!
//! Whoever can write to the store could delete values and add an act that excuses it. An erasure is therefore signed, by a key
//! of the kind that signs [expiries](crate::Expiry), and names its decisions one by one, and the act that it lies in.

use magistrate_model::{Actor, Instant};
use minicbor::decode::Error;

use crate::act::{ActId, ActRecord, text};
use crate::cbor::{self, Encoded, In, Out, all, expect_array, fixed, parsed, put_all, put_instant, refused};
use crate::note::{NoteSigner, NoteVerifier};
use crate::retention::{Places, ascend, count};
use crate::selection::Selection;

/// Separates erasures from everything else that is signed: no note begins so.
const DOMAIN: &[u8] = b"magistrate/erasure/1";

/// Private values that are erased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Erasure {
    /// The act that says so: in another one it says nothing.
    pub act: ActId,
    /// What was asked for.
    pub of: Selection,
    /// Of which decisions, by stream and place, ascending, at most [`Erasure::MOST_PLACES`] stretches.
    pub places: Vec<Places>,
    /// Why.
    pub reason: String,
    /// Who erases them.
    pub actor: Actor,
    /// When.
    pub at: Instant,
}

/// An erasure, and the signature of whoever answers for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedErasure {
    /// What is erased.
    pub erasure: Erasure,
    /// The public key (Ed25519).
    pub key: [u8; 32],
    /// Its signature over the canonical bytes of the erasure, behind a domain of their own.
    pub signature: [u8; 64],
}

impl Erasure {
    /// So many fit into an act, with the longest texts.
    pub const MOST_PLACES: usize = 512;

    /// Of how many decisions.
    pub fn decisions(&self) -> u64 {
        count(&self.places)
    }

    /// Signs it.
    pub fn sign(self, signer: &NoteSigner) -> SignedErasure {
        let signature = signer.sign_bytes(DOMAIN, &cbor::encode(|out| self.put(out)));
        SignedErasure { erasure: self, key: signer.verifier().key(), signature }
    }

    fn put(&self, out: &mut Out<'_>) -> Encoded {
        self.of.put(out.array(9)?.bytes(&self.act.0)?)?;
        put_all(out, self.places.iter(), |out, places| places.put(out))?;
        put_instant(out.str(&self.reason)?.str(self.actor.as_str())?, self.at)
    }

    fn take(input: &mut In<'_>) -> Result<Self, Error> {
        expect_array(input, 9)?;
        let (act, of) = (ActId(fixed(input)?), Selection::take(input)?);
        let places: Vec<Places> = all(input, Places::take)?;
        if places.is_empty() || !ascend(&places) || places.len() > Self::MOST_PLACES {
            return Err(refused("the places of an erasure ascend, and are 1 to 512 stretches"));
        }
        Ok(Self { act, of, places, reason: text(input)?, actor: parsed(input)?, at: cbor::instant(input)? })
    }
}

impl SignedErasure {
    /// Whether one of these keys signed it.
    pub fn is_signed_by(&self, pinned: &[NoteVerifier]) -> bool {
        let bytes = cbor::encode(|out| self.erasure.put(out));
        let signer = pinned.iter().find(|it| it.key() == self.key);
        signer.is_some_and(|it| it.signed_bytes(DOMAIN, &bytes, &self.signature))
    }

    /// Whether it lies in the act that it was signed for, which says as much of who did it, and when.
    pub fn is_of(&self, record: &ActRecord) -> bool {
        let Erasure { act, actor, at, .. } = &self.erasure;
        (*act, actor, *at) == (record.id, &record.actor, record.at)
    }

    pub(crate) fn put(&self, out: &mut Out<'_>) -> Encoded {
        self.erasure.put(out.array(3)?)?;
        out.bytes(&self.key)?.bytes(&self.signature).map(drop)
    }

    pub(crate) fn take(input: &mut In<'_>) -> Result<Self, Error> {
        expect_array(input, 3)?;
        Ok(Self { erasure: Erasure::take(input)?, key: fixed(input)?, signature: fixed(input)? })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::act::Act;
    use crate::stream::StreamId;

    pub(crate) fn erasure() -> Erasure {
        let places = |stream, first, last| Places { stream: StreamId::new([stream; 16]), first, last };
        Erasure {
            act: ActId([7; 16]),
            of: Selection { principal: Some("User::\"ana\"".to_owned()), ..Selection::default() },
            places: vec![places(7, 1, 3), places(7, 5, 5), places(8, 9, 10)],
            reason: "ticket 7".to_owned(),
            actor: "os/mia".parse().unwrap(),
            at: Instant::from_micros(1_780_315_200_000_001).unwrap(),
        }
    }

    pub(crate) fn signed() -> SignedErasure {
        erasure().sign(&NoteSigner::new("records", &[5; 32]))
    }

    #[test]
    fn erasure_is_believed_of_its_signer_alone_and_as_it_was_signed() {
        let (signer, other) = (NoteSigner::new("records", &[5; 32]), NoteSigner::new("records", &[6; 32]));
        assert!(signed().is_signed_by(&[other.verifier(), signer.verifier()]));
        assert!(!signed().is_signed_by(&[other.verifier()]));
        assert!(!signed().is_signed_by(&[]));
        let edits: [fn(&mut SignedErasure); 12] = [
            |it| it.erasure.act = ActId([8; 16]),
            |it| it.erasure.of.principal = None,
            |it| it.erasure.of.resource = Some("Doc::\"d\"".to_owned()),
            |it| it.erasure.of.since = Some(Instant::EPOCH),
            |it| it.erasure.of.until = Some(Instant::EPOCH),
            |it| it.erasure.places[2].last = 11,
            |it| it.erasure.places.truncate(2),
            |it| it.erasure.reason.push('.'),
            |it| it.erasure.actor = "os/eve".parse().unwrap(),
            |it| it.erasure.at = Instant::EPOCH,
            |it| it.signature[9] ^= 1,
            |it| it.key = NoteSigner::new("records", &[6; 32]).verifier().key(),
        ];
        for edit in edits {
            let mut edited = signed();
            edit(&mut edited);
            assert!(!edited.is_signed_by(&[signer.verifier(), other.verifier()]), "{edited:?}");
        }
    }

    #[test]
    fn erasure_says_nothing_in_another_act() {
        let Erasure { act: id, actor, at, .. } = erasure();
        let record = ActRecord { id, at, actor, act: Act::Erasure(Box::new(signed())) };
        assert!(signed().is_of(&record));
        let others = [
            ActRecord { id: ActId([8; 16]), ..record.clone() },
            ActRecord { at: Instant::EPOCH, ..record.clone() },
            ActRecord { actor: "os/eve".parse().unwrap(), ..record },
        ];
        assert!(others.iter().all(|other| !signed().is_of(other)));
    }

    #[test]
    fn places_that_do_not_ascend_or_are_none_are_no_erasure() {
        let read = |erasure: &Erasure| {
            let bytes = cbor::encode(|out| erasure.put(out));
            Erasure::take(&mut minicbor::Decoder::new(&bytes))
        };
        assert_eq!(read(&erasure()).ok(), Some(erasure()));
        assert_eq!(erasure().decisions(), 6);
        let edits: [fn(&mut Erasure); 5] = [
            |it| it.places.clear(),
            |it| it.places.swap(0, 1),
            |it| it.places[1].first = 3,
            |it| it.places[2] = Places { first: 1, last: u64::MAX, ..it.places[2] },
            |it| {
                let places = |n: u64| Places { first: 2 * n + 1, last: 2 * n + 1, ..it.places[0] };
                it.places = (0..513).map(places).collect();
            },
        ];
        for edit in edits {
            let mut edited = erasure();
            edit(&mut edited);
            assert!(read(&edited).is_err(), "{edited:?}");
        }
    }

    /// The longest act that there can be is one that a store keeps.
    #[test]
    fn as_many_places_as_fit_with_the_longest_texts() {
        let text = || "x".repeat(4_096);
        let stretch = |n: u64| Places {
            stream: StreamId::new([7; 16]),
            first: u64::MAX / 2 + 3 * n,
            last: u64::MAX / 2 + 3 * n + 1,
        };
        let of = Selection {
            principal: Some(text()),
            resource: Some(text()),
            since: Some(Instant::EPOCH),
            until: Instant::from_micros(i64::from(u32::MAX)).ok(),
        };
        let places = (0..512).map(stretch).collect();
        let longest = Erasure { of, places, reason: text(), ..erasure() };
        let Erasure { act: id, actor, at, .. } = longest.clone();
        let act = Act::Erasure(Box::new(longest.sign(&NoteSigner::new("records", &[5; 32]))));
        let sealed = ActRecord { id, at, actor, act }.seal().unwrap();
        assert!(sealed.bytes.len() <= 32_768, "{}", sealed.bytes.len());
    }
}
