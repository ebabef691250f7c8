//! What changed lately, so that answers to what did not can be used again.

use magistrate_model::{Effect, EntityUid, Grant, Revision};

use crate::directory::{Map, map};

/// What changed up to the state it belongs to, and by which state that was first served. What is long ago is not told apart:
/// everything may have changed then.
#[derive(Debug, Clone)]
pub(crate) struct Touched {
    /// Up to here everything may have changed.
    everything: Revision,
    by_uid: Map<EntityUid, Touch>,
}

/// When something about an entity last changed; [`Revision::ZERO`] is not since everything may have.
#[derive(Debug, Clone, Copy, Default)]
struct Touch {
    /// It was stored, changed or deleted.
    itself: Revision,
    /// A grant that it holds everywhere.
    held_everywhere: Revision,
    /// A grant that it holds somewhere.
    held: Revision,
    /// A grant that somebody holds on it.
    place: Revision,
}

impl Touched {
    /// At this revision everything may have changed.
    pub(crate) fn everything(revision: Revision) -> Self {
        Self { everything: revision, by_uid: map() }
    }

    /// The same after further changes, which are served from this revision on. At most so many uids are told apart.
    pub(crate) fn followed(&self, effects: &[Effect], revision: Revision, most: usize) -> Self {
        if effects.len() > most {
            return Self::everything(revision);
        }
        let mut touched = self.clone();
        for effect in effects {
            match effect {
                Effect::Entity(it) => {
                    let uids = it.before.iter().chain(&it.after).map(|entity| &entity.uid);
                    uids.for_each(|uid| touched.note(uid, |touch| touch.itself = revision));
                }
                Effect::Grant(it) => it.before.iter().chain(&it.after).for_each(|it| touched.note_grant(it, revision)),
                // A grant of scopes confers what the catalogue holds, and that hangs on no entity.
                Effect::Scope(_) => return Self::everything(revision),
                // Answers of other policies are told by their digest.
                Effect::PolicySet(_) => {}
            }
        }
        match touched.by_uid.size() > most {
            true => Self::everything(revision),
            false => touched,
        }
    }

    fn note_grant(&mut self, grant: &Grant, revision: Revision) {
        match grant.resource() {
            None => self.note(grant.holder(), |touch| touch.held_everywhere = revision),
            Some(resource) => {
                self.note(grant.holder(), |touch| touch.held = revision);
                self.note(resource, |touch| touch.place = revision);
            }
        }
    }

    fn note(&mut self, uid: &EntityUid, note: impl FnOnce(&mut Touch)) {
        let mut touch = self.by_uid.get(uid).copied().unwrap_or_default();
        note(&mut touch);
        self.by_uid.insert_mut(uid.clone(), touch);
    }

    /// Whether anything may have changed after `held` that these entities have to do with: one of them, a grant that one of
    /// them holds everywhere, or one that is held by one of them on one of them.
    pub(crate) fn concerns<'a>(&self, uids: impl Iterator<Item = &'a EntityUid>, held: Revision) -> bool {
        if self.everything > held {
            return true;
        }
        if self.by_uid.is_empty() {
            return false;
        }
        let (mut holds, mut is_place) = (false, false);
        for touch in uids.filter_map(|uid| self.by_uid.get(uid)) {
            if touch.itself.max(touch.held_everywhere) > held {
                return true;
            }
            holds |= touch.held > held;
            is_place |= touch.place > held;
        }
        holds && is_place
    }
}

#[cfg(test)]
mod tests {
    use magistrate_model::{Conferred, Difference, Digest, EntityData, Instant, ScopeDeclaration, Span, Term};

    use super::*;

    fn uid(text: &str) -> EntityUid {
        EntityUid::parse_shorthand(text).unwrap()
    }

    fn entity(of: &str) -> Effect {
        Effect::Entity(Difference { before: None, after: Some(EntityData::bare(uid(of))) })
    }

    fn gone(of: &str) -> Effect {
        Effect::Entity(Difference { before: Some(EntityData::bare(uid(of))), after: None })
    }

    fn grant(holder: &str, place: Option<&str>) -> Grant {
        let conferred = Conferred::Role { role: uid("Role::r"), resource: place.map(uid) };
        let term = Term::until(None, Instant::EPOCH.plus(Span::hours(1))).unwrap();
        Grant::new("g".parse().unwrap(), uid(holder), conferred, term, "x").unwrap()
    }

    fn granted(holder: &str, place: Option<&str>) -> Effect {
        Effect::Grant(Difference { before: None, after: Some(grant(holder, place)) })
    }

    fn revoked(holder: &str, place: Option<&str>) -> Effect {
        Effect::Grant(Difference { before: Some(grant(holder, place)), after: None })
    }

    fn scope() -> Effect {
        let group = magistrate_model::ActionUid::new(uid("Action::g")).unwrap();
        let scope = ScopeDeclaration { name: "a:b".parse().unwrap(), action_group: group, description: String::new() };
        Effect::Scope(Difference { before: Some(scope), after: None })
    }

    /// Whether what hangs on `U::a`, `G::a` and `D::a`, and was true at revision 1, may be otherwise after a change.
    #[track_caller]
    fn check(effect: Effect, concerned: bool) {
        let told = format!("{effect:?}");
        let after = Touched::everything(Revision::new(1)).followed(&[effect], Revision::new(2), 10);
        let uids = ["U::a", "G::a", "D::a"].map(uid);
        assert_eq!(after.concerns(uids.iter(), Revision::new(1)), concerned, "{told}");
        assert!(!after.concerns(uids.iter(), Revision::new(2)), "what was found after it: {told}");
    }

    #[test]
    fn what_changed_concerns_what_has_to_do_with_it() {
        check(entity("G::a"), true);
        check(gone("G::a"), true);
        check(entity("G::b"), false);
        check(granted("U::a", None), true);
        check(revoked("U::a", None), true);
        check(granted("U::b", None), false);
        check(granted("G::a", Some("D::a")), true);
        check(revoked("G::a", Some("D::a")), true);
        check(granted("G::a", Some("D::b")), false);
        check(granted("G::b", Some("D::a")), false);
        check(scope(), true);
        check(Effect::PolicySet(Digest::ZERO), false);
    }

    #[test]
    fn what_was_before_everything_is_concerned() {
        let at = Touched::everything(Revision::new(5));
        let none = || std::iter::empty::<&EntityUid>();
        assert!(at.concerns(none(), Revision::new(4)));
        assert!(!at.concerns(none(), Revision::new(5)));
    }

    /// What is no longer told apart concerns everything, and what comes after is told apart again.
    #[test]
    fn more_than_is_told_apart_is_everything() {
        let uids = [uid("D::z")];
        let concerned = |touched: &Touched, held| touched.concerns(uids.iter(), Revision::new(held));
        let mut touched = Touched::everything(Revision::new(1));
        for (n, at) in (2..=4).enumerate() {
            touched = touched.followed(&[entity(&format!("D::x{n}"))], Revision::new(at), 3);
            assert!(!concerned(&touched, 1), "{at}");
        }
        touched = touched.followed(&[entity("D::x0")], Revision::new(5), 3);
        assert!(!concerned(&touched, 1), "the same again takes no room");
        touched = touched.followed(&[entity("D::x3")], Revision::new(6), 3);
        assert!(concerned(&touched, 5) && !concerned(&touched, 6));
        touched = touched.followed(&[entity("D::z")], Revision::new(7), 3);
        assert!(concerned(&touched, 6) && !concerned(&touched, 7));
        let many: Vec<Effect> = (0..4).map(|n| entity(&format!("D::y{n}"))).collect();
        assert!(concerned(&touched.followed(&many, Revision::new(8), 3), 7), "more at once");
    }
}
