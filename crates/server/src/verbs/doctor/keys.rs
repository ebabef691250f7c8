//! Whether callers have keys, and which of these end soon.

use magistrate_identity::{KeyKind, ListedKey};
use magistrate_model::Instant;
use magistrate_pap::Keys as _;

use super::{Report, State};
use crate::store::Store;
use crate::verbs::caller::SOON;

pub(super) async fn examine(report: &mut Report, store: &Store, required: bool, now: Instant) {
    match store.listed_keys().await {
        Ok(keys) => judge(report, &keys, required, now),
        Err(error) => report.add("keys", State::Failed, error.to_string()),
    }
}

fn judge(report: &mut Report, keys: &[ListedKey], required: bool, now: Instant) {
    let in_force: Vec<&ListedKey> = keys.iter().filter(|key| key.is_in_force(now)).collect();
    let asks = in_force.iter().any(|key| key.kind == KeyKind::Check);
    match (required && !asks, in_force.len()) {
        (true, _) => report.add(
            "keys",
            State::Warning,
            "callers must present a key, and none of the kind check is in force: nobody is answered; run \
             `magistrate caller key new --kind check`",
        ),
        (false, 1) => report.add("keys", State::Ok, "1 is in force"),
        (false, count) => report.add("keys", State::Ok, format!("{count} are in force")),
    }
    for key in in_force.iter().filter(|key| key.expires_at.since(now) < SOON) {
        let (id, caller, kind, end) = (&key.id, &key.caller, key.kind.name(), key.expires_at);
        report.add("key", State::Warning, format!("{id} of `{caller}` for {kind} ends at {end}; make its successor"));
    }
}

#[cfg(test)]
mod tests {
    use magistrate_model::{Authorship, Span};

    use super::*;

    const NOW: Instant = Instant::EPOCH;

    fn key(kind: KeyKind, hours: i64, is_revoked: bool) -> ListedKey {
        let by = Authorship { actor: "ana".parse().unwrap(), reason: "r".parse().unwrap(), at: NOW };
        ListedKey {
            id: "abcdefghij234567".parse().unwrap(),
            caller: "gateway".into(),
            kind,
            created: by.clone(),
            expires_at: NOW.plus(Span::hours(hours)),
            revoked: is_revoked.then_some(by),
        }
    }

    #[track_caller]
    fn check(keys: &[ListedKey], required: bool, expected: &[(State, &str)]) {
        let mut report = Report::default();
        judge(&mut report, keys, required, NOW);
        assert_eq!(report.0.len(), expected.len(), "{report:?}");
        for (found, (state, says)) in report.0.iter().zip(expected) {
            assert!(found.state == *state && found.says.contains(says), "{found:?}");
        }
    }

    #[test]
    fn keys_that_lack_or_end_soon_are_told_of() {
        use KeyKind::{Admin, Audit, Check};
        let (long, week) = (24 * 30, 24 * 7);
        let none = (State::Warning, "nobody is answered");
        check(&[], false, &[(State::Ok, "0 are in force")]);
        check(&[], true, &[none]);
        check(&[key(Check, long, false)], true, &[(State::Ok, "1 is in force")]);
        check(&[key(Check, long, true), key(Check, 0, false)], true, &[none]);
        check(&[key(Admin, long, false), key(Audit, week, false)], true, &[none]);
        check(
            &[key(Check, week - 1, false), key(Check, week, false), key(Check, 1, true)],
            true,
            &[(State::Ok, "2 are in force"), (State::Warning, "of `gateway` for check ends at 1970-01-07T23:00:00Z")],
        );
    }
}
