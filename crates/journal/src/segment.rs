//! One file of the journal.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use magistrate_model::Instant;

use crate::format::{OVERWRITTEN, SEGMENT_HEADER, SegmentId, TELLING};

/// Zeros written at a time.
const BLOCK: usize = 1 << 20;

/// A segment whose bytes are all there: what was not written yet is zero.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) id: SegmentId,
    pub(crate) made_at: Instant,
    pub(crate) size: u64,
    pub(crate) path: PathBuf,
    file: File,
    #[cfg(test)]
    pub(crate) faults: std::sync::Arc<crate::tests::Faults>,
}

impl Segment {
    /// Makes the file, and gives it all its bytes: a later write needs no space, and syncing it writes nothing but data.
    /// The file is there after a crash. On an error nothing is left of it.
    pub(crate) fn create(dir: &Path, id: SegmentId, size: u64, made_at: Instant) -> io::Result<Self> {
        let path = dir.join(id.name());
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        let filled = fill(&file, id, size, made_at).and_then(|()| File::open(dir)?.sync_all());
        if let Err(error) = filled {
            let _removed = std::fs::remove_file(&path);
            return Err(error);
        }
        Ok(Self::of(file, path, id, size, made_at))
    }

    /// Opens a file that is there; `None` if it is no segment, such as one whose making was cut off.
    pub(crate) fn open(path: &Path) -> io::Result<Option<Self>> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let size = file.metadata()?.len();
        let mut header = [0; SEGMENT_HEADER];
        if size < SEGMENT_HEADER as u64 {
            return Ok(None);
        }
        file.read_exact_at(&mut header, 0)?;
        let named = |id: SegmentId| path.file_name().is_some_and(|name| name == id.name().as_str());
        let read = SegmentId::read(&header).filter(|(id, _)| named(*id));
        Ok(read.map(|(id, made_at)| Self::of(file, path.to_owned(), id, size, made_at)))
    }

    fn of(file: File, path: PathBuf, id: SegmentId, size: u64, made_at: Instant) -> Self {
        Self {
            #[cfg(test)]
            faults: crate::tests::faults(&path),
            id,
            made_at,
            size,
            path,
            file,
        }
    }

    pub(crate) fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        #[cfg(test)]
        self.faults.on_write()?;
        self.file.write_all_at(bytes, at)
    }

    /// Overwrites openings: first what tells that they are, and the rest when that is on the disk. Whatever is written half
    /// then, the record beside an opening is read.
    pub(crate) fn overwrite(&self, openings: impl Iterator<Item = (u64, usize)> + Clone) -> io::Result<()> {
        for (at, length) in openings.clone() {
            self.write(at, &vec![OVERWRITTEN; length.min(TELLING)])?;
        }
        self.sync()?;
        for (at, length) in openings {
            self.write(at, &vec![OVERWRITTEN; length])?;
        }
        self.sync()
    }

    pub(crate) fn sync(&self) -> io::Result<()> {
        #[cfg(test)]
        self.faults.on_sync()?;
        self.file.sync_data()
    }

    /// Reads what lies from a place on, as much as fits.
    pub(crate) fn read(&self, at: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(bytes, at)
    }

    /// Everything in it.
    pub(crate) fn all(&self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(self.size).map_err(io::Error::other)?];
        self.read(0, &mut bytes)?;
        Ok(bytes)
    }

    /// Whether any name leads to the file.
    pub(crate) fn is_linked(&self) -> bool {
        rustix::fs::fstat(&self.file).is_ok_and(|stat| stat.st_nlink > 0)
    }

    /// Whether its own name leads to it.
    pub(crate) fn is_in_place(&self) -> bool {
        let own = self.file.metadata();
        let there = std::fs::metadata(&self.path);
        matches!((own, there), (Ok(own), Ok(there)) if (own.dev(), own.ino()) == (there.dev(), there.ino()))
    }
}

fn fill(file: &File, id: SegmentId, size: u64, made_at: Instant) -> io::Result<()> {
    let zeros = vec![0; BLOCK];
    let mut at = 0;
    while at < size {
        let length = usize::try_from(size - at).map_or(BLOCK, |left| left.min(BLOCK));
        file.write_all_at(zeros.get(..length).unwrap_or_default(), at)?;
        at += length as u64;
    }
    file.write_all_at(&id.header(made_at), 0)?;
    file.sync_all()
}
