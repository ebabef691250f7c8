//! Retention: which records were taken out of a store, and who says so.
//!
//! Whoever can write to the store could take records out and add an act that excuses it. An expiry is therefore signed, by a
//! key that is kept elsewhere and pinned by verifiers apart from those of nodes.

use magistrate_model::{Actor, Instant};
use minicbor::decode::Error;

use crate::act::text;
use crate::cbor::{self, Encoded, In, Out, all, expect_array, fixed, parsed, put_all, put_instant, refused};
use crate::note::{NoteSigner, NoteVerifier};
use crate::stream::StreamId;

/// Separates expiries from everything else that is signed: no note begins so.
const DOMAIN: &[u8] = b"magistrate/retention/1";

/// Records of one day that are taken out of the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expiry {
    /// The UTC day, counted from 1970-01-01.
    pub day: i64,
    /// How many records.
    pub records: u64,
    /// Which ones, by stream and place, ascending, at most [`Expiry::MOST_PLACES`]; a day with more has several expiries.
    pub places: Vec<Places>,
    /// The checkpoint of the global log under which the headers over them lie: a signed note.
    pub checkpoint: String,
    /// What for: the rule that is followed.
    pub reason: String,
    /// Who takes them out.
    pub actor: Actor,
    /// When.
    pub at: Instant,
}

/// Records of a stream in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Places {
    /// The stream.
    pub stream: StreamId,
    /// The first place.
    pub first: u64,
    /// The last place.
    pub last: u64,
}

/// An expiry, and the signature of whoever answers for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedExpiry {
    /// What is taken out.
    pub expiry: Expiry,
    /// The public key (Ed25519).
    pub key: [u8; 32],
    /// Its signature over the canonical bytes of the expiry, behind a domain of their own.
    pub signature: [u8; 64],
}

impl Places {
    /// How many places.
    pub fn count(&self) -> u64 {
        (self.last + 1).saturating_sub(self.first)
    }

    pub(crate) fn put(&self, out: &mut Out<'_>) -> Encoded {
        out.array(3)?.bytes(self.stream.as_bytes())?.u64(self.first)?.u64(self.last).map(drop)
    }

    pub(crate) fn take(input: &mut In<'_>) -> Result<Self, Error> {
        expect_array(input, 3)?;
        let places = Self { stream: StreamId::new(fixed(input)?), first: input.u64()?, last: input.u64()? };
        match (1..u64::MAX).contains(&places.last) && places.first <= places.last {
            true => Ok(places),
            false => Err(refused("places go from a first to a last one")),
        }
    }
}

/// Whether they follow each other, by stream and place, and none is in two.
pub(crate) fn ascend(places: &[Places]) -> bool {
    places.windows(2).all(|pair| matches!(pair, [one, next] if (one.stream, one.last) < (next.stream, next.first)))
}

/// How many places these are: whoever forged them may have named more than can be counted.
pub(crate) fn count(places: &[Places]) -> u64 {
    places.iter().fold(0, |count, places| count.saturating_add(places.count()))
}

impl Expiry {
    /// So many fit into an act.
    pub const MOST_PLACES: usize = 512;

    fn put(&self, out: &mut Out<'_>) -> Encoded {
        out.array(7)?.i64(self.day)?.u64(self.records)?;
        put_all(out, self.places.iter(), |out, places| places.put(out))?;
        put_instant(out.str(&self.checkpoint)?.str(&self.reason)?.str(self.actor.as_str())?, self.at)
    }

    fn take(input: &mut In<'_>) -> Result<Self, Error> {
        expect_array(input, 7)?;
        let (day, records) = (input.i64()?, input.u64()?);
        let places: Vec<Places> = all(input, Places::take)?;
        if !ascend(&places) || places.len() > Self::MOST_PLACES || count(&places) != records {
            return Err(refused("the places of an expiry ascend, are as many as it says, and 512 stretches at most"));
        }
        let (checkpoint, reason) = (text(input)?, text(input)?);
        Ok(Self { day, records, places, checkpoint, reason, actor: parsed(input)?, at: cbor::instant(input)? })
    }

    /// Signs it.
    pub fn sign(self, signer: &NoteSigner) -> SignedExpiry {
        let signature = signer.sign_bytes(DOMAIN, &cbor::encode(|out| self.put(out)));
        SignedExpiry { expiry: self, key: signer.verifier().key(), signature }
    }
}

impl SignedExpiry {
    /// Whether one of these keys signed it.
    pub fn is_signed_by(&self, pinned: &[NoteVerifier]) -> bool {
        let bytes = cbor::encode(|out| self.expiry.put(out));
        let signer = pinned.iter().find(|it| it.key() == self.key);
        signer.is_some_and(|it| it.signed_bytes(DOMAIN, &bytes, &self.signature))
    }

    pub(crate) fn put(&self, out: &mut Out<'_>) -> Encoded {
        self.expiry.put(out.array(3)?)?;
        out.bytes(&self.key)?.bytes(&self.signature).map(drop)
    }

    pub(crate) fn take(input: &mut In<'_>) -> Result<Self, Error> {
        expect_array(input, 3)?;
        Ok(Self { expiry: Expiry::take(input)?, key: fixed(input)?, signature: fixed(input)? })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn expiry() -> Expiry {
        let places = |stream, first, last| Places { stream: StreamId::new([stream; 16]), first, last };
        Expiry {
            day: 20_000,
            records: 6,
            places: vec![places(7, 1, 3), places(7, 5, 5), places(8, 9, 10)],
            checkpoint: "a note".to_owned(),
            reason: "400 days".to_owned(),
            actor: "os/mia".parse().unwrap(),
            at: Instant::from_micros(1_780_315_200_000_001).unwrap(),
        }
    }

    pub(crate) fn signed() -> SignedExpiry {
        expiry().sign(&NoteSigner::new("records", &[5; 32]))
    }

    #[test]
    fn expiry_is_believed_of_its_signer_alone_and_as_it_was_signed() {
        let (signer, other) = (NoteSigner::new("records", &[5; 32]), NoteSigner::new("records", &[6; 32]));
        assert!(signed().is_signed_by(&[other.verifier(), signer.verifier()]));
        assert!(!signed().is_signed_by(&[other.verifier()]));
        assert!(!signed().is_signed_by(&[]));
        let edits: [fn(&mut SignedExpiry); 9] = [
            |it| it.expiry.day += 1,
            |it| it.expiry.records += 1,
            |it| it.expiry.places[2].last = 11,
            |it| it.expiry.checkpoint.push('.'),
            |it| it.expiry.reason.push('.'),
            |it| it.expiry.actor = "os/eve".parse().unwrap(),
            |it| it.expiry.at = Instant::EPOCH,
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
    fn places_that_do_not_ascend_or_add_up_are_none() {
        let read = |expiry: &Expiry| {
            let bytes = cbor::encode(|out| expiry.put(out));
            Expiry::take(&mut minicbor::Decoder::new(&bytes))
        };
        assert_eq!(read(&expiry()).ok(), Some(expiry()));
        let edits: [fn(&mut Expiry); 7] = [
            |it| it.records = 5,
            // More than can be counted.
            |it| {
                it.places.remove(1);
                it.places.iter_mut().for_each(|places| places.last = u64::MAX - 1);
            },
            |it| it.places.swap(0, 1),
            |it| it.places.swap(1, 2),
            |it| it.places[1].first = 3,
            |it| it.places[1] = Places { first: 6, last: 5, ..it.places[1] },
            |it| it.places[2] = Places { first: 1, last: u64::MAX, ..it.places[2] },
        ];
        for edit in edits {
            let mut edited = expiry();
            edit(&mut edited);
            assert!(read(&edited).is_err(), "{edited:?}");
        }
    }
}
