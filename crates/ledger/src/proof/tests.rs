//! Every element of a proof, forged.

use magistrate_model::{Cause, Instant};
use serde_json::{Value, json};

use super::*;
use crate::act::{Act, ActId, ActRecord};
use crate::log::Entry;
use crate::merkle::{Path, Subtree, Tree};
use crate::note::NoteSigner;
use crate::record::{Draft, SealedRecord};
use crate::sealer::{Sealer, origin};
use crate::stream::StreamId;
use crate::{Opening, Says};

const STREAM: StreamId = StreamId::new([7; 16]);
const LOG: LogId = LogId::new([8; 16]);

fn now() -> Instant {
    Instant::from_micros(1_780_315_200_000_000).unwrap()
}

fn signer() -> NoteSigner {
    NoteSigner::new("node-1", &[1; 32])
}

fn record(seq: u64) -> SealedRecord {
    let (question, verdict) = crate::tests::full(5, "text", Cause::Permitted);
    Draft::decision(&question, &verdict).seal(DecisionId { stream: STREAM, seq }, [3; 16])
}

fn act(number: u8) -> Digest {
    let act = Act::Access { verb: "search".to_owned(), query: String::new(), records: 1 };
    let sealed = ActRecord { id: ActId([number; 16]), at: now(), actor: "os/mia".parse().unwrap(), act }.seal();
    Entry::Act(sealed.unwrap()).leaf()
}

/// A root over leaves, and proofs of it.
struct Leaves(Vec<Digest>);

impl Leaves {
    fn root(&self, size: usize) -> Digest {
        self.0.iter().take(size).copied().collect::<Tree>().root()
    }

    fn path(&self, path: &Path) -> Vec<Digest> {
        let leaves = |it: Subtree| {
            let first = usize::try_from(it.index << it.level).unwrap();
            self.0[first..first + (1 << it.level)].iter().copied().collect::<Tree>().root()
        };
        path.build(|subtree| Some(leaves(subtree))).unwrap()
    }

    fn note(&self, origin: &str, size: usize, signer: &NoteSigner) -> String {
        signer.sign(&Checkpoint { origin: origin.to_owned(), size: size as u64, root: self.root(size) })
    }
}

/// Five records under the second header of a stream, which is the fifth of nine entries of the log.
fn world() -> (Leaves, Leaves, SealedHeader, SealedHeader) {
    let opening = Opening { node: "node-1".to_owned(), key: [9; 32], left: Vec::new() };
    let (mut sealer, first) = Sealer::begin(STREAM, signer(), opening, now());
    let batch: Vec<Digest> = (1..=5).map(|seq| record(seq).leaf).collect();
    (1..=5).for_each(|seq| sealer.take(&record(seq), now()));
    let header = sealer.seal_now(now()).unwrap();
    let mut log: Vec<Digest> = (0..9).map(act).collect();
    log[4] = header.hash;
    (Leaves(batch), Leaves(log), header, first)
}

fn decision() -> DecisionProof {
    let (batch, log, header, _) = world();
    DecisionProof {
        id: record(3).id,
        record: record(3).bytes,
        batch: Place { index: 2, path: batch.path(&Path::inclusion(2, 5).unwrap()) },
        header: header.bytes,
        log: Place { index: 4, path: log.path(&Path::inclusion(4, 9).unwrap()) },
        checkpoint: log.note(&LOG.origin(), 9, &signer()),
    }
}

fn consistency() -> ConsistencyProof {
    let (_, log, ..) = world();
    ConsistencyProof {
        old: log.note(&LOG.origin(), 6, &signer()),
        new: log.note(&LOG.origin(), 9, &signer()),
        path: log.path(&Path::consistency(6, 9).unwrap()),
    }
}

fn verify(json: &Value) -> Result<Proven, Refused> {
    Proof::parse(&json.to_string()).unwrap().verify(&[signer().verifier()])
}

#[test]
fn what_was_recorded_is_proven() {
    let Ok(Proven::Decision(proven)) = verify(&Proof::Decision(decision()).to_json()) else { panic!("it holds") };
    assert_eq!((proven.decision.id, proven.index, proven.checkpoint.size), (record(3).id, 4, 9));
    assert_eq!((proven.header.number, proven.header.says), (2, Says::Continues));
    let Ok(Proven::Consistency { old, new }) = verify(&Proof::Consistency(consistency()).to_json()) else {
        panic!("it holds")
    };
    assert_eq!((old.size, new.size, old.origin), (6, 9, LOG.origin()));
}

/// Which refusal is expected, without what it says in words.
#[derive(Debug, PartialEq)]
enum Named {
    Record,
    Header,
    NotCovered,
    NotInBatch,
    Untrusted,
    OtherLog,
    NotInLog,
    Forked,
    NotContinued,
}

fn name(refused: &Refused) -> Named {
    match refused {
        Refused::Record(_) => Named::Record,
        Refused::Header(_) => Named::Header,
        Refused::NotCovered => Named::NotCovered,
        Refused::NotInBatch => Named::NotInBatch,
        Refused::Untrusted(_) => Named::Untrusted,
        Refused::OtherLog(_) => Named::OtherLog,
        Refused::NotInLog => Named::NotInLog,
        Refused::Forked(_) => Named::Forked,
        Refused::NotContinued => Named::NotContinued,
    }
}

#[track_caller]
fn check(proof: &Value, pointer: &str, value: Value, expected: &Named) {
    let mut forged = proof.clone();
    let element = forged.pointer_mut(pointer).unwrap();
    assert_ne!(*element, value, "{pointer}");
    *element = value;
    assert_eq!(&name(&verify(&forged).unwrap_err()), expected, "{pointer}");
}

#[test]
fn every_forged_element_of_a_decision_is_refused_by_name() {
    let (batch, log, header, first) = world();
    let proof = Proof::Decision(decision()).to_json();
    let base64 = |bytes: &[u8]| json!(data_encoding::BASE64.encode(bytes));
    let note = |origin: &str, signer: &NoteSigner| json!(log.note(origin, 9, signer));
    check(&proof, "/id", json!(record(2).id.to_string()), &Named::Record);
    check(&proof, "/record", base64(&record(2).bytes), &Named::Record);
    check(&proof, "/record", json!(""), &Named::Record);
    check(&proof, "/header", json!(""), &Named::Header);
    check(&proof, "/header", base64(&first.bytes), &Named::NotCovered);
    check(&proof, "/batch/index", json!(1), &Named::NotCovered);
    check(&proof, "/batch/path/0", json!(Digest::ZERO.to_string()), &Named::NotInBatch);
    check(&proof, "/batch/path/2", json!(batch.0[0].to_string()), &Named::NotInBatch);
    check(&proof, "/batch/path", json!([]), &Named::NotInBatch);
    check(&proof, "/log/index", json!(5), &Named::NotInLog);
    check(&proof, "/log/index", json!(u64::MAX), &Named::NotInLog);
    check(&proof, "/log/path/0", json!(Digest::ZERO.to_string()), &Named::NotInLog);
    check(&proof, "/log/path", json!([]), &Named::NotInLog);
    check(&proof, "/checkpoint", json!("nonsense"), &Named::Untrusted);
    check(&proof, "/checkpoint", note(&LOG.origin(), &NoteSigner::new("node-1", &[2; 32])), &Named::Untrusted);
    check(&proof, "/checkpoint", json!(decision().checkpoint.replace("\n9\n", "\n8\n")), &Named::Untrusted);
    // What a pinned key signed over another log, or over a stream.
    check(&proof, "/checkpoint", note(&origin(STREAM), &signer()), &Named::OtherLog);
    check(&proof, "/checkpoint", json!(log.note(&LOG.origin(), 8, &signer())), &Named::NotInLog);
    // Any bit of the record and of the header.
    for at in 0..decision().record.len() {
        let mut forged = decision();
        forged.record[at] ^= 1;
        let refused = name(&forged.verify(&[signer().verifier()]).unwrap_err());
        assert!([Named::Record, Named::NotInBatch].contains(&refused), "byte {at}: {refused:?}");
    }
    for at in 0..header.bytes.len() {
        let mut forged = decision();
        forged.header[at] ^= 1;
        assert!(forged.verify(&[signer().verifier()]).is_err(), "byte {at}");
    }
    assert_eq!(name(&decision().verify(&[]).unwrap_err()), Named::Untrusted, "without a key nothing is believed");
}

/// A header that its writer made up is a header, and it covers the record: only the log shows it.
#[test]
fn header_that_nobody_logged_is_refused() {
    let (_, _, header, _) = world();
    let mut other = header.header;
    other.number = 9;
    let forged = DecisionProof { header: other.seal().bytes, ..decision() };
    assert_eq!(forged.verify(&[signer().verifier()]), Err(Refused::NotInLog));
}

/// A node that covers a record of another one's, and logs that.
#[test]
fn header_of_another_stream_is_refused() {
    let (_, mut log, header, _) = world();
    let mut other = header.header;
    other.stream = StreamId::new([6; 16]);
    let other = other.seal();
    log.0[4] = other.hash;
    let log_place = Place { index: 4, path: log.path(&Path::inclusion(4, 9).unwrap()) };
    let checkpoint = log.note(&LOG.origin(), 9, &signer());
    let forged = DecisionProof { header: other.bytes, log: log_place, checkpoint, ..decision() };
    assert_eq!(forged.verify(&[signer().verifier()]), Err(Refused::NotCovered));
}

#[test]
fn every_forged_element_of_a_consistency_proof_is_refused_by_name() {
    let (_, log, ..) = world();
    let proof = Proof::Consistency(consistency()).to_json();
    let note = |origin: &str, size| json!(log.note(origin, size, &signer()));
    check(&proof, "/old", note(&LOG.origin(), 5), &Named::NotContinued);
    check(&proof, "/new", note(&LOG.origin(), 8), &Named::NotContinued);
    check(&proof, "/new", note(&LOG.origin(), 5), &Named::NotContinued);
    check(&proof, "/new", note(&LogId::new([9; 16]).origin(), 9), &Named::OtherLog);
    check(&proof, "/old", note(&origin(STREAM), 6), &Named::OtherLog);
    check(&proof, "/path/0", json!(Digest::ZERO.to_string()), &Named::NotContinued);
    check(&proof, "/path", json!([]), &Named::NotContinued);
    check(&proof, "/old", json!(consistency().old.replace("\n6\n", "\n5\n")), &Named::Untrusted);
    let mut forked = world().1;
    forked.0[8] = Digest::ZERO;
    check(&proof, "/old", json!(forked.note(&LOG.origin(), 9, &signer())), &Named::Forked);
    forked.0[2] = Digest::ZERO;
    check(&proof, "/old", json!(forked.note(&LOG.origin(), 6, &signer())), &Named::NotContinued);
}

#[test]
fn text_that_is_no_proof_is_refused() {
    let valid = Proof::Decision(decision()).to_json();
    let edits: [(&str, Value); 8] = [
        ("/version", json!(2)),
        ("/kind", json!("other")),
        ("/id", json!("7-x")),
        ("/record", json!("*")),
        ("/batch/index", json!(-1)),
        ("/batch/path/0", json!("00")),
        ("/log/path", json!(vec![Digest::ZERO.to_string(); LONGEST_PATH_AND_ONE])),
        ("/log", json!({ "index": 4, "path": [], "more": 1 })),
    ];
    for (pointer, value) in edits {
        let mut other = valid.clone();
        *other.pointer_mut(pointer).unwrap() = value;
        assert!(Proof::parse(&other.to_string()).is_err(), "{pointer}");
    }
    let mut more = valid;
    more["more"] = json!(1);
    assert!(Proof::parse(&more.to_string()).unwrap_err().to_string().contains("`more` means nothing"));
    assert!(Proof::parse("[").is_err() && Proof::parse("[]").is_err() && Proof::parse("{}").is_err());
    assert!(Proof::parse(&" ".repeat(16 * 1024 * 1024 + 1)).unwrap_err().to_string().contains("longer"));
}

const LONGEST_PATH_AND_ONE: usize = 66;
