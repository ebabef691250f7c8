//! Imports: what they are asked, and what came of them.

use std::num::NonZeroUsize;

use magistrate_model::{Authorship, Revision};

use super::file::ImportFile;
use super::prepared::Prepared;
use super::problems::Problems;
use super::run::Run;
use super::watch::Watch;
use crate::administration::{Administration, Outcome};
use crate::lookup::Wanted;
use crate::ports::{Base, Changes, Records};
use crate::problem::AdminError;

/// Items of a part unless asked otherwise: about a second's work for a store, so that others get their turn
/// in between, and a revision that followers can read as changes.
pub const PART_SIZE: NonZeroUsize = NonZeroUsize::new(10_000).unwrap();

/// How an import is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImportOptions {
    /// Items committed as one revision.
    pub part_size: NonZeroUsize,
    /// Whether everything is checked and nothing is written.
    pub dry_run: bool,
}

/// What an import came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Imported {
    /// What became of its items, and the last revision; of a dry run, what would.
    pub outcome: Outcome,
    /// How many revisions it made; of a dry run, would make.
    pub parts: usize,
    /// The first and the last of them.
    pub revisions: Option<(Revision, Revision)>,
}

impl<S: Records + Changes> Administration<S> {
    /// Puts the items of a file: all or nothing up to the size of a part, in parts beyond.
    ///
    /// Everything is checked before the first part is committed. Each part stands on its own: entities come
    /// after everything above them, and after what their attributes name unless that leads back to them.
    /// Relative times are taken at `authorship.at` in all parts. An import that was stopped goes on when it
    /// is run again: what is there as given is left alone.
    pub async fn import(
        &self,
        file: &ImportFile,
        options: ImportOptions,
        authorship: &Authorship,
        watch: &mut impl Watch,
    ) -> Result<Imported, AdminError> {
        let (base, snapshot) = self.live().await?;
        let mut problems = Problems::default();
        let mut prepared = Prepared::read(file, &snapshot, watch, &mut problems)?;
        self.look_above(&base, &mut prepared).await?;
        prepared.arrange(&mut problems);
        let mut run = Run::new(self, &prepared, options.part_size, authorship, base, watch);
        let checked = run.check(problems).await?;
        match options.dry_run || checked.is_settled() {
            true => Ok(checked.imported()),
            false => run.commit(checked).await,
        }
    }

    /// Notes what stands above the entities of a file in the store, level by level.
    async fn look_above(&self, base: &Base, prepared: &mut Prepared<'_>) -> Result<(), AdminError> {
        loop {
            let entities = prepared.graph.unknown_parents();
            if entities.is_empty() {
                return Ok(());
            }
            for asked in entities.chunks(PART_SIZE.get()) {
                let wanted = Wanted { entities: asked.iter().cloned().collect(), ..Wanted::default() };
                for entity in self.known(base, &wanted).await?.entities.values() {
                    prepared.graph.stored(&entity.uid, entity.parents.iter());
                }
            }
        }
    }
}
