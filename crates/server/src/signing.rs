//! The key that signs checkpoints, and the ways they leave the store.
//!
//! INVARIANT: the secret lies in one file that its owner alone can read, never in the database, never in a log.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context as _, bail};
use magistrate_journal::Export;
use magistrate_ledger::{LogId, NoteSigner, SignedCheckpoint, read_note};
use tracing::{info, warn};

/// Lines of other logs that the file of checkpoints keeps.
const OTHERS: usize = 1_000;

/// Reads the signing key; makes one where there is none.
///
/// The file holds one line, the signer key of C2SP `signed-note`.
pub(crate) fn signer(path: &Path, node: &str) -> anyhow::Result<NoteSigner> {
    match path.try_exists() {
        Ok(false) => create(path, node),
        Ok(true) | Err(_) => signer_of(path),
    }
}

/// Reads the signing key, which must be there.
pub(crate) fn signer_of(path: &Path) -> anyhow::Result<NoteSigner> {
    let file = OpenOptions::new().read(true).open(path).with_context(|| cannot_read(path))?;
    check_owner(&file, path)?;
    let mut text = String::new();
    file.take(4_096).read_to_string(&mut text).with_context(|| cannot_read(path))?;
    NoteSigner::parse(text.trim_end()).with_context(|| {
        format!("`{}` holds no signing key; restore it from a copy, or move it away to have one made", path.display())
    })
}

fn cannot_read(path: &Path) -> String {
    format!("cannot read the signing key `{}`", path.display())
}

/// Whoever else could read it could sign a history of their own. A file of root's that this process' group may read is how
/// Kubernetes hands secrets over.
fn check_owner(file: &std::fs::File, path: &Path) -> anyhow::Result<()> {
    let found = file.metadata().with_context(|| cannot_read(path))?;
    let (own, path) = (rustix::process::geteuid().as_raw(), path.display());
    let others = if found.uid() == 0 && own != 0 { 0o037 } else { 0o077 };
    if found.uid() != own && found.uid() != 0 {
        bail!(
            "the signing key `{path}` belongs to user {}, and this process is user {own}; give it to that user",
            found.uid()
        );
    }
    if found.mode() & others != 0 {
        bail!("others may read the signing key `{path}`; run `chmod 600` on it, and make a new one if somebody has");
    }
    Ok(())
}

/// Makes a signing key where there is no file yet.
pub(crate) fn create(path: &Path, node: &str) -> anyhow::Result<NoteSigner> {
    let cannot = || format!("cannot make the signing key `{}`", path.display());
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).map_err(|error| anyhow::anyhow!("{error}")).with_context(cannot)?;
    let signer = NoteSigner::new(&format!("magistrate/{node}"), &secret);
    if let Some(dir) = path.parent() {
        std::fs::create_dir_all(dir).with_context(cannot)?;
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).with_context(cannot)?;
    writeln!(file, "{}", signer.secret_text()).and_then(|()| file.sync_all()).with_context(cannot)?;
    info!(path = %path.display(), verifier_key = %signer.verifier(), "a signing key was made; pin its verifier key where the store's keepers cannot change it");
    Ok(signer)
}

/// The newest checkpoints, for whoever asks over HTTP: of this node's stream, and of the global log where it signed that.
#[derive(Debug, Clone, Default)]
pub(crate) struct Newest(Arc<Mutex<Notes>>);

#[derive(Debug, Default)]
struct Notes {
    stream: Option<String>,
    log: Option<String>,
}

impl Newest {
    /// The signed note over the node's stream.
    pub(crate) fn note(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).stream.clone()
    }

    /// The signed note over the global log.
    pub(crate) fn log_note(&self) -> Option<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).log.clone()
    }

    /// Takes every checkpoint out of the store's reach: into a file, the log, and here. Whoever exports waits for the other:
    /// both write one file.
    pub(crate) fn export(&self, file: PathBuf) -> Export {
        let newest = self.clone();
        let mut told = false;
        Box::new(move |signed: &SignedCheckpoint| {
            let SignedCheckpoint { checkpoint, note } = signed;
            let mut notes = newest.0.lock().unwrap_or_else(PoisonError::into_inner);
            match keep(&file, signed) {
                Ok(()) => told = false,
                Err(error) if !told => {
                    warn!(path = %file.display(), %error, "checkpoints cannot be written to their file");
                    told = true;
                }
                Err(_) => {}
            }
            match LogId::of_origin(&checkpoint.origin) {
                Some(_) => notes.log = Some(note.clone()),
                None => notes.stream = Some(note.clone()),
            }
            drop(notes);
            // Said last: whoever reads it finds it in the other places.
            info!(origin = checkpoint.origin, size = checkpoint.size, root = %checkpoint.root, note, "checkpoint");
        })
    }
}

/// The notes of a file that was kept; none where it is not there yet.
pub(crate) fn notes_in(path: &Path) -> anyhow::Result<Vec<String>> {
    let text = match std::fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        text => text.with_context(|| format!("cannot read the checkpoints in `{}`", path.display()))?,
    };
    let note = |(number, line): (usize, &str)| {
        note_of(line).with_context(|| format!("line {} of `{}` holds no checkpoint", number + 1, path.display()))
    };
    text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).map(note).collect()
}

/// Replaces the line of this log, or adds one. The file is always whole: it is written aside and moved into place.
fn keep(path: &Path, signed: &SignedCheckpoint) -> std::io::Result<()> {
    let known = match std::fs::read_to_string(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
        known => known?,
    };
    let is_other = |line: &&str| {
        note_of(line).and_then(|note| read_note(&note).ok()).is_some_and(|it| it.origin != signed.checkpoint.origin)
    };
    let others: Vec<&str> = known.lines().filter(is_other).collect();
    let kept = others.get(others.len().saturating_sub(OTHERS)..).unwrap_or_default();
    let own = serde_json::json!({ "note": signed.note }).to_string();
    let text: String = kept.iter().copied().chain([own.as_str()]).flat_map(|line| [line, "\n"]).collect();
    replace(path, &text)
}

/// Replaces a file as a whole: it is written aside, under a name that no other process uses, and moved into place.
pub(crate) fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let aside = path.with_extension(format!("new-{}", std::process::id()));
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(&aside)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_data());
    let replaced = written.and_then(|()| std::fs::rename(&aside, path));
    if replaced.is_err() {
        let _removed = std::fs::remove_file(&aside);
    }
    replaced
}

/// The note of a line of such a file.
pub(crate) fn note_of(line: &str) -> Option<String> {
    serde_json::from_str::<serde_json::Value>(line).ok()?.get("note")?.as_str().map(ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use magistrate_ledger::{Checkpoint, open_note};
    use magistrate_model::Digest;

    use super::*;

    #[test]
    fn key_is_made_once_and_for_its_owner_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys/signing.key");
        let made = signer(&path, "node 1").unwrap().verifier();
        assert_eq!(signer(&path, "another").unwrap().verifier(), made);
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        let mut open = std::fs::metadata(&path).unwrap().permissions();
        std::os::unix::fs::PermissionsExt::set_mode(&mut open, 0o640);
        std::fs::set_permissions(&path, open).unwrap();
        assert!(signer(&path, "n").unwrap_err().to_string().contains("others may read"));
        std::fs::remove_file(&path).unwrap();
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)
            .unwrap()
            .write_all(b"nonsense")
            .unwrap();
        let refused = signer(&path, "n").unwrap_err().to_string();
        assert!(refused.contains("holds no signing key") && !refused.contains("nonsense"), "{refused}");
    }

    #[test]
    fn file_has_the_newest_of_each_log() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("checkpoints");
        let signer = NoteSigner::new("n", &[1; 32]);
        let newest = Newest::default();
        let mut export = newest.export(file.clone());
        for (origin, size) in [("a", 1), ("b", 1), ("a", 2)] {
            let checkpoint = Checkpoint { origin: origin.to_owned(), size, root: Digest::new([9; 32]) };
            let note = signer.sign(&checkpoint);
            export(&SignedCheckpoint { checkpoint, note });
        }
        let kept: Vec<_> = std::fs::read_to_string(&file)
            .unwrap()
            .lines()
            .map(|line| open_note(&note_of(line).unwrap(), &[signer.verifier()]).unwrap())
            .map(|it| (it.origin, it.size))
            .collect();
        assert_eq!(kept, [("b".to_owned(), 1), ("a".to_owned(), 2)]);
        assert_eq!(read_note(&newest.note().unwrap()).unwrap().size, 2);
    }
}
