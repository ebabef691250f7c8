//! Attributes and parents of an entity in few bytes.
//!
//! What is looked at is unpacked first, and then kept by whoever looks; most of a million entities are not looked at
//! for hours.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use magistrate_model::{AttributeName, EntityData, ExtensionFunction, Record, Value};

use super::uids::{UidNumber, Uids};

/// Names of attributes, each once.
#[derive(Debug, Default)]
pub(super) struct Names {
    all: Vec<AttributeName>,
    numbers: HashMap<AttributeName, u32, RandomState>,
}

impl Names {
    fn add(&mut self, name: &AttributeName) -> Option<u32> {
        if let Some(number) = self.numbers.get(name) {
            return Some(*number);
        }
        let number = u32::try_from(self.all.len()).ok()?;
        self.all.push(name.clone());
        self.numbers.insert(name.clone(), number);
        Some(number)
    }
}

const FALSE: u8 = 0;
const TRUE: u8 = 1;
const LONG: u8 = 2;
const STRING: u8 = 3;
const ENTITY: u8 = 4;
const SET: u8 = 5;
const RECORD: u8 = 6;
/// And the number of the function.
const EXTENSION: u8 = 16;

/// Packs one entity after the other.
#[derive(Debug)]
pub(super) struct Packing<'a> {
    pub(super) uids: &'a mut Uids,
    pub(super) names: &'a mut Names,
    pub(super) bytes: &'a mut Vec<u8>,
}

impl Packing<'_> {
    /// Adds what an entity is like; `None` where there are too many uids.
    pub(super) fn entity(&mut self, entity: &EntityData) -> Option<()> {
        self.number(entity.parents.len() as u64);
        for parent in &entity.parents {
            let parent = self.uids.add(parent.borrowed())?;
            self.number(parent.raw().into());
        }
        self.record(&entity.attributes)
    }

    fn record(&mut self, record: &Record) -> Option<()> {
        self.number(record.len() as u64);
        for (name, value) in record {
            let name = self.names.add(name)?;
            self.number(name.into());
            self.value(value)?;
        }
        Some(())
    }

    fn value(&mut self, value: &Value) -> Option<()> {
        match value {
            Value::Bool(it) => self.bytes.push(if *it { TRUE } else { FALSE }),
            Value::Long(it) => {
                self.bytes.push(LONG);
                // Small numbers of either sign take few bytes (zigzag).
                self.number(((it << 1) ^ (it >> 63)).cast_unsigned());
            }
            Value::String(it) => {
                self.bytes.push(STRING);
                self.text(it);
            }
            Value::Entity(it) => {
                self.bytes.push(ENTITY);
                let uid = self.uids.add(it.borrowed())?;
                self.number(uid.raw().into());
            }
            Value::Extension(function, it) => {
                let function = ExtensionFunction::ALL.iter().position(|known| known == function)?;
                self.bytes.push(EXTENSION + u8::try_from(function).ok()?);
                self.text(it);
            }
            Value::Set(items) => {
                self.bytes.push(SET);
                self.number(items.len() as u64);
                for item in items {
                    self.value(item)?;
                }
            }
            Value::Record(record) => {
                self.bytes.push(RECORD);
                self.record(record)?;
            }
        }
        Some(())
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.bytes.extend_from_slice(text.as_bytes());
    }

    /// Seven bits a byte, the lowest first (LEB128).
    fn number(&mut self, mut number: u64) {
        loop {
            let low = u8::try_from(number & 0x7f).unwrap_or_default();
            number >>= 7;
            if number == 0 {
                return self.bytes.push(low);
            }
            self.bytes.push(low | 0x80);
        }
    }
}

/// Unpacks what was packed.
#[derive(Debug)]
pub(super) struct Unpacking<'a> {
    pub(super) uids: &'a Uids,
    pub(super) names: &'a Names,
    pub(super) bytes: &'a [u8],
}

impl Unpacking<'_> {
    /// The entity of a uid; `None` where the bytes are not what was packed.
    pub(super) fn entity(&mut self, uid: magistrate_model::EntityUid) -> Option<EntityData> {
        let parents = (0..self.number()?).map(|_| self.uid()).collect::<Option<_>>()?;
        Some(EntityData { uid, parents, attributes: self.record()? })
    }

    fn record(&mut self) -> Option<Record> {
        (0..self.number()?).map(|_| self.field()).collect()
    }

    fn field(&mut self) -> Option<(AttributeName, Value)> {
        let name = usize::try_from(self.number()?).ok()?;
        Some((self.names.all.get(name)?.clone(), self.value()?))
    }

    fn value(&mut self) -> Option<Value> {
        match self.byte()? {
            FALSE => Some(Value::Bool(false)),
            TRUE => Some(Value::Bool(true)),
            LONG => {
                let number = self.number()?;
                Some(Value::Long((number >> 1).cast_signed() ^ -(number & 1).cast_signed()))
            }
            STRING => self.text().map(Value::String),
            ENTITY => self.uid().map(Value::Entity),
            SET => (0..self.number()?).map(|_| self.value()).collect::<Option<_>>().map(Value::Set),
            RECORD => self.record().map(Value::Record),
            function => {
                let function = ExtensionFunction::ALL.get(usize::from(function.checked_sub(EXTENSION)?))?;
                Some(Value::Extension(*function, self.text()?))
            }
        }
    }

    fn uid(&mut self) -> Option<magistrate_model::EntityUid> {
        let number = u32::try_from(self.number()?).ok()?;
        self.uids.get(UidNumber::from_raw(number))
    }

    fn text(&mut self) -> Option<Arc<str>> {
        let length = usize::try_from(self.number()?).ok()?;
        let (text, rest) = self.bytes.split_at_checked(length)?;
        self.bytes = rest;
        Some(std::str::from_utf8(text).ok()?.into())
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.bytes.split_first()?;
        self.bytes = rest;
        Some(*byte)
    }
}

#[cfg(test)]
mod tests {
    use magistrate_model::EntityUid;
    use proptest::prelude::*;

    use super::*;

    fn uid() -> impl Strategy<Value = EntityUid> {
        ("[A-C]", "[a-z]{1,3}").prop_map(|(of, id)| EntityUid::from_parts(&of, &id).unwrap())
    }

    fn record(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Record> {
        prop::collection::btree_map("[a-z]{1,2}".prop_map(|name| AttributeName::new(&name).unwrap()), value, 0..4)
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::Bool),
            prop_oneof![any::<i64>(), -70_i64..70, Just(i64::MIN), Just(i64::MAX)].prop_map(Value::Long),
            "\\PC{0,9}".prop_map(|text| Value::String(text.into())),
            uid().prop_map(Value::Entity),
            (prop::sample::select(ExtensionFunction::ALL.to_vec()), "\\PC{0,9}")
                .prop_map(|(function, text)| Value::Extension(function, text.into())),
        ];
        leaf.prop_recursive(3, 20, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Set),
                record(inner).prop_map(Value::Record),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_is_packed_is_unpacked(
            entities in prop::collection::vec((uid(), prop::collection::btree_set(uid(), 0..4), record(value())), 1..6),
        ) {
            let (mut uids, mut names, mut bytes) = (Uids::default(), Names::default(), Vec::new());
            let mut starts = Vec::new();
            let entities: Vec<EntityData> =
                entities.into_iter().map(|(uid, parents, attributes)| EntityData { uid, attributes, parents }).collect();
            for entity in &entities {
                starts.push(bytes.len());
                Packing { uids: &mut uids, names: &mut names, bytes: &mut bytes }.entity(entity).unwrap();
            }
            for (entity, start) in entities.iter().zip(starts) {
                let mut unpacking = Unpacking { uids: &uids, names: &names, bytes: &bytes[start..] };
                let unpacked = unpacking.entity(entity.uid.clone());
                prop_assert_eq!(unpacked.as_ref(), Some(entity));
            }
            // Cut short, it is nothing rather than something else.
            for end in 0..bytes.len() {
                let mut unpacking = Unpacking { uids: &uids, names: &names, bytes: &bytes[..end] };
                if let Some(first) = unpacking.entity(entities[0].uid.clone()) {
                    prop_assert_eq!(&first, &entities[0]);
                }
            }
        }
    }
}
