//! What comes out of a store, many pieces at a time: it can be handed to another thread, and is looked up together.

use magistrate_model::{ConferredRef, EntityData, GrantRef, ScopePattern, Term, TypeName, UidRef};

/// Entities and grants in the order in which they came. The texts of grants lie one after the other, so that a row costs
/// no allocation.
#[derive(Debug, Default)]
pub(super) struct Batch {
    entities: Vec<EntityData>,
    grants: Vec<Grant>,
    uids: Vec<Uid>,
    types: Vec<TypeName>,
    text: String,
}

/// A grant whose uids are told by their places among those of its batch.
#[derive(Debug)]
pub(super) struct Grant {
    pub(super) id: Text,
    pub(super) holder: usize,
    pub(super) confers: Confers,
    pub(super) term: Term,
}

#[derive(Debug)]
pub(super) enum Confers {
    Role { role: usize, resource: Option<usize> },
    Scopes(ScopePattern),
}

/// Where a text lies among those of its batch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Text {
    start: usize,
    end: usize,
}

#[derive(Debug, Clone, Copy)]
struct Uid {
    /// Its place among the types.
    type_at: usize,
    id: Text,
}

/// Bytes of texts after which a batch is full, however few pieces hold them.
const MOST_TEXT: usize = 1 << 18;

impl Batch {
    pub(super) fn entity(&mut self, entity: EntityData) {
        self.entities.push(entity);
    }

    pub(super) fn grant(&mut self, grant: &GrantRef<'_>) {
        let confers = match grant.conferred() {
            ConferredRef::Role { role, resource } => {
                Confers::Role { role: self.uid(*role), resource: resource.map(|resource| self.uid(resource)) }
            }
            ConferredRef::Scope(pattern) => Confers::Scopes(pattern.clone()),
        };
        let (id, holder) = (self.text(grant.id()), self.uid(grant.holder()));
        self.grants.push(Grant { id, holder, confers, term: *grant.term() });
    }

    fn uid(&mut self, uid: UidRef<'_>) -> usize {
        // Few types come in one batch, and the newest again and again.
        let type_at = self.types.iter().rposition(|known| known == uid.type_name()).unwrap_or_else(|| {
            self.types.push(uid.type_name().clone());
            self.types.len() - 1
        });
        let id = self.text(uid.id());
        self.uids.push(Uid { type_at, id });
        self.uids.len() - 1
    }

    fn text(&mut self, text: &str) -> Text {
        let start = self.text.len();
        self.text.push_str(text);
        Text { start, end: self.text.len() }
    }

    /// Whether it holds as many pieces as may be, or more text.
    pub(super) fn is_full(&self, most: usize) -> bool {
        self.entities.len() + self.grants.len() >= most || self.text.len() >= MOST_TEXT
    }

    pub(super) fn entities(&self) -> &[EntityData] {
        &self.entities
    }

    pub(super) fn grants(&self) -> &[Grant] {
        &self.grants
    }

    pub(super) fn types(&self) -> &[TypeName] {
        &self.types
    }

    /// Every uid of its grants: the place of its type among the types, and its id.
    pub(super) fn uids(&self) -> impl Iterator<Item = (usize, &str)> {
        self.uids.iter().map(|uid| (uid.type_at, self.get(uid.id)))
    }

    pub(super) fn get(&self, text: Text) -> &str {
        self.text.get(text.start..text.end).unwrap_or_default()
    }
}
