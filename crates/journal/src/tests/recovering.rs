//! What a run leaves is found by the next one, whatever ended it.

use super::*;
use crate::format::frame_size;

/// Ships everything that lies in a directory, by a new run.
pub(super) async fn shipped(dir: &Path) -> (MemorySink, Vec<Left>) {
    let mut running = Running::open(dir);
    let store = MemorySink::default();
    assert!(running.shipper(&store).finish().await);
    (store, running.left)
}

#[tokio::test]
async fn everything_acknowledged_is_found_after_a_crash() {
    let dir = dir();
    let running = Running::open(dir.path());
    let mut acknowledged = Vec::new();
    while running.segments().len() < 4 {
        // Refused where the next segment is not made yet.
        acknowledged.extend(running.try_append(50).unwrap_or_default());
    }
    let copy = crashed(dir.path());
    let (store, left) = shipped(copy.path()).await;
    assert_eq!(stored(&store), ids(&acknowledged));
    assert_eq!(left.len(), 1);
    assert_eq!((left[0].last_seq, left[0].cut), (acknowledged.len() as u64, 0));
    assert!(left[0].damage.is_empty() && left[0].lost.is_empty());
    assert!(shipped(copy.path()).await.1.iter().all(|left| left.last_seq == 0), "shipped and gone");
}

/// Runs that never reached the store are shipped one after the other, the oldest first.
#[tokio::test]
async fn several_runs_are_taken_up() {
    let dir = dir();
    let mut acknowledged = Vec::new();
    for _ in 0..3 {
        acknowledged.push(ids(&Running::open(dir.path()).append(5)));
    }
    let (store, left) = shipped(dir.path()).await;
    assert_eq!(left.len(), 3);
    let mut stored = stored(&store);
    stored.sort_unstable();
    let mut expected = acknowledged.concat();
    expected.sort_unstable();
    assert_eq!(stored, expected);
}

/// A crash amid a write: whatever part of the last record reached the file, it is cut off, and nothing else.
#[tokio::test]
async fn torn_write_at_every_byte_is_cut_off() {
    let dir = dir();
    let running = Running::open(dir.path());
    let acknowledged = running.append(2);
    let torn = running.append(1);
    let bytes = std::fs::read(&running.segments()[0]).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let records = reread(&bytes);
    let begin = end.next_multiple_of(8) - frame_size(records[2]);
    for cut in begin..end {
        let copy = crashed(dir.path());
        let path = &segments(copy.path())[0];
        let mut half = bytes.clone();
        half[cut..].fill(0);
        std::fs::write(path, half).unwrap();
        let (store, left) = shipped(copy.path()).await;
        let left: Vec<_> = left.iter().filter(|left| left.last_seq > 0).collect();
        if stored(&store).len() == 3 {
            assert_eq!(bytes[cut..end].iter().filter(|byte| **byte != 0).count(), 0, "nothing was torn at {cut}");
            continue;
        }
        assert_eq!(stored(&store), ids(&acknowledged), "cut at {cut}");
        assert!(!stored(&store).contains(&ids(&torn)[0]));
        assert_eq!((left[0].last_seq, left[0].damage.len()), (2, 0), "cut at {cut}");
        assert_eq!(left[0].cut > 0, cut > begin, "cut at {cut}: what was written half is told");
    }
}

/// Lengths of the records of a segment.
fn reread(bytes: &[u8]) -> Vec<usize> {
    let (id, _) = crate::format::SegmentId::read(&bytes[..64]).unwrap();
    let (mut at, mut lengths) = (64, Vec::new());
    while let crate::format::Found::Frame { holds, size, .. } = crate::format::look(&bytes[at..], &id.seed()) {
        lengths.push(holds.len());
        at += size;
    }
    lengths
}

/// A bit that turned on the disk: the record is named as lost, all others are shipped, and the file is kept.
#[tokio::test]
async fn flipped_bit_costs_one_record_that_is_named() {
    let dir = dir();
    let running = Running::open(dir.path());
    let acknowledged = running.append(5);
    let bytes = std::fs::read(&running.segments()[0]).unwrap();
    let lengths = reread(&bytes);
    let begin = 64 + frame_size(lengths[0]) + frame_size(lengths[1]);
    for at in begin..begin + 24 + lengths[2] {
        let copy = crashed(dir.path());
        let path = segments(copy.path())[0].clone();
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << (at % 8);
        std::fs::write(&path, flipped).unwrap();
        let (store, left) = shipped(copy.path()).await;
        let left = left.iter().find(|left| left.last_seq > 0).unwrap();
        let whole: Vec<_> = ids(&acknowledged).into_iter().filter(|(id, _)| id.seq != 3).collect();
        assert_eq!(stored(&store), whole, "byte {at}");
        assert_eq!((left.lost.as_slice(), left.cut, left.damage.len()), (&[3..=3][..], 0, 1), "byte {at}");
        assert!(path.with_extension("damaged").exists() && !path.exists());
    }
}

#[tokio::test]
async fn segment_that_is_missing_is_named_by_its_records() {
    let dir = dir();
    let running = Running::open(dir.path());
    let mut acknowledged = Vec::new();
    while running.segments().len() < 5 {
        acknowledged.extend(running.try_append(50).unwrap_or_default());
    }
    let copy = crashed(dir.path());
    std::fs::remove_file(&segments(copy.path())[1]).unwrap();
    let (store, left) = shipped(copy.path()).await;
    let lost = left[0].lost[0].clone();
    assert_eq!(left[0].lost.len(), 1);
    let whole: Vec<_> = ids(&acknowledged).into_iter().filter(|(id, _)| !lost.contains(&id.seq)).collect();
    assert_eq!(stored(&store), whole);
    assert!(lost.end() - lost.start() > 100);
}

/// A segment whose making was cut off holds nothing and goes; one whose beginning was changed is kept.
#[tokio::test]
async fn files_that_are_no_segments_lose_nothing() {
    let dir = dir();
    let acknowledged = ids(&Running::open(dir.path()).append(3));
    std::fs::write(dir.path().join("00-1.segment"), vec![0; 4_096]).unwrap();
    let path =
        segments(dir.path()).into_iter().find(|path| reread_or_none(path).is_some_and(|it| !it.is_empty())).unwrap();
    let copy = crashed(dir.path());
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[0] ^= 1;
    let changed = copy.path().join(path.file_name().unwrap());
    std::fs::write(&changed, bytes).unwrap();
    let (store, _) = shipped(copy.path()).await;
    assert!(store.records().is_empty());
    assert!(changed.with_extension("damaged").exists(), "kept for whoever can read it");
    let (store, _) = shipped(dir.path()).await;
    assert_eq!(stored(&store), acknowledged);
    assert!(!dir.path().join("00-1.segment").exists());
}

fn reread_or_none(path: &Path) -> Option<Vec<usize>> {
    let bytes = std::fs::read(path).unwrap();
    crate::format::SegmentId::read(bytes.get(..64)?)?;
    Some(reread(&bytes))
}
