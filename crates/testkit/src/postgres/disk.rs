//! A disk that is soon full.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use super::run::{Run, make_server_directory, unique};

/// A file system of its own, in memory, for [`Options::data_on`](super::Options::data_on). It must outlive the
/// cluster on it.
#[derive(Debug)]
pub struct Disk {
    _run: Arc<Run>,
    path: PathBuf,
}

impl Disk {
    /// Mounts a disk of so many MiB; an empty cluster needs 60. Where mounting is not permitted, that is the error:
    /// a test without a disk says that it did nothing.
    pub fn of_mebibytes(size: u32) -> Result<Self, String> {
        let run = Run::join();
        // Named so that the watcher unmounts it.
        let path = run.path(&unique("disk-"));
        make_server_directory(&path);
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", &format!("size={size}m"), "tmpfs"]).arg(&path);
        let mounted = mount.output().map_err(|error| error.to_string())?;
        if !mounted.status.success() {
            let _empty = std::fs::remove_dir(path);
            return Err(String::from_utf8_lossy(&mounted.stderr).trim().to_owned());
        }
        // The mounted root is another directory than the one it covers.
        make_server_directory(&path);
        Ok(Self { _run: run, path })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Fills it to the last byte. A server goes on for as long as what it has allocated lasts; then transactions end
    /// with 53100, or the server with a panic when it is the write-ahead log that cannot grow.
    pub fn fill(&self) {
        let mut filler = File::options().create(true).append(true).open(self.filler()).unwrap();
        for size in [1 << 20, 1 << 12] {
            while filler.write_all(&vec![0; size]).is_ok() {}
        }
    }

    /// Frees what [`Disk::fill`] took.
    pub fn free(&self) {
        std::fs::remove_file(self.filler()).unwrap();
    }

    fn filler(&self) -> PathBuf {
        self.path.join("filler")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _left_to_the_watcher = Command::new("umount").arg(&self.path).output();
        let _left_to_the_watcher = std::fs::remove_dir(&self.path);
    }
}
