//! Which entities stand above which, and the order in which they can be put.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;

use magistrate_model::{EntityUid, TypeName};

use super::circles::each_circle;

/// The entities a file puts, those they name, and the stored ones above them.
#[derive(Debug, Default)]
pub(super) struct Graph {
    numbers: HashMap<EntityUid, u32>,
    types: BTreeSet<TypeName>,
    nodes: Vec<Node>,
    /// What each node names, in one list.
    named: Vec<u32>,
}

#[derive(Debug, Clone, Default)]
struct Node {
    /// The item that puts it; none for what is stored.
    item: Option<u32>,
    /// Whether something names it as a parent.
    is_parent: bool,
    /// Whether what stands above it is noted.
    is_known: bool,
    /// Its parents within `named`.
    parents: Range<u32>,
    /// Its parents and what its attributes name, within `named`.
    all: Range<u32>,
}

impl Graph {
    /// Notes that an item puts an entity, and what that names; gives the earlier item that puts the same.
    pub(super) fn put<'a>(
        &mut self,
        item: u32,
        uid: &EntityUid,
        parents: impl Iterator<Item = &'a EntityUid>,
        references: &[&'a EntityUid],
    ) -> Option<u32> {
        let number = self.number(uid);
        if let Some(earlier) = self.node(number).item {
            return Some(earlier);
        }
        self.above(number, parents, references);
        self.nodes.get_mut(number as usize)?.item = Some(item);
        None
    }

    /// Notes what is stored of an entity.
    pub(super) fn stored<'a>(&mut self, uid: &EntityUid, parents: impl Iterator<Item = &'a EntityUid>) {
        let number = self.number(uid);
        self.above(number, parents, &[]);
    }

    /// The parents that nothing is noted about yet; each is told once.
    pub(super) fn unknown_parents(&mut self) -> Vec<EntityUid> {
        let Self { numbers, nodes, .. } = self;
        let unknown = numbers.iter().filter(|(_, number)| {
            nodes.get_mut(**number as usize).is_some_and(|node| {
                node.is_parent && node.item.is_none() && !std::mem::replace(&mut node.is_known, true)
            })
        });
        unknown.map(|(uid, _)| uid.clone()).collect()
    }

    /// The item that puts an entity.
    pub(super) fn item(&self, uid: &EntityUid) -> Option<u32> {
        self.numbers.get(uid).and_then(|number| self.node(*number).item)
    }

    /// Whether an entity is put, named, or stands above one that is.
    pub(super) fn knows(&self, uid: &EntityUid) -> bool {
        self.numbers.contains_key(uid)
    }

    /// The items in an order in which each comes after its ancestors and, unless they name each other in a
    /// circle, after what its attributes name; and those that would be above themselves. Items stay in the
    /// order of the file where nothing else is asked.
    pub(super) fn order(&self) -> (Vec<u32>, Vec<u32>) {
        let mut roots: Vec<(u32, u32)> =
            (0..).zip(&self.nodes).filter_map(|(number, node)| Some((node.item?, number))).collect();
        roots.sort_unstable();
        let (mut order, mut circular) = (Vec::with_capacity(roots.len()), Vec::new());
        let edge = |number: u32, n: usize| self.named(&self.node(number).all).get(n).copied();
        let roots = roots.into_iter().map(|(_, number)| number);
        each_circle(self.nodes.len(), roots, edge, |circle| match circle {
            [one] if !self.is_own_parent(*one) => order.push(*one),
            _ => self.order_circle(circle, &mut order, &mut circular),
        });
        let items = |numbers: Vec<u32>| numbers.into_iter().filter_map(|number| self.node(number).item).collect();
        (items(order), items(circular))
    }

    /// Orders nodes that name each other by their parents alone; a circle of those is refused.
    fn order_circle(&self, circle: &[u32], order: &mut Vec<u32>, circular: &mut Vec<u32>) {
        let mut sorted = circle.to_vec();
        sorted.sort_unstable();
        let place = |number: &u32| sorted.binary_search(number).ok().and_then(|place| u32::try_from(place).ok());
        let number = |place: u32| sorted.get(place as usize).copied().unwrap_or(u32::MAX);
        // An edge that leaves the circle counts as one to the node itself, which changes nothing.
        let edge = |from: u32, n: usize| {
            let parent = self.named(&self.node(number(from)).parents).get(n)?;
            Some(place(parent).unwrap_or(from))
        };
        each_circle(sorted.len(), (0..).take(sorted.len()), edge, |places| match places {
            [one] if !self.is_own_parent(number(*one)) => order.push(number(*one)),
            _ => circular.extend(places.iter().map(|place| number(*place))),
        });
    }

    fn is_own_parent(&self, number: u32) -> bool {
        self.named(&self.node(number).parents).contains(&number)
    }

    fn above<'a>(&mut self, number: u32, parents: impl Iterator<Item = &'a EntityUid>, references: &[&'a EntityUid]) {
        let start = self.end();
        for parent in parents {
            let parent = self.number(parent);
            self.named.push(parent);
            if let Some(node) = self.nodes.get_mut(parent as usize) {
                node.is_parent = true;
            }
        }
        let middle = self.end();
        for named in references {
            let named = self.number(named);
            self.named.push(named);
        }
        let end = self.end();
        if let Some(node) = self.nodes.get_mut(number as usize) {
            (node.parents, node.all, node.is_known) = (start..middle, start..end, true);
        }
    }

    /// The number of an entity; a new one if it was not named before. Types are shared: they are few.
    fn number(&mut self, uid: &EntityUid) -> u32 {
        if let Some(number) = self.numbers.get(uid) {
            return *number;
        }
        let type_name = match self.types.get(uid.type_name()) {
            Some(known) => known.clone(),
            None => {
                self.types.insert(uid.type_name().clone());
                uid.type_name().clone()
            }
        };
        let number = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        self.nodes.push(Node::default());
        self.numbers.insert(EntityUid::new(type_name, uid.id().clone()), number);
        number
    }

    fn node(&self, number: u32) -> &Node {
        const NONE: &Node = &Node { item: None, is_parent: false, is_known: false, parents: 0..0, all: 0..0 };
        self.nodes.get(number as usize).unwrap_or(NONE)
    }

    fn named(&self, range: &Range<u32>) -> &[u32] {
        self.named.get(range.start as usize..range.end as usize).unwrap_or_default()
    }

    fn end(&self) -> u32 {
        u32::try_from(self.named.len()).unwrap_or(u32::MAX)
    }
}
