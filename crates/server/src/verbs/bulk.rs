//! Imports of entities and grants, however many.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use magistrate_model::Instant;
use magistrate_pap::{ImportFile, ImportOptions, Imported, ItemKind, PART_SIZE};
use serde_json::{Value as Json, json};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;

use super::progress::Telling;
use super::store;
use crate::cli::BulkImport;
use crate::config::Config;
use crate::exit::Exit;
use crate::output::Out;

/// Reads a file and puts its items.
pub(crate) async fn import(
    config: &Config,
    out: Out,
    args: &BulkImport,
    kind: ItemKind,
    now: Instant,
) -> anyhow::Result<Exit> {
    let BulkImport { import, part_size } = args;
    let (name, content) = store::read(&import.file)?;
    let file = ImportFile::new(&name, content, kind)?;
    let authorship = store::authorship(&import.authored, now)?;
    let administration = store::administration(config).await?;
    let part_size = NonZeroUsize::new(usize::try_from(*part_size)?).unwrap_or(PART_SIZE);
    let options = ImportOptions { part_size, dry_run: import.dry_run };
    let interrupt = Interrupt::listen()?;
    let mut telling = Telling::new(file.count() > part_size.get(), interrupt.flag());
    let imported = Box::pin(administration.import(&file, options, &authorship, &mut telling)).await;
    telling.end();
    let imported = imported?;
    out.either(|| text(&imported, import.dry_run), || json(&imported, import.dry_run))?;
    Ok(store::exit(&imported.outcome, import.dry_run))
}

fn text(imported: &Imported, dry_run: bool) -> String {
    let Imported { outcome, parts, revisions } = imported;
    match revisions {
        Some((first, last)) if first != last => {
            format!("{}; {parts} revisions, from {first} to {last}", store::counts(outcome))
        }
        Some(_) | None => store::text(outcome, dry_run),
    }
}

fn json(imported: &Imported, dry_run: bool) -> Json {
    let Imported { outcome, parts, revisions } = imported;
    let mut json = store::json(outcome, dry_run);
    if let Json::Object(fields) = &mut json {
        fields.insert("parts".into(), json!(parts));
        let revisions = revisions.map(|(first, last)| json!({ "first": first.number(), "last": last.number() }));
        fields.insert("revisions".into(), revisions.unwrap_or(Json::Null));
    }
    json
}

/// Ctrl-C or SIGTERM, heard instead of ending the program at once.
struct Interrupt {
    flag: Arc<AtomicBool>,
    listening: JoinHandle<()>,
}

impl Interrupt {
    #[expect(clippy::disallowed_methods, reason = "the handle is held, and ends the task when it is dropped")]
    fn listen() -> std::io::Result<Self> {
        let (mut interrupted, mut terminated) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let flag = Arc::new(AtomicBool::new(false));
        let heard = Arc::clone(&flag);
        let listening = tokio::spawn(async move {
            tokio::select! {
                _ = interrupted.recv() => {}
                _ = terminated.recv() => {}
            }
            heard.store(true, Ordering::Relaxed);
        });
        Ok(Self { flag, listening })
    }

    fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.flag)
    }
}

impl Drop for Interrupt {
    fn drop(&mut self) {
        self.listening.abort();
    }
}
