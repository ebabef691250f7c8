//! Change records: what an administrative revision changed, as the ledger keeps it.

use magistrate_model::{Authorship, Digest, LoggedChange, Revision};
use minicbor::decode::{Decoder, Error};

use crate::cbor::{
    self, Encoded, In, Out, all, expect_array, expect_key, optional, parsed, put_all, put_digest, put_instant,
    put_optional, refused,
};
use crate::record::InvalidRecord;
use crate::{leaf, lineage};

/// Separates changes from every other use of SHA-256.
const DOMAIN: &[u8] = b"magistrate/change/1";
const VERSION: u8 = 1;
const FIELDS: u64 = 5;
/// The longest record that holds its changes; a longer one holds how many there were, and their lineage binds them.
const LONGEST: usize = 256 * 1_024;

/// All changes of one revision.
///
/// It holds no random bytes: the lineage before it, and the instants and reasons within it, are not guessed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeRecord {
    /// The revision.
    pub revision: Revision,
    /// The lineage of the revision before it.
    pub previous: Digest,
    /// Its own lineage: over the one before and every change.
    pub lineage: Digest,
    /// The changes.
    pub told: Told,
}

/// How changes are told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// All of them.
    Whole(Vec<LoggedChange>),
    /// They would make too long a record: so many there are, and the lineage is over them.
    Counted(u64),
}

/// A change as it is stored: its bytes are hashed and never encoded again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedChange {
    /// What it says.
    pub record: ChangeRecord,
    /// `SHA256(0x00 ‖ domain ‖ len ‖ bytes)`.
    pub leaf: Digest,
    /// Its canonical bytes.
    pub bytes: Vec<u8>,
}

impl ChangeRecord {
    /// Seals the changes of one revision, which follow this lineage; none if they are none, or of several.
    pub fn seal(previous: Digest, changes: &[LoggedChange]) -> Option<SealedChange> {
        let revision = changes.first()?.revision;
        if changes.iter().any(|change| change.revision != revision) {
            return None;
        }
        let lineage = lineage::extend(previous, changes);
        let whole = Self { revision, previous, lineage, told: Told::Whole(changes.to_vec()) };
        let bytes = cbor::encode(|out| whole.put(out));
        if bytes.len() <= LONGEST {
            return Some(SealedChange { record: whole, leaf: leaf::of(DOMAIN, &bytes), bytes });
        }
        let counted = Self { told: Told::Counted(changes.len() as u64), ..whole };
        let bytes = cbor::encode(|out| counted.put(out));
        Some(SealedChange { record: counted, leaf: leaf::of(DOMAIN, &bytes), bytes })
    }

    fn put(&self, out: &mut Out<'_>) -> Encoded {
        out.map(FIELDS)?.u8(0)?.u8(VERSION)?.u8(1)?.u64(self.revision.number())?;
        put_digest(out.u8(2)?, &self.previous)?;
        put_digest(out.u8(3)?, &self.lineage)?;
        out.u8(4)?;
        match &self.told {
            Told::Whole(changes) => put_all(out, changes.iter(), put_change),
            Told::Counted(count) => out.u64(*count).map(drop),
        }
    }

    fn take(input: &mut In<'_>) -> Result<Self, Error> {
        if input.map()? != Some(FIELDS) {
            return Err(refused(format_args!("a change has {FIELDS} fields")));
        }
        expect_key(input, 0)?;
        let version = input.u8()?;
        if version != VERSION {
            return Err(refused(format_args!("version {version} of changes is newer than this program")));
        }
        expect_key(input, 1)?;
        let revision = Revision::new(input.u64()?);
        expect_key(input, 2)?;
        let previous = cbor::digest(input)?;
        expect_key(input, 3)?;
        let lineage = cbor::digest(input)?;
        expect_key(input, 4)?;
        let told = match input.probe().array() {
            Ok(_) => Told::Whole(all(input, |input| take_change(input, revision))?),
            Err(_) => Told::Counted(input.u64()?),
        };
        Ok(Self { revision, previous, lineage, told })
    }
}

impl SealedChange {
    /// Reads a change, refusing anything but its one canonical form, and a lineage that is not over its changes.
    pub fn decode(bytes: &[u8]) -> Result<Self, InvalidRecord> {
        let record =
            ChangeRecord::take(&mut Decoder::new(bytes)).map_err(|error| InvalidRecord::Format(error.to_string()))?;
        if cbor::encode(|out| record.put(out)) != bytes || bytes.len() > LONGEST {
            return Err(InvalidRecord::NotCanonical);
        }
        match &record.told {
            Told::Whole(changes)
                if changes.is_empty() || lineage::extend(record.previous, changes) != record.lineage =>
            {
                Err(InvalidRecord::Format("its lineage is not over its changes".to_owned()))
            }
            Told::Whole(_) | Told::Counted(_) => {
                Ok(Self { record, leaf: leaf::of(DOMAIN, bytes), bytes: bytes.to_vec() })
            }
        }
    }
}

fn put_change(out: &mut Out<'_>, change: &LoggedChange) -> Encoded {
    let LoggedChange { revision: _, ordinal, kind, key, before, after, authorship } = change;
    out.array(8)?.u32(*ordinal)?.str(kind)?.str(key)?;
    put_optional(out, before.as_deref(), |out, text| out.str(text).map(drop))?;
    put_optional(out, after.as_deref(), |out, text| out.str(text).map(drop))?;
    out.str(authorship.actor.as_str())?.str(authorship.reason.as_str())?;
    put_instant(out, authorship.at)
}

fn take_change(input: &mut In<'_>, revision: Revision) -> Result<LoggedChange, Error> {
    expect_array(input, 8)?;
    let text = |input: &mut In<'_>| input.str().map(ToOwned::to_owned);
    Ok(LoggedChange {
        revision,
        ordinal: input.u32()?,
        kind: text(input)?,
        key: text(input)?,
        before: optional(input, text)?,
        after: optional(input, text)?,
        authorship: Authorship { actor: parsed(input)?, reason: parsed(input)?, at: cbor::instant(input)? },
    })
}

#[cfg(test)]
mod tests {
    use magistrate_model::Instant;

    use super::*;

    const BEFORE: Digest = Digest::new([5; 32]);

    fn changes(key: &str) -> Vec<LoggedChange> {
        let authorship = Authorship {
            actor: "os/mia".parse().unwrap(),
            reason: "asked for".parse().unwrap(),
            at: Instant::from_micros(1_780_315_200_000_001).unwrap(),
        };
        let change = |ordinal, before: Option<&str>, after: Option<&str>| LoggedChange {
            revision: Revision::new(3),
            ordinal,
            kind: "entity.put".to_owned(),
            key: key.to_owned(),
            before: before.map(ToOwned::to_owned),
            after: after.map(ToOwned::to_owned),
            authorship: authorship.clone(),
        };
        vec![change(0, None, Some("{}")), change(1, Some("{}"), None)]
    }

    #[test]
    fn change_is_read_as_it_was_written_and_no_bit_of_it_is_free() {
        let sealed = ChangeRecord::seal(BEFORE, &changes("User::\"ana\"")).unwrap();
        assert_eq!(SealedChange::decode(&sealed.bytes), Ok(sealed.clone()));
        assert_eq!(sealed.record.lineage, lineage::extend(BEFORE, &changes("User::\"ana\"")));
        for at in 0..sealed.bytes.len() {
            for bit in 0..8 {
                let mut other = sealed.bytes.clone();
                other[at] ^= 1 << bit;
                assert!(SealedChange::decode(&other).is_err(), "byte {at}: the lineage binds all of it");
            }
        }
    }

    /// An import of everything is told by its lineage: the record stays small, whatever it brought.
    #[test]
    fn changes_that_are_too_long_are_counted() {
        let long = changes(&"x".repeat(LONGEST));
        let sealed = ChangeRecord::seal(BEFORE, &long).unwrap();
        assert_eq!((&sealed.record.told, sealed.record.lineage), (&Told::Counted(2), lineage::extend(BEFORE, &long)));
        assert_eq!(SealedChange::decode(&sealed.bytes), Ok(sealed.clone()));
        let whole = ChangeRecord { told: Told::Whole(long), ..sealed.record };
        let bytes = cbor::encode(|out| whole.put(out));
        assert_eq!(SealedChange::decode(&bytes), Err(InvalidRecord::NotCanonical));
    }

    #[test]
    fn changes_of_no_revision_or_of_two_are_no_record() {
        let mut two = changes("a");
        two[1].revision = Revision::new(4);
        assert_eq!(ChangeRecord::seal(BEFORE, &two), None);
        assert_eq!(ChangeRecord::seal(BEFORE, &[]), None);
    }

    /// The bytes of version 1 stay what they are: a change here breaks every stored log.
    #[test]
    fn format_version_1_does_not_change() {
        let sealed = ChangeRecord::seal(BEFORE, &changes("a")).unwrap();
        assert_eq!(sealed.leaf.to_string(), "3a6d7d85eda2b654ea53b5b5f0e4e68c53c21adfaec05cd00d554e70f7a1bc08");
    }
}
