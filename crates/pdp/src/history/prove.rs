//! A proof of one decision, from what is stored: for whoever has no store.

use std::collections::BTreeMap;

use magistrate_ledger::proof::{DecisionProof, Place};
use magistrate_ledger::{Checkpoint, DecisionId, Path, SealedHeader, StoredDecision, Subtree, Tree, read_note};
use magistrate_model::Digest;

use super::{Evidence, HEADER_PAGE, HistoryError, each_header};
use crate::log::GlobalLog;

/// What came of it.
#[derive(Debug, Clone, PartialEq)]
pub enum Proving {
    /// It is proven.
    Whole(DecisionProof),
    /// No checkpoint of the global log covers it yet.
    Pending(&'static str),
    /// What is stored does not prove it.
    Contradicted(String),
}

/// Proves a decision that is in the store, when a checkpoint of the global log covers it.
pub async fn prove<S: Evidence + GlobalLog>(store: &S, id: DecisionId) -> Result<Proving, HistoryError> {
    let Some(header) = header_of(store, id).await? else {
        return Ok(Proving::Pending("no header covers it yet"));
    };
    let reference = format!("{}/{}", header.header.stream, header.header.number);
    let Some(entry) = store.find_entry("header", &reference).await? else {
        return Ok(Proving::Pending("its header is not in the global log yet"));
    };
    let Ok(index) = u64::try_from(entry.index) else {
        return Ok(Proving::Contradicted("its header lies before the beginning of the log".to_owned()));
    };
    let (note, checkpoint) = match newest_checkpoint(store).await? {
        Some(Ok(newest)) if newest.1.size > index => newest,
        Some(Err(why)) => return Ok(Proving::Contradicted(why)),
        Some(Ok(_)) | None => {
            return Ok(Proving::Pending("no checkpoint of the global log covers its header yet"));
        }
    };
    let Some((record, batch)) = in_batch(store, id, &header).await? else {
        return Ok(Proving::Contradicted(format!("the records of header {} are not all there", header.header.number)));
    };
    let Some(path) = in_log(store, Path::inclusion(index, checkpoint.size)).await? else {
        return Ok(Proving::Contradicted("the log lacks hashes".to_owned()));
    };
    let log = Place { index, path };
    let proof = DecisionProof { id, record, batch, header: header.bytes, log, checkpoint: note };
    // Whoever reads it would refuse one that does not hold.
    Ok(match proof.under(checkpoint) {
        Ok(_) => Proving::Whole(proof),
        Err(why) => Proving::Contradicted(why.to_string()),
    })
}

/// The header that covers a decision, if one does.
async fn header_of<S: Evidence>(store: &S, id: DecisionId) -> Result<Option<SealedHeader>, HistoryError> {
    let mut found = None;
    let is_over = |sealed: &SealedHeader| {
        let covers = sealed.header.covers;
        (covers.first_seq..covers.next_seq()).contains(&id.seq)
    };
    each_header(store, id.stream, 0, HEADER_PAGE, |page| {
        found = page.iter().filter_map(|row| row.decode().ok()).find(is_over);
        Ok::<_, HistoryError>(found.is_none())
    })
    .await?;
    Ok(found)
}

/// The record, and its place among those of its header.
async fn in_batch<S: Evidence>(
    store: &S,
    id: DecisionId,
    header: &SealedHeader,
) -> Result<Option<(Vec<u8>, Place)>, HistoryError> {
    let covers = header.header.covers;
    let count = u32::try_from(covers.count).unwrap_or(u32::MAX);
    let rows = store.records(id.stream, covers.first_seq.saturating_sub(1), count).await?;
    let leaf = |row: &StoredDecision| row.decode().ok().map(|decision| decision.leaf);
    let Some(leaves) = rows.iter().map(leaf).collect::<Option<Vec<Digest>>>() else { return Ok(None) };
    let index = id.seq.saturating_sub(covers.first_seq);
    let root = |subtree: Subtree| {
        let first = usize::try_from(subtree.index << subtree.level).ok()?;
        let leaves = leaves.get(first..first.checked_add(1 << subtree.level)?)?;
        Some(leaves.iter().copied().collect::<Tree>().root())
    };
    let path = Path::inclusion(index, covers.count).and_then(|path| path.build(root));
    let record = rows.into_iter().find(|row| row.seq() == id.seq).map(|row| row.body);
    Ok(record.zip(path).map(|(record, path)| (record, Place { index, path })))
}

/// A path, from the hashes that the store keeps of the log; none where it lacks some.
pub async fn in_log<S: GlobalLog>(store: &S, path: Option<Path>) -> Result<Option<Vec<Digest>>, HistoryError> {
    let Some(path) = path else { return Ok(None) };
    let mut roots = BTreeMap::new();
    for subtree in path.needed() {
        let run = subtree.run();
        let Some(root) = run.root(&store.log_hashes(run).await?) else { return Ok(None) };
        roots.insert(subtree, root);
    }
    Ok(path.build(|subtree| roots.get(&subtree).copied()))
}

/// The newest checkpoint of the log, its note and what it says; or what is wrong with the note.
pub async fn newest_checkpoint<S: GlobalLog>(
    store: &S,
) -> Result<Option<Result<(String, Checkpoint), String>>, HistoryError> {
    let Some(log) = store.log_id().await? else { return Ok(None) };
    let Some(stored) = store.newest_checkpoint(log).await? else { return Ok(None) };
    let read = read_note(&stored.note).map_err(|why| why.to_string());
    Ok(Some(read.map(|checkpoint| (stored.note, checkpoint))))
}
