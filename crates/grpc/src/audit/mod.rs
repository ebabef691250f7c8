//! The auditors' door: the decision history over gRPC.

mod page;
mod reply;
mod request;
mod tail;
mod turn;

use std::sync::Arc;
use std::time::Duration;

use magistrate_ledger::proof::Proof;
use magistrate_ledger::{DecisionId, RecordedDecision, StoredCheckpoint};
use magistrate_model::Malformed;
use magistrate_pdp::history::replay::{NotReplayable, Replayer, replay_by};
use magistrate_pdp::history::{self, Access, Found, Proving, Reading, Tail, check_stretches, record_access};
use magistrate_pdp::{
    CheckError, Clock, DecisionHistory, Evidence, GlobalLog, HistoryError, LoadError, Page, PastStates, PolicySource,
    Position, Sequencing,
};
use magistrate_proto::v1::audit_service_server::AuditService;
use magistrate_proto::v1::{self, SearchDecisionsRequest, SearchDecisionsResponse};
use prost::Message as _;
use tokio::sync::{Mutex, Semaphore};
use tonic::{Extensions, Request, Response, Status};

use crate::service::known;
use crate::status::{Refusal, status};
use tail::{Begin, Following, LOOK_EVERY, Tailing};

/// Everything that is read of a store.
pub trait Archive: DecisionHistory + Evidence + GlobalLog + PastStates + PolicySource + Sequencing + Clone {}

impl<S: DecisionHistory + Evidence + GlobalLog + PastStates + PolicySource + Sequencing + Clone> Archive for S {}

/// Rows read for one page at most, where records must be looked into.
const ROWS: u32 = 20_000;
/// Rows read for one count at most, likewise.
const COUNTED: u32 = 1_000_000;
/// Bytes of decisions in one answer, about: callers take 4 MiB unless they say otherwise.
const ANSWER_BYTES: usize = 3 << 20;
/// Tails at a time; each asks the store four times a second.
const TAILS: usize = 16;
/// States that are kept between replays, and entities, grants and changes that one is made of at most.
const STATES: usize = 2;
const LARGEST: u64 = 2_000_000;
/// The longest that a decision is made again.
const REPLAY: Duration = Duration::from_mins(1);

/// The gRPC door of a history.
#[derive(Debug)]
pub struct AuditDoor<S, C> {
    archive: S,
    clock: C,
    /// Chance, for the names of acts.
    random: fn() -> [u8; 16],
    default_namespace: String,
    /// One decision is made again at a time: its state may be large.
    replayer: Mutex<Replayer<S>>,
    tails: Arc<Semaphore>,
}

impl<S: Archive, C: Clock + Clone> AuditDoor<S, C> {
    /// A door to what this store holds. Bare action ids belong to `default_namespace`; empty is the root.
    pub fn new(archive: S, clock: C, random: fn() -> [u8; 16], default_namespace: String) -> Self {
        let replayer = Replayer::new(archive.clone()).keeping(STATES).at_most(LARGEST);
        Self {
            archive,
            clock,
            random,
            default_namespace,
            replayer: Mutex::new(replayer),
            tails: Arc::new(Semaphore::new(TAILS)),
        }
    }

    /// Records who reads what, before anything of it is told.
    async fn note(&self, who: &Extensions, verb: &'static str, query: String, records: u64) -> Result<(), Refusal> {
        let who = known(who);
        let named = match (who.caller, who.address) {
            (Some(key), _) => format!("key:{key}"),
            (None, Some(address)) => format!("peer:{address}"),
            (None, None) => "local".to_owned(),
        };
        let actor = named.parse().map_err(|why| HistoryError::Unreachable(format!("`{named}` is no actor: {why}")))?;
        let access = Access { actor, verb, query, records };
        Ok(record_access(&self.archive, access, (self.random)(), self.clock.now()).await?)
    }

    async fn search(
        &self,
        wire: &SearchDecisionsRequest,
        who: &Extensions,
    ) -> Result<SearchDecisionsResponse, Refusal> {
        let words = request::words(wire.filter.as_ref())?;
        let filter = words.filter(&self.default_namespace)?;
        let limit = request::page_size(wire.page_size)?;
        let asked = page::asked(&words, wire.oldest_first);
        let from = page::position(&wire.page_token, asked)?;
        let page = if wire.oldest_first { Page::OldestFirst(from) } else { Page::NewestFirst(from) };
        let found = history::search(&self.archive, &filter, page, Reading { limit, rows: ROWS }).await?;
        let (decisions, next) = fitting(&found);
        self.note(who, "SearchDecisions", words.line(), decisions.len() as u64).await?;
        let next_page_token = next.map(|next| page::token(next, asked)).unwrap_or_default();
        Ok(SearchDecisionsResponse { decisions, next_page_token })
    }

    async fn count(
        &self,
        wire: &v1::CountDecisionsRequest,
        who: &Extensions,
    ) -> Result<v1::CountDecisionsResponse, Refusal> {
        let words = request::words(wire.filter.as_ref())?;
        let filter = words.filter(&self.default_namespace)?;
        self.note(who, "CountDecisions", words.line(), 0).await?;
        let stretch = wire.stretch.as_ref().map(request::span).transpose()?;
        if let Some(stretch) = stretch {
            let since = filter.since.ok_or_else(|| Malformed::at("filter.since", "is needed for a histogram"))?;
            let time = filter.until.unwrap_or(self.clock.now()).since(since);
            check_stretches(time, stretch).map_err(|why| Malformed::at("stretch", why))?;
        }
        let tally = history::tally(&self.archive, &filter, stretch.unwrap_or(history::ALL_TIME), COUNTED).await?;
        Ok(reply::tally(&tally, stretch.is_some()))
    }

    async fn find(&self, id: &str) -> Result<RecordedDecision, Refusal> {
        let id: DecisionId = id.parse().map_err(|why| Malformed::at("decision_id", why))?;
        self.archive.find(id).await?.ok_or(Refusal::NoSuchDecision(id))
    }

    async fn replay(
        &self,
        wire: &v1::ReplayDecisionRequest,
        who: &Extensions,
    ) -> Result<v1::ReplayDecisionResponse, Refusal> {
        let decision = self.find(&wire.decision_id).await?;
        let mut replayer = turn::take(&self.replayer)?;
        self.note(who, "ReplayDecision", wire.decision_id.clone(), 1).await?;
        let replaying = async {
            match wire.under_current {
                false => replayer.replay(&decision).await,
                true => {
                    let head = self.archive.standing().await?.head;
                    let view = replayer.state(head.revision).await?;
                    replay_by(&view, &decision)
                }
            }
        };
        match turn::within(REPLAY, replaying).await? {
            Err(NotReplayable::Load(why @ (LoadError::Unreachable(_) | LoadError::Replaced(_)))) => {
                Err(HistoryError::Unreachable(why.to_string()).into())
            }
            outcome => Ok(reply::replayed(&outcome, wire.under_current)),
        }
    }

    async fn prove(&self, wire: &v1::ProveRequest, who: &Extensions) -> Result<v1::ProveResponse, Refusal> {
        let id = self.find(&wire.decision_id).await?.id;
        match history::prove(&self.archive, id).await? {
            Proving::Whole(proof) => {
                // A proof tells the record.
                self.note(who, "Prove", id.to_string(), 1).await?;
                let proof = Proof::Decision(proof).to_json().to_string();
                Ok(v1::ProveResponse { proof, pending: String::new() })
            }
            Proving::Pending(why) => Ok(v1::ProveResponse { proof: String::new(), pending: why.to_owned() }),
            Proving::Contradicted(why) => Err(Refusal::Contradicted(why)),
        }
    }

    async fn tail(&self, wire: &v1::TailDecisionsRequest, who: &Extensions) -> Result<Tailing, Refusal> {
        let words = request::words(wire.filter.as_ref())?;
        let filter = words.filter(&self.default_namespace)?;
        let begin = tail::begin(wire)?;
        let overloaded = |_| CheckError::Overloaded { retry_after: LOOK_EVERY };
        let place = Arc::clone(&self.tails).try_acquire_owned().map_err(overloaded)?;
        let (tail, begin) = match begin {
            Begin::Newest(decisions) => Tail::begin(&self.archive, filter, decisions).await?,
            Begin::Behind(cursor) => match Tail::resume(&self.archive, filter, cursor).await? {
                Some(tail) => (tail, Vec::new()),
                None => {
                    return Err(Malformed::at("resume_token", "is of another history; begin again without one").into());
                }
            },
        };
        if wire.resumable {
            tail.cursor().check().map_err(|why| Malformed::at("resumable", why))?;
        }
        self.note(who, "TailDecisions", words.line(), begin.len() as u64).await?;
        let of = (self.archive.clone(), self.clock.clone());
        Ok(Following::new(of, (tail, begin), wire.resumable, place).stream())
    }

    async fn checkpoints(&self, wire: &v1::ListCheckpointsRequest) -> Result<v1::ListCheckpointsResponse, Refusal> {
        let limit = request::page_size(wire.page_size)?;
        let after = page::checkpoint(&wire.page_token)?;
        let (after, size) =
            after.as_ref().map_or(("", 0), |(origin, size)| (origin.as_str(), u64::try_from(*size).unwrap_or(0)));
        let origin = Some(wire.origin.as_str()).filter(|origin| !origin.is_empty());
        // One more tells whether there is more.
        let mut page = self.archive.checkpoints_after(origin, (after, size), limit.saturating_add(1)).await?;
        let is_more = page.len() > limit as usize;
        page.truncate(limit as usize);
        let token = |last: &StoredCheckpoint| page::checkpoint_token(&last.origin, last.size);
        let next = page.last().filter(|_| is_more).map(token);
        Ok(v1::ListCheckpointsResponse {
            checkpoints: page.iter().map(reply::checkpoint).collect(),
            next_page_token: next.unwrap_or_default(),
        })
    }
}

/// As many decisions of a page as fit into an answer, at least one, and where to go on.
fn fitting(found: &Found) -> (Vec<v1::RecordedDecision>, Option<Position>) {
    let (mut told, mut bytes, mut last) = (Vec::new(), 0, None);
    for decision in &found.decisions {
        let wire = reply::decision(decision);
        bytes += wire.encoded_len();
        if bytes > ANSWER_BYTES && last.is_some() {
            return (told, last);
        }
        last = Some(Position::of(decision));
        told.push(wire);
    }
    (told, found.next)
}

#[tonic::async_trait]
impl<S: Archive, C: Clock + Clone> AuditService for AuditDoor<S, C> {
    type TailDecisionsStream = Tailing;

    async fn search_decisions(
        &self,
        request: Request<SearchDecisionsRequest>,
    ) -> Result<Response<SearchDecisionsResponse>, Status> {
        respond(self.search(request.get_ref(), request.extensions()).await)
    }

    async fn count_decisions(
        &self,
        request: Request<v1::CountDecisionsRequest>,
    ) -> Result<Response<v1::CountDecisionsResponse>, Status> {
        respond(self.count(request.get_ref(), request.extensions()).await)
    }

    async fn get_decision(
        &self,
        request: Request<v1::GetDecisionRequest>,
    ) -> Result<Response<v1::RecordedDecision>, Status> {
        let show = async {
            let found = self.find(&request.get_ref().decision_id).await?;
            self.note(request.extensions(), "GetDecision", found.id.to_string(), 1).await?;
            Ok(reply::decision(&found))
        };
        respond(show.await)
    }

    async fn tail_decisions(
        &self,
        request: Request<v1::TailDecisionsRequest>,
    ) -> Result<Response<Self::TailDecisionsStream>, Status> {
        respond(self.tail(request.get_ref(), request.extensions()).await)
    }

    async fn replay_decision(
        &self,
        request: Request<v1::ReplayDecisionRequest>,
    ) -> Result<Response<v1::ReplayDecisionResponse>, Status> {
        respond(self.replay(request.get_ref(), request.extensions()).await)
    }

    async fn prove(&self, request: Request<v1::ProveRequest>) -> Result<Response<v1::ProveResponse>, Status> {
        respond(self.prove(request.get_ref(), request.extensions()).await)
    }

    async fn list_checkpoints(
        &self,
        request: Request<v1::ListCheckpointsRequest>,
    ) -> Result<Response<v1::ListCheckpointsResponse>, Status> {
        respond(self.checkpoints(request.get_ref()).await)
    }
}

fn respond<T>(outcome: Result<T, Refusal>) -> Result<Response<T>, Status> {
    outcome.map(Response::new).map_err(|refusal| status(&refusal))
}

#[cfg(test)]
mod tests {
    use magistrate_testkit::instant;
    use magistrate_testkit::store_suite::sample::{Decided, sealed, stream};

    use super::*;

    fn found(count: usize) -> Found {
        let record = sealed(stream(1), &[Decided::at(instant("2026-06-01T12:00:00Z"))]).remove(0);
        let decision = RecordedDecision::decode(record.id, &record.bytes).unwrap();
        let numbered = |seq: u64| RecordedDecision { id: DecisionId { seq, ..record.id }, ..decision.clone() };
        let decisions: Vec<_> = (1..).take(count).map(numbered).collect();
        let next = decisions.last().map(Position::of);
        Found { decisions, next }
    }

    #[test]
    fn answer_is_bounded_in_bytes_and_goes_on_behind_what_it_told() {
        let few = found(3);
        let (told, next) = fitting(&few);
        assert_eq!((told.len(), next), (3, few.next));
        let many = found(20_000);
        let (told, next) = fitting(&many);
        let bytes: usize = told.iter().map(prost::Message::encoded_len).sum();
        assert!(bytes <= ANSWER_BYTES && bytes > ANSWER_BYTES / 2, "{bytes} bytes of {}", told.len());
        assert_eq!(next, many.decisions.get(told.len() - 1).map(Position::of));
        assert_eq!(fitting(&found(0)).1, None);
    }
}
