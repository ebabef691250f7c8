//! Grants by holder: those that were loaded and those that were added since, seen as one.

use std::borrow::Cow;
use std::sync::Arc;

use magistrate_model::{Conferred, EntityUid, Grant, GrantId, Term};

use super::base::{Confers, PackedGrant, Where, grant_id};
use super::uids::UidNumber;
use super::{Directory, Map, map};

/// Grants of one holder that were added since the base, by the resource they are held on, each resource's by id.
#[derive(Debug, Clone)]
pub(super) struct Added {
    everywhere: Grants,
    on: Map<EntityUid, Grants>,
}

type Grants = Arc<Vec<Arc<Grant>>>;

impl Added {
    pub(super) fn none() -> Self {
        Self { everywhere: Arc::default(), on: map() }
    }

    fn on(&self, resource: Option<&EntityUid>) -> impl Iterator<Item = &Arc<Grant>> {
        let here = resource.map_or(Some(&self.everywhere), |resource| self.on.get(resource));
        here.into_iter().flat_map(|here| here.iter())
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Grant>> {
        self.everywhere.iter().chain(self.on.values().flat_map(|here| here.iter()))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.everywhere.is_empty() && self.on.is_empty()
    }

    pub(super) fn add(&mut self, grant: Grant) {
        let add = |here: &mut Grants| {
            let at = here.partition_point(|it| it.id() < grant.id());
            Arc::make_mut(here).insert(at, Arc::new(grant.clone()));
        };
        match grant.resource() {
            None => add(&mut self.everywhere),
            Some(resource) => match self.on.get_mut(resource) {
                Some(here) => add(here),
                None => self.on.insert_mut(resource.clone(), Arc::new(vec![Arc::new(grant)])),
            },
        }
    }

    /// Whether it was there.
    pub(super) fn remove(&mut self, grant: &Grant) -> bool {
        let remove = |here: &mut Grants| {
            let before = here.len();
            Arc::make_mut(here).retain(|it| it.id() != grant.id());
            before > here.len()
        };
        let Some(resource) = grant.resource() else { return remove(&mut self.everywhere) };
        let Some(here) = self.on.get_mut(resource) else { return false };
        let removed = remove(here);
        if here.is_empty() {
            self.on.remove_mut(resource);
        }
        removed
    }
}

/// Where grants are looked for: one resource, found once for all holders.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(super) uid: &'a EntityUid,
    pub(super) number: Option<UidNumber>,
}

/// The grants of one holder.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held<'a> {
    pub(super) directory: &'a Directory,
    pub(super) number: Option<UidNumber>,
    pub(super) added: Option<&'a Added>,
}

impl<'a> Held<'a> {
    /// Those that count everywhere.
    pub(crate) fn everywhere(self) -> impl Iterator<Item = GrantView<'a>> {
        let added = self.added.into_iter().flat_map(|added| added.on(None));
        self.packed(Some(Where::Everywhere)).chain(added.map(|grant| GrantView::Added(grant)))
    }

    /// Those on one resource.
    pub(crate) fn on(self, place: Place<'a>) -> impl Iterator<Item = GrantView<'a>> {
        let added = self.added.into_iter().flat_map(move |added| added.on(Some(place.uid)));
        self.packed(place.number.map(Where::On)).chain(added.map(|grant| GrantView::Added(grant)))
    }

    /// Those of the base; none where there is no such resource.
    fn packed(self, place: Option<Where>) -> impl Iterator<Item = GrantView<'a>> {
        let found = self.number.zip(place);
        let here = found.into_iter().flat_map(move |(holder, place)| self.directory.base.held_on(holder, place));
        self.directory.remaining(here)
    }
}

/// A grant, as it is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) enum GrantView<'a> {
    /// As it was loaded.
    Packed(PackedGrant<'a>),
    /// As it was added since.
    Added(&'a Grant),
}

impl<'a> GrantView<'a> {
    /// Its id.
    pub(crate) fn id(self) -> Option<GrantId> {
        match self {
            Self::Packed(grant) => grant_id(grant.id()),
            Self::Added(grant) => Some(grant.id().clone()),
        }
    }

    /// Who holds it.
    pub(crate) fn holder(self) -> Option<EntityUid> {
        match self {
            Self::Packed(grant) => grant.holder(),
            Self::Added(grant) => Some(grant.holder().clone()),
        }
    }

    /// Where; `None` is everywhere.
    pub(crate) fn resource(self) -> Option<EntityUid> {
        match self {
            Self::Packed(grant) => grant.resource(),
            Self::Added(grant) => grant.resource().cloned(),
        }
    }

    /// What it confers.
    pub(crate) fn confers(self) -> Option<Cow<'a, Confers>> {
        match self {
            Self::Packed(grant) => grant.confers().map(Cow::Borrowed),
            Self::Added(grant) => Some(Cow::Owned(Confers::of(grant))),
        }
    }

    /// The grant itself; of one that was loaded, the reason is not told.
    pub(super) fn owned(self) -> Option<Grant> {
        const NOT_KEPT: &str = "not kept";
        let confers = self.confers()?.into_owned();
        let conferred = match confers {
            Confers::Role(role) => Conferred::Role { role, resource: self.resource() },
            Confers::Scopes(pattern) => Conferred::Scope(pattern),
        };
        Grant::new(self.id()?, self.holder()?, conferred, self.term()?, NOT_KEPT).ok()
    }

    /// When it is in force.
    pub(crate) fn term(self) -> Option<Term> {
        match self {
            Self::Packed(grant) => grant.term(),
            Self::Added(grant) => Some(*grant.term()),
        }
    }
}
