//! Which files a path led to when it was opened, and whether it still does.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use crate::migrate::HAS_MIGRATIONS;

/// A database file and its write-ahead log, as they were opened. A connection goes on with its files when
/// their paths are given other ones, or none: whatever is written then is lost, whatever is changed then
/// is not seen.
#[derive(Debug)]
pub(crate) struct OpenedFile {
    path: PathBuf,
    log: PathBuf,
    identity: Option<Identity>,
    /// `None` where nothing was ever written.
    log_identity: Option<Identity>,
    /// Held and never used: while a connection has the log open, SQLite does not remove it, so that nobody
    /// but an intruder does.
    held: Mutex<Option<SqliteConnection>>,
}

/// Device and inode.
type Identity = (u64, u64);

impl OpenedFile {
    pub(crate) async fn open(options: &SqliteConnectOptions) -> Result<Self, sqlx::Error> {
        let path = options.get_filename().to_owned();
        let mut log = path.clone().into_os_string();
        log.push("-wal");
        let log = PathBuf::from(log);
        let before = identity(&path);
        let mut held = options.connect().await?;
        // The first read is what opens the log.
        let _tables: i64 = sqlx::query_scalar(HAS_MIGRATIONS).fetch_one(&mut held).await?;
        let log_identity = identity(&log);
        Ok(Self { identity: before, log_identity, path, log, held: Mutex::new(Some(held)) })
    }

    /// Lets go of the file. That the connection does not close changes nothing.
    pub(crate) async fn close(&self) {
        let held = self.held.lock().ok().and_then(|mut held| held.take());
        if let Some(held) = held
            && let Err(error) = held.close().await
        {
            tracing::debug!(%error, "an idle connection did not close");
        }
    }

    /// Whether both paths still lead to the files.
    pub(crate) fn is_in_place(&self) -> bool {
        let log = self.log_identity.is_none() || identity(&self.log) == self.log_identity;
        self.identity.is_some() && identity(&self.path) == self.identity && log
    }

    /// What to say when they do not.
    pub(crate) fn replaced(&self) -> String {
        let path = self.path.display();
        format!(
            "`{path}` or its `-wal` file was removed or replaced while in use; put it back, or restart to use what is there"
        )
    }
}

fn identity(path: &Path) -> Option<Identity> {
    std::fs::metadata(path).ok().map(|file| (file.dev(), file.ino()))
}
