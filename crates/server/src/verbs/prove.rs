//! `audit prove` and `audit check-proof`: what can be shown to somebody who has no store.

use std::path::Path as FilePath;
use std::time::Duration;

use anyhow::{Context as _, bail};
use magistrate_ledger::proof::{ConsistencyProof, Proof, Proven, ProvenDecision};
use magistrate_ledger::{DecisionId, LogId, Path, is_consistent, read_note};
use magistrate_pdp::Evidence as _;
use magistrate_pdp::history::{Proving, in_log, newest_checkpoint, prove};
use serde_json::json;

use super::{audit, verify};
use crate::cli::{CheckProofArgs, ProveArgs};
use crate::exit::Exit;
use crate::output::Out;
use crate::signing;
use crate::store::Store;

/// How often, and how many times, is looked whether a checkpoint covers what is to be proven.
const LOOK_EVERY: Duration = Duration::from_millis(500);
const LOOKS: u32 = 120;
/// The longest proof that is read.
const LONGEST: u64 = 16 * 1024 * 1024;

/// What is stored contradicts itself, or what was signed.
const DAMAGED: &str = "what is stored does not prove it; `magistrate audit verify` tells what was done to it";

/// Makes a proof, and writes it.
pub(crate) async fn run(store: &Store, out: Out, args: &ProveArgs) -> anyhow::Result<Exit> {
    let made = match (&args.id, &args.since) {
        (Some(id), _) => decision(store, id.parse()?, args.wait).await?,
        (None, Some(since)) => consistency(store, since).await?,
        (None, None) => bail!("name a decision, or what the log is to go on from: --since"),
    };
    match made {
        Made::Whole(proof) => {
            tell(out, &proof, args.out.as_deref())?;
            Ok(Exit::Ok)
        }
        Made::Pending(why) => {
            out.either(|| format!("pending: {why}"), || json!({ "pending": why }))?;
            Ok(Exit::ChangesPending)
        }
        Made::Contradicted(why) => {
            out.either(|| format!("{why}: {DAMAGED}"), || json!({ "contradicted": why }))?;
            Ok(Exit::Integrity)
        }
    }
}

/// What came of it.
enum Made {
    Whole(Proof),
    /// It is not covered yet.
    Pending(&'static str),
    /// What is stored does not prove it.
    Contradicted(String),
}

impl From<Proving> for Made {
    fn from(proving: Proving) -> Self {
        match proving {
            Proving::Whole(proof) => Self::Whole(Proof::Decision(proof)),
            Proving::Pending(why) => Self::Pending(why),
            Proving::Contradicted(why) => Self::Contradicted(why),
        }
    }
}

fn tell(out: Out, proof: &Proof, file: Option<&FilePath>) -> anyhow::Result<()> {
    let json = proof.to_json();
    let Some(file) = file else { return Ok(out.json(&json)?) };
    let written = signing::replace(file, &format!("{json}\n"));
    written.with_context(|| format!("cannot write the proof to `{}`", file.display()))?;
    let file = file.display().to_string();
    Ok(out.either(
        || format!("the proof is in `{file}`; `magistrate audit check-proof` verifies it"),
        || json!({ "proof": file }),
    )?)
}

/// A decision, when a checkpoint of the log covers it; that is waited for, if asked.
async fn decision(store: &Store, id: DecisionId, wait: bool) -> anyhow::Result<Made> {
    audit::find_shipped(store, id).await?.with_context(|| {
        format!("there is no decision `{id}` in this history; one that was just made may still be in the journal of its node")
    })?;
    // A proof tells the record.
    audit::note(store, "prove", id.to_string(), 1).await?;
    let mut made = Made::from(prove(store, id).await?);
    for _ in 0..LOOKS {
        if !(wait && matches!(made, Made::Pending(_))) {
            break;
        }
        tokio::time::sleep(LOOK_EVERY).await;
        made = prove(store, id).await?.into();
    }
    Ok(made)
}

/// That the log goes on from an earlier checkpoint: one of a file, or the stored one of a size.
async fn consistency(store: &Store, since: &str) -> anyhow::Result<Made> {
    let newest = newest_checkpoint(store).await?.context("there is no checkpoint of the global log yet")?;
    let (new, newer) = newest.map_err(anyhow::Error::msg)?;
    let old = match since.parse::<i64>() {
        Ok(size) => {
            let of_size = |it: &magistrate_ledger::StoredCheckpoint| it.origin == newer.origin && it.size == size;
            store.checkpoints().await?.into_iter().find(of_size).map(|it| it.note)
        }
        Err(_) => newest_of(FilePath::new(since))?,
    };
    let old = old.with_context(|| format!("there is no checkpoint of the global log at `{since}`"))?;
    let older = read_note(&old)?;
    let path = in_log(store, Path::consistency(older.size, newer.size)).await?.unwrap_or_default();
    let holds = is_consistent((older.size, older.root), (newer.size, newer.root), &path);
    if older.origin != newer.origin || !holds {
        return Ok(Made::Contradicted(format!("the log does not go on from its {} entries", older.size)));
    }
    Ok(Made::Whole(Proof::Consistency(ConsistencyProof { old, new, path })))
}

/// The checkpoint of a global log that covers most, of a file of them, or of one that is a note itself.
fn newest_of(path: &FilePath) -> anyhow::Result<Option<String>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    let notes = match read_note(&text) {
        Ok(_) => vec![text],
        Err(_) => signing::notes_in(path)?,
    };
    let of_log = |note: String| {
        let checkpoint = read_note(&note).ok()?;
        LogId::of_origin(&checkpoint.origin).map(|_| (checkpoint.size, note))
    };
    Ok(notes.into_iter().filter_map(of_log).max().map(|(_, note)| note))
}

/// Verifies a proof with nothing but it and pinned keys.
pub(crate) fn check(out: Out, args: &CheckProofArgs) -> anyhow::Result<Exit> {
    use std::io::Read as _;
    let keys = verify::keys_of(&args.key)?;
    let cannot = || format!("cannot read the proof in `{}`", args.file.display());
    let mut text = String::new();
    std::fs::File::open(&args.file)
        .with_context(cannot)?
        .take(LONGEST + 1)
        .read_to_string(&mut text)
        .with_context(cannot)?;
    let proven = Proof::parse(&text).map_err(|why| why.to_string());
    let proven = proven.and_then(|proof| proof.verify(&keys).map_err(|why| why.to_string()));
    match proven {
        Ok(proven) => {
            out.either(|| said(&proven), || said_json(&proven))?;
            Ok(Exit::Ok)
        }
        Err(why) => {
            out.either(|| format!("does not hold: {why}"), || json!({ "holds": false, "why": why }))?;
            Ok(Exit::Integrity)
        }
    }
}

fn said(proven: &Proven) -> String {
    match proven {
        Proven::Decision(proven) => {
            let ProvenDecision { decision, header, index, checkpoint } = proven.as_ref();
            format!(
                "{}\nis what was recorded: under header {} of its stream, made at {}, entry {index} of {}, under the checkpoint over {} entries",
                super::decision_row(decision).join("  "),
                header.number,
                header.made_at,
                checkpoint.origin,
                checkpoint.size
            )
        }
        Proven::Consistency { old, new } => {
            format!("{} at {} entries begins with all that it had at {}", new.origin, new.size, old.size)
        }
    }
}

fn said_json(proven: &Proven) -> serde_json::Value {
    match proven {
        Proven::Decision(proven) => {
            let ProvenDecision { decision, header, index, checkpoint } = proven.as_ref();
            json!({ "holds": true, "decision": super::decision::json_of_record(decision), "header": header.number,
                "made_at": header.made_at.to_string(), "index": index, "log": checkpoint.origin, "size": checkpoint.size })
        }
        Proven::Consistency { old, new } => {
            json!({ "holds": true, "log": new.origin, "old": old.size, "new": new.size })
        }
    }
}
