//! Decisions as they arrive, told one by one, and where that can go on.

use std::collections::VecDeque;
use std::pin::Pin;
use std::time::Duration;

use futures_util::stream::{self, Stream};
use magistrate_ledger::{DecisionId, RecordedDecision};
use magistrate_model::{Instant, Malformed, Span};
use magistrate_pdp::Clock;
use magistrate_pdp::history::{Cursor, Tail, Told};
use magistrate_proto::v1;
use tokio::sync::OwnedSemaphorePermit;
use tonic::Status;

use super::{Archive, reply};
use crate::status::{Refusal, status};

/// How often a tail looks for new decisions.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Decisions that a tail begins with at most.
const NEWEST: u32 = 1_000;
/// Decisions that a caller may name as told.
const TOLD: usize = 2_000;
/// Streams up to which where a tail is takes little room, and is told whenever something was found.
const FEW: usize = 50;
/// How often it is told else.
const TOKEN_EVERY: Span = Span::seconds(10);

pub(super) type Tailing = Pin<Box<dyn Stream<Item = Result<v1::RecordedDecision, Status>> + Send>>;

/// Where a caller begins.
pub(super) enum Begin {
    /// With the newest so many.
    Newest(u32),
    /// Behind what was told.
    Behind(Cursor),
}

/// Reads where a caller begins.
pub(super) fn begin(wire: &v1::TailDecisionsRequest) -> Result<Begin, Malformed> {
    if wire.newest > NEWEST {
        return Err(Malformed::at("newest", format_args!("is {}; the most is {NEWEST}", wire.newest)));
    }
    if wire.resume_token.is_empty() {
        return match wire.told.is_empty() {
            true => Ok(Begin::Newest(wire.newest)),
            false => Err(Malformed::at("told", "says nothing without a `resume_token`")),
        };
    }
    if wire.newest > 0 {
        return Err(Malformed::at("newest", "is for a tail that begins, and this one goes on"));
    }
    if wire.told.len() > TOLD {
        return Err(Malformed::at("told", format_args!("has {} ids; the most is {TOLD}", wire.told.len())));
    }
    let mut cursor: Cursor = wire.resume_token.parse().map_err(|why| Malformed::at("resume_token", why))?;
    for (at, id) in wire.told.iter().enumerate() {
        let id: DecisionId = id.parse().map_err(|why| Malformed::at(format!("told[{at}]"), why))?;
        cursor.reach(id);
    }
    Ok(Begin::Behind(cursor))
}

/// A tail under way.
pub(super) struct Following<S, C> {
    archive: S,
    clock: C,
    tail: Tail,
    new: VecDeque<RecordedDecision>,
    /// There is more than that.
    more: bool,
    /// Where it can go on, for whoever wants to know.
    places: Option<Places>,
    /// Among the tails that there may be at a time.
    _place: OwnedSemaphorePermit,
}

/// What was told of where a tail is.
struct Places {
    /// To be told with the last of the decisions at hand.
    token: Option<String>,
    told_at: Instant,
    /// Something was looked at since.
    moved: bool,
}

impl<S: Archive, C: Clock> Following<S, C> {
    /// Begins with these decisions; where it is, is told with the last of them.
    pub(super) fn new(
        (archive, clock): (S, C),
        (tail, begin): (Tail, Vec<RecordedDecision>),
        resumable: bool,
        place: OwnedSemaphorePermit,
    ) -> Self {
        let places = || Places { token: Some(tail.cursor().to_string()), told_at: clock.now(), moved: false };
        let places = resumable.then(places);
        Self { archive, clock, tail, new: begin.into(), more: false, places, _place: place }
    }

    /// Every decision from here on.
    pub(super) fn stream(self) -> Tailing
    where
        S: 'static,
        C: 'static,
    {
        Box::pin(stream::unfold(Some(self), next))
    }

    fn take(&mut self, told: Told) {
        self.new.extend(told.decisions);
        self.more = told.more;
        let (cursor, now) = (self.tail.cursor(), self.clock.now());
        let Some(places) = &mut self.places else { return };
        places.moved |= told.moved;
        let is_due = now.since(places.told_at) >= TOKEN_EVERY || (cursor.streams() <= FEW && !self.new.is_empty());
        if places.moved && is_due {
            *places = Places { token: Some(cursor.to_string()), told_at: now, moved: false };
        }
    }

    fn token(&mut self) -> Option<String> {
        self.places.as_mut().and_then(|places| places.token.take())
    }
}

/// The next decision, once there is one. A history that cannot be read ends the stream.
async fn next<S: Archive, C: Clock>(
    following: Option<Following<S, C>>,
) -> Option<(Result<v1::RecordedDecision, Status>, Option<Following<S, C>>)> {
    let mut following = following?;
    loop {
        if let Some(decision) = following.new.pop_front() {
            let mut wire = reply::decision(&decision);
            if following.new.is_empty() {
                wire.tail_token = following.token().unwrap_or_default();
            }
            return Some((Ok(wire), Some(following)));
        }
        if let Some(tail_token) = following.token() {
            return Some((Ok(v1::RecordedDecision { tail_token, ..Default::default() }), Some(following)));
        }
        if !following.more {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        match following.tail.next(&following.archive).await {
            Ok(told) => following.take(told),
            Err(error) => return Some((Err(status(&Refusal::History(error))), None)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "07070707070707070707070707070707-5";

    fn refused(wire: &v1::TailDecisionsRequest) -> String {
        begin(wire).err().unwrap().to_string()
    }

    #[test]
    fn tail_begins_or_goes_on_and_never_both() {
        let newest = v1::TailDecisionsRequest { newest: 7, ..Default::default() };
        assert!(matches!(begin(&newest), Ok(Begin::Newest(7))));
        let token = "t1,07070707070707070707070707070707-3".to_owned();
        let told = v1::TailDecisionsRequest { resume_token: token, told: vec![ID.to_owned()], ..Default::default() };
        let Ok(Begin::Behind(cursor)) = begin(&told) else { panic!("it goes on") };
        assert_eq!(cursor.to_string(), format!("t1,{ID}"), "what was told since counts");
        assert!(refused(&v1::TailDecisionsRequest { newest: 1, ..told.clone() }).contains("goes on"));
        assert!(refused(&v1::TailDecisionsRequest { resume_token: String::new(), ..told.clone() }).contains("told"));
        let bad = v1::TailDecisionsRequest { resume_token: "d1".to_owned(), ..told.clone() };
        assert!(refused(&bad).contains("begin again"));
        assert!(refused(&v1::TailDecisionsRequest { told: vec!["x".to_owned()], ..told.clone() }).contains("told[0]"));
        let many = vec![ID.to_owned(); TOLD + 1];
        assert!(refused(&v1::TailDecisionsRequest { told: many, ..told }).contains("the most is 2000"));
        let many = v1::TailDecisionsRequest { newest: NEWEST + 1, ..Default::default() };
        assert!(refused(&many).contains("the most is 1000"));
    }
}
