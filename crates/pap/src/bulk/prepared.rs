//! A file read as a whole: what it says twice, what it names, and the order in which its items can be put.

use std::collections::{HashMap, HashSet};
use std::ops::{ControlFlow, Range};

use magistrate_engine::Snapshot;
use magistrate_model::{EntityData, EntityUid};

use super::file::{ImportFile, ItemKind};
use super::graph::Graph;
use super::problems::Problems;
use super::watch::{Progress, Step, Watch};
use crate::data::{Data, GrantText};
use crate::plan::Derivation;
use crate::problem::AdminError;

/// How many items are read between two looks at the watch.
const STRIDE: usize = 10_000;

/// A file whose items were all read once.
#[derive(Debug)]
pub(super) struct Prepared<'f> {
    file: &'f ImportFile,
    snapshot: &'f Snapshot,
    pub(super) graph: Graph,
    /// For each grant its place among those of the same content, from 1; 0 where an id is given.
    nth: Vec<u32>,
    /// The items in the order in which they are put.
    order: Vec<u32>,
    /// For each entity its place in that order.
    places: Vec<u32>,
}

/// Which items of other parts will be there when a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Promise {
    /// All: nothing is committed yet, and everything is checked.
    Others,
    /// Those that come later: the earlier ones must be in the store.
    Later,
}

impl<'f> Prepared<'f> {
    /// Reads every item. Items that cannot be read end the import; the other problems are noted.
    pub(super) fn read(
        file: &'f ImportFile,
        snapshot: &'f Snapshot,
        watch: &mut impl Watch,
        problems: &mut Problems,
    ) -> Result<Self, AdminError> {
        let (graph, nth, order, places) = (Graph::default(), Vec::new(), Vec::new(), Vec::new());
        let mut prepared = Self { file, snapshot, graph, nth, order, places };
        match file.kind() {
            ItemKind::Entities => prepared.read_entities(watch, problems)?,
            ItemKind::Grants | ItemKind::CsvGrants => prepared.read_grants(watch, problems)?,
        }
        Ok(prepared)
    }

    /// Puts entities in their order, once everything above them is known; a circle is a problem.
    pub(super) fn arrange(&mut self, problems: &mut Problems) {
        if self.file.kind() != ItemKind::Entities {
            return;
        }
        let (order, circular) = self.graph.order();
        for item in circular {
            let item = item as usize;
            if let Ok(entity) = self.file.entity(item) {
                let what = format!("`{}` would be a member of itself through its parents", entity.uid);
                problems.note(self.file.line(item), self.file.place(item), what);
            }
        }
        self.places = vec![u32::MAX; self.file.count()];
        for (place, item) in (0..).zip(&order) {
            if let Some(of_item) = self.places.get_mut(*item as usize) {
                *of_item = place;
            }
        }
        self.order = order;
    }

    /// How many items are put.
    pub(super) fn count(&self) -> usize {
        self.order.len()
    }

    pub(super) fn snapshot(&self) -> &'f Snapshot {
        self.snapshot
    }

    /// The items of a part, parsed.
    pub(super) fn data(&self, part: &Range<usize>) -> Data {
        let items = self.order.get(part.clone()).unwrap_or_default().iter().map(|item| *item as usize);
        match self.file.kind() {
            ItemKind::Entities => {
                let entity = |item| Some(self.file.located(item, self.file.entity(item).ok()?));
                Data { entities: items.filter_map(entity).collect(), ..Data::default() }
            }
            ItemKind::Grants | ItemKind::CsvGrants => {
                let grant = |item| Some(self.file.located(item, self.named_grant(item)?));
                Data { grants: items.filter_map(grant).collect(), ..Data::default() }
            }
        }
    }

    /// Which of these entities other parts bring.
    pub(super) fn promised<'a>(
        &self,
        names: impl Iterator<Item = &'a EntityUid>,
        part: &Range<usize>,
        promise: Promise,
    ) -> HashSet<EntityUid> {
        let promised = |uid: &&EntityUid| {
            let item = self.graph.item(uid).and_then(|item| self.places.get(item as usize));
            item.is_some_and(|place| match promise {
                Promise::Others => !part.contains(&(*place as usize)),
                Promise::Later => *place as usize >= part.end,
            })
        };
        names.filter(promised).cloned().collect()
    }

    fn read_entities(&mut self, watch: &mut impl Watch, problems: &mut Problems) -> Result<(), AdminError> {
        let mut unreadable = Problems::default();
        for item in 0..self.file.count() {
            self.look_up(item, watch)?;
            match self.file.entity(item) {
                Ok(entity) => self.note_entity(item, entity, problems),
                Err(what) => unreadable.note(self.file.line(item), self.file.place(item), what),
            }
        }
        unreadable.none()
    }

    /// What an attribute names is known once it is typed; what does not fit the schema is refused later.
    fn note_entity(&mut self, item: usize, entity: EntityData, problems: &mut Problems) {
        let entity = self.snapshot.typed_entity(entity.clone()).unwrap_or(entity);
        let mut references = Vec::new();
        entity.each_reference(&mut |uid| references.push(uid));
        let number = u32::try_from(item).unwrap_or(u32::MAX);
        if let Some(first) = self.graph.put(number, &entity.uid, entity.parents.iter(), &references) {
            self.twice(item, &entity.uid.to_string(), first as usize, problems);
        }
    }

    fn read_grants(&mut self, watch: &mut impl Watch, problems: &mut Problems) -> Result<(), AdminError> {
        let (mut unreadable, mut derivation) = (Problems::default(), Derivation::default());
        let mut seen = HashMap::new();
        for item in 0..self.file.count() {
            self.look_up(item, watch)?;
            match self.file.grant(item) {
                Ok(grant) => self.note_grant(item, grant, (&mut derivation, &mut seen), problems),
                Err(what) => unreadable.note(self.file.line(item), self.file.place(item), what),
            }
        }
        unreadable.none()
    }

    fn note_grant(
        &mut self,
        item: usize,
        grant: GrantText,
        (derivation, seen): (&mut Derivation, &mut HashMap<Box<str>, u32>),
        problems: &mut Problems,
    ) {
        let (id, nth) = match grant.id {
            Some(id) => (id, 0),
            None => derivation.derive(self.snapshot.vocabulary(), &grant),
        };
        self.nth.push(nth);
        let number = u32::try_from(item).unwrap_or(u32::MAX);
        match seen.get(id.as_str()) {
            Some(first) => self.twice(item, &id, *first as usize, problems),
            None => {
                seen.insert(id.into(), number);
                self.order.push(number);
            }
        }
    }

    /// A grant under the id that is its own within the whole file.
    fn named_grant(&self, item: usize) -> Option<GrantText> {
        let grant = self.file.grant(item).ok()?;
        let derived = || Derivation::nth(self.snapshot.vocabulary(), &grant, self.nth.get(item).copied().unwrap_or(1));
        let id = grant.id.clone().unwrap_or_else(derived);
        Some(GrantText { id: Some(id), ..grant })
    }

    fn twice(&self, item: usize, name: &str, first: usize, problems: &mut Problems) {
        let what = format!("`{name}` stands twice, first at {}", self.file.place(first));
        problems.note(self.file.line(item), self.file.place(item), what);
    }

    fn look_up(&self, item: usize, watch: &mut impl Watch) -> Result<(), AdminError> {
        let progress = Progress { step: Step::Read, done: item, of: self.file.count() };
        match item.is_multiple_of(STRIDE) && watch.at(progress) == ControlFlow::Break(()) {
            true => Err(AdminError::Interrupted),
            false => Ok(()),
        }
    }
}
