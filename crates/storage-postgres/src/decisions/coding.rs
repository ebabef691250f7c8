//! Coding a record by what others like it said: what is new, and copies out of a dictionary.
//!
//! Coded are steps: how many bytes are new; these bytes; how many are copied; and from how far behind the place in the
//! dictionary where the copy before would have gone on, had the new bytes been there as well. The last step may end with its
//! new bytes. Numbers are in groups of seven bits, the lowest first; a distance is doubled, or where it is before that place
//! doubled and one less than its opposite. `audit.plain` reads the same.

/// It is looked through for every record: what is shared by many is found in fewer bytes.
pub(crate) const LONGEST_DICTIONARY: usize = 8 * 1024;

/// No record is longer; what would become so was altered.
const LONGEST_RECORD: usize = 16 * 1024 * 1024;

/// Copies that are worth their numbers: where the last one would have gone on, and elsewhere.
const SHORT: usize = 4;
const LONG: usize = 6;

/// A copy where the last one would have gone on that is so long is taken without looking for another.
const FAR: usize = 16;

/// How many places that begin alike are looked at.
const TRIES: usize = 4;

/// After so many bytes of which nothing is found every second one is looked at, and so on.
const PATIENCE: usize = 12;

const BITS: u32 = 14;
const NOWHERE: u16 = u16::MAX;

/// Bytes to copy from, and where in them four bytes are found.
#[derive(Debug)]
pub(crate) struct Dictionary {
    bytes: Vec<u8>,
    /// The last place of each hash of four bytes.
    last: Vec<u16>,
    /// The place before each that has the same hash.
    before: Vec<u16>,
}

/// Bytes that are no record coded by a dictionary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NotCoded;

impl Dictionary {
    /// Of at most [`LONGEST_DICTIONARY`] bytes; what is behind them is left away.
    pub(crate) fn new(mut bytes: Vec<u8>) -> Self {
        bytes.truncate(LONGEST_DICTIONARY);
        let (mut last, mut before) = (vec![NOWHERE; 1 << BITS], Vec::with_capacity(bytes.len()));
        for (place, four) in (0..).zip(bytes.windows(4)) {
            let slot = hash(four).and_then(|hash| last.get_mut(hash));
            before.push(slot.map_or(NOWHERE, |slot| std::mem::replace(slot, place)));
        }
        Self { bytes, last, before }
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The record, coded.
    pub(crate) fn encode(&self, plain: &[u8]) -> Vec<u8> {
        let mut coded = Vec::with_capacity(plain.len() / 2);
        // Up to where it is coded, and where a copy would go on.
        let (mut done, mut at, mut next) = (0, 0, 0);
        while let Some(rest) = plain.get(at..).filter(|rest| rest.len() >= SHORT) {
            let Some((mut from, mut length)) = self.longest(rest, next + at - done) else {
                // The longer nothing is found, the larger the steps: where something is, it is followed back.
                at += 1 + (at - done) / PATIENCE;
                continue;
            };
            while at > done && from > 0 && plain.get(at - 1) == self.bytes.get(from - 1) {
                (at, from, length) = (at - 1, from - 1, length + 1);
            }
            put_new(&mut coded, plain.get(done..at).unwrap_or_default());
            put_number(&mut coded, length);
            put_number(&mut coded, zigzag(from, next + at - done));
            (done, at, next) = (at + length, at + length, from + length);
        }
        let rest = plain.get(done..).unwrap_or_default();
        if !rest.is_empty() {
            put_new(&mut coded, rest);
        }
        coded
    }

    /// The longest worthwhile copy that begins `rest`.
    fn longest(&self, rest: &[u8], expected: usize) -> Option<(usize, usize)> {
        let alike = |from: usize| self.bytes.get(from..).map_or(0, |bytes| common(bytes, rest));
        let straight = alike(expected);
        if straight >= FAR {
            return Some((expected, straight));
        }
        let mut best = (expected, straight);
        let mut place = hash(rest).and_then(|hash| self.last.get(hash)).copied().unwrap_or(NOWHERE);
        for _ in 0..TRIES {
            if place == NOWHERE {
                break;
            }
            // Only one that goes on where the best ends can be longer.
            let end = usize::from(place) + best.1;
            if self.bytes.get(end).is_some_and(|byte| rest.get(best.1) == Some(byte)) {
                let length = alike(usize::from(place));
                if length > best.1 + 1 {
                    best = (usize::from(place), length);
                }
            }
            place = self.before.get(usize::from(place)).copied().unwrap_or(NOWHERE);
        }
        (best.1 >= if best.0 == expected { SHORT } else { LONG }).then_some(best)
    }
}

/// The record that was coded by a dictionary.
pub(crate) fn decode(dictionary: &[u8], coded: &[u8]) -> Result<Vec<u8>, NotCoded> {
    let (mut plain, mut input, mut next) = (Vec::with_capacity(512), coded, 0_usize);
    while !input.is_empty() {
        let length = take_number(&mut input)?;
        let (new, rest) = input.split_at_checked(length).ok_or(NotCoded)?;
        plain.extend_from_slice(new);
        input = rest;
        if input.is_empty() {
            break;
        }
        let (copied, distance) = (take_number(&mut input)?, take_number(&mut input)?);
        let from = next.checked_add(length).and_then(|place| unzigzag(distance, place)).ok_or(NotCoded)?;
        next = from.checked_add(copied).ok_or(NotCoded)?;
        plain.extend_from_slice(dictionary.get(from..next).ok_or(NotCoded)?);
        if plain.len() > LONGEST_RECORD {
            return Err(NotCoded);
        }
    }
    Ok(plain)
}

fn put_new(coded: &mut Vec<u8>, new: &[u8]) {
    put_number(coded, new.len());
    coded.extend_from_slice(new);
}

fn put_number(coded: &mut Vec<u8>, mut number: usize) {
    while number >= 128 {
        coded.push(low_bits(number) | 128);
        number >>= 7;
    }
    coded.push(low_bits(number));
}

fn low_bits(number: usize) -> u8 {
    u8::try_from(number & 127).unwrap_or(0)
}

fn take_number(input: &mut &[u8]) -> Result<usize, NotCoded> {
    let mut number = 0;
    for shift in [0, 7, 14, 21] {
        let (byte, rest) = input.split_first().ok_or(NotCoded)?;
        *input = rest;
        number |= usize::from(byte & 127) << shift;
        if *byte < 128 {
            return Ok(number);
        }
    }
    Err(NotCoded)
}

fn zigzag(place: usize, expected: usize) -> usize {
    match place.checked_sub(expected) {
        Some(ahead) => ahead * 2,
        None => (expected - place) * 2 - 1,
    }
}

fn unzigzag(distance: usize, expected: usize) -> Option<usize> {
    match distance % 2 {
        0 => expected.checked_add(distance / 2),
        _ => expected.checked_sub(distance / 2 + 1),
    }
}

/// How many bytes both begin with.
fn common(one: &[u8], other: &[u8]) -> usize {
    let (ones, _) = one.as_chunks::<8>();
    let (others, _) = other.as_chunks::<8>();
    let mut same = 0;
    for (one, other) in ones.iter().zip(others) {
        let differ = u64::from_le_bytes(*one) ^ u64::from_le_bytes(*other);
        if differ != 0 {
            return same + differ.trailing_zeros() as usize / 8;
        }
        same += 8;
    }
    let (one, other) = (one.get(same..).unwrap_or_default(), other.get(same..).unwrap_or_default());
    same + one.iter().zip(other).take_while(|(one, other)| one == other).count()
}

fn hash(bytes: &[u8]) -> Option<usize> {
    let four: [u8; 4] = *bytes.first_chunk()?;
    usize::try_from(u32::from_le_bytes(four).wrapping_mul(0x9E37_79B1) >> (32 - BITS)).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_coded_is_had_again(dictionary in bytes(), plain in bytes()) {
            let dictionary = Dictionary::new(dictionary);
            let coded = dictionary.encode(&plain);
            prop_assert_eq!(decode(dictionary.bytes(), &coded), Ok(plain));
        }

        /// Parts of the dictionary, put together anew.
        #[test]
        fn copies_are_had_again(dictionary in bytes(), parts in prop::collection::vec((0..400_usize, 0..90_usize), 0..9)) {
            let part = |(from, length): (usize, usize)| dictionary.iter().skip(from).take(length).copied();
            let plain: Vec<u8> = parts.into_iter().flat_map(part).collect();
            let dictionary = Dictionary::new(dictionary.clone());
            prop_assert_eq!(decode(dictionary.bytes(), &dictionary.encode(&plain)), Ok(plain));
        }

        /// Whatever is there instead is refused, or is something of a bounded length.
        #[test]
        fn anything_is_read(dictionary in bytes(), coded in bytes()) {
            if let Ok(plain) = decode(&dictionary, &coded) {
                prop_assert!(plain.len() <= LONGEST_RECORD + dictionary.len());
            }
        }
    }

    /// Few different bytes, so that much is alike.
    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![prop::collection::vec(0..4_u8, 0..600), prop::collection::vec(any::<u8>(), 0..600)]
    }

    #[test]
    fn likes_are_short() {
        let (one, other) = (b"the same, 1234567890, and the same again", b"the same, 0987654321, and the same again");
        let coded = Dictionary::new(one.to_vec()).encode(other);
        assert_eq!(coded, [&b"\0\x0a\0"[..], b"\x0a0987654321", b"\x14\0"].concat());
    }

    #[test]
    fn a_bomb_is_refused() {
        let dictionary = vec![7; LONGEST_DICTIONARY];
        // Each step copies all of it and goes back to its beginning.
        let mut step = vec![0];
        put_number(&mut step, LONGEST_DICTIONARY);
        let again = [step.clone(), {
            let mut back = Vec::new();
            put_number(&mut back, LONGEST_DICTIONARY * 2 - 1);
            back
        }];
        step.push(0);
        let coded: Vec<u8> = step.into_iter().chain(again.concat().into_iter().cycle().take(7 * 20_000)).collect();
        assert_eq!(decode(&dictionary, &coded), Err(NotCoded));
    }
}
