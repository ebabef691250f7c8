//! How a journal is.

use std::path::Path;
use std::sync::atomic::Ordering;

use magistrate_model::{Instant, Span};
use rustix::fs::statfs;

use crate::shared::Shared;

/// How a journal is, in figures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vitals {
    /// Records that no store has yet.
    pub unshipped: u64,
    /// When the oldest of them was decided, as far as it is known.
    pub oldest: Option<Instant>,
    /// Bytes of all segments.
    pub bytes: u64,
    /// Bytes that can be appended before another segment is needed that is not there.
    pub free: i64,
    /// When the newest checkpoint was made: what came later can still be taken away unseen.
    pub checkpoint_at: Option<Instant>,
    /// What is wrong with it, if anything is.
    pub why: Option<String>,
}

impl Vitals {
    pub(crate) fn of(shared: &Shared) -> Self {
        let unshipped = shared.appended().saturating_sub(shared.shipped()) + shared.backlog.load(Ordering::Acquire);
        let oldest = instant(shared.oldest.load(Ordering::Acquire)).filter(|_| unshipped > 0);
        Self {
            unshipped,
            oldest,
            bytes: shared.space().bytes,
            free: shared.room.free(),
            checkpoint_at: instant(shared.checkpoint_at.load(Ordering::Acquire)),
            why: shared.room.why(),
        }
    }

    /// How long ago the oldest record was decided that no store has.
    pub fn lag(&self, now: Instant) -> Span {
        self.oldest.map_or(Span::ZERO, |oldest| now.since(oldest).max(Span::ZERO))
    }
}

fn instant(micros: i64) -> Option<Instant> {
    Some(micros).filter(|micros| *micros != 0).and_then(|micros| Instant::from_micros(micros).ok())
}

/// What kind of place a journal lies in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lies {
    /// As far as can be seen, on a disk.
    OnDisk,
    /// In memory: gone with the power, or the mount.
    InMemory,
    /// In the writable layer of a container: gone with it.
    InContainer,
    /// On a volume that Kubernetes removes with its pod (`emptyDir`).
    InPod,
}

/// `TMPFS_MAGIC`, `RAMFS_MAGIC` and `OVERLAYFS_SUPER_MAGIC`: statfs(2).
const TMPFS: i64 = 0x0102_1994;
const RAMFS: i64 = 0x8584_58f6;
const OVERLAYFS: i64 = 0x794c_7630;

impl Lies {
    pub(crate) fn of(dir: &Path) -> Self {
        let Ok(found) = statfs(dir) else {
            return Self::OnDisk;
        };
        match found.f_type {
            TMPFS | RAMFS => Self::InMemory,
            OVERLAYFS => Self::InContainer,
            _ if is_of_pod(dir) => Self::InPod,
            _ => Self::OnDisk,
        }
    }

    /// What to tell whoever operates it.
    pub const fn warning(self) -> Option<&'static str> {
        match self {
            Self::OnDisk => None,
            Self::InMemory => Some(
                "the journal lies in memory: decisions that are not shipped yet are lost with it; give `ledger.journal` a place on a disk, or use the class `database`",
            ),
            Self::InContainer => Some(
                "the journal lies in the container's own layer: decisions that are not shipped yet are lost with it; mount a volume for `ledger.journal`, or use the class `database`",
            ),
            Self::InPod => Some(
                "the journal lies on a volume that is removed with its pod (`emptyDir`): decisions that are not shipped yet are lost with it; use a persistent volume for `ledger.journal`, or the class `database`",
            ),
        }
    }
}

fn is_of_pod(dir: &Path) -> bool {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo");
    let dir = std::fs::canonicalize(dir);
    matches!((mounts, dir), (Ok(mounts), Ok(dir)) if root_of_mount(&mounts, &dir).is_some_and(|root| root.contains(EMPTY_DIR)))
}

/// What the kubelet calls such volumes in their paths on the node.
const EMPTY_DIR: &str = "kubernetes.io~empty-dir";

/// Which directory of its file system is mounted where this path lies: the fourth field of the line with the longest mount
/// point above it (proc(5), `/proc/pid/mountinfo`).
fn root_of_mount<'a>(mounts: &'a str, dir: &Path) -> Option<&'a str> {
    let parsed = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(3);
        Some((fields.next()?, fields.next()?))
    });
    parsed.filter(|(_, point)| dir.starts_with(point)).max_by_key(|(_, point)| point.len()).map(|(root, _)| root)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volume_of_a_pod_is_told_from_others() {
        let mounts = "22 1 8:1 / / rw - ext4 /dev/sda rw\n\
            30 22 8:1 /kubelet/pods/1/volumes/kubernetes.io~empty-dir/data /var/lib/magistrate rw - ext4 /dev/sda rw\n\
            31 30 8:2 / /var/lib/magistrate/kept rw - ext4 /dev/sdb rw";
        let of_pod = |dir: &str| root_of_mount(mounts, Path::new(dir)).unwrap().contains(EMPTY_DIR);
        assert!(of_pod("/var/lib/magistrate/journal"));
        assert!(!of_pod("/var/lib/magistrate/kept/journal"));
        assert!(!of_pod("/var/lib/other"));
    }
}
