//! A policy directory: schema, policies, example data and tests.

use std::path::{Path, PathBuf};

use magistrate_engine::{Snapshot, Source};
use magistrate_model::{Dataset, Instant};

use crate::data::{Data, read_csv_grants};
use crate::plan::{Known, plan};
use crate::problem::{AdminError, Problem};

const SCHEMA: &str = "schema.cedarschema";

/// The texts of a policy directory. `schema.cedarschema` beside any number of `*.cedar` files; data in
/// `data/`, tests in `tests/`.
#[derive(Debug, Clone)]
pub struct PolicyFiles {
    root: PathBuf,
    /// The schema.
    pub schema: Source,
    /// The policies, in path order.
    pub policies: Vec<Source>,
}

impl PolicyFiles {
    /// Reads schema and policies.
    pub fn read(root: &Path) -> Result<Self, AdminError> {
        let schema = root.join(SCHEMA);
        if !schema.is_file() {
            let why = "it holds no `schema.cedarschema`; name the directory that does".to_owned();
            return Err(AdminError::Read { path: root.display().to_string(), why });
        }
        let policies = sorted(root, "cedar")?.iter().map(|path| source(path)).collect::<Result<_, _>>()?;
        Ok(Self { root: root.to_owned(), schema: source(&schema)?, policies })
    }

    /// Compiles them, or says everything that is wrong with them.
    pub fn compile(&self) -> Result<Snapshot, AdminError> {
        Ok(Snapshot::compile(&self.schema, &self.policies)?)
    }

    /// Reads `data/*.jsonl` (and `grants.csv`).
    pub fn data(&self) -> Result<Data, AdminError> {
        let mut data = Data::default();
        let folder = self.root.join("data");
        for kind in ["entities", "roles", "scopes", "grants"] {
            let path = folder.join(format!("{kind}.jsonl"));
            if path.is_file() {
                let Source { name, text } = source(&path)?;
                data.add_jsonl(kind, &name, &text).map_err(AdminError::Problems)?;
            }
        }
        let csv = folder.join("grants.csv");
        if csv.is_file() {
            let Source { name, text } = source(&csv)?;
            data.grants.extend(read_csv_grants(&name, &text).map_err(AdminError::Problems)?);
        }
        Ok(data)
    }

    /// The paths of `tests/*.yaml`, in order.
    pub fn test_files(&self) -> Result<Vec<PathBuf>, AdminError> {
        match self.root.join("tests") {
            folder if folder.is_dir() => sorted(&folder, "yaml"),
            _ => Ok(Vec::new()),
        }
    }

    /// The data as a store would hold it, with relative times counted from `now`.
    pub fn dataset(&self, snapshot: &Snapshot, now: Instant) -> Result<Dataset, AdminError> {
        let plan = plan(snapshot, &Known::default(), self.data()?, now).map_err(AdminError::Problems)?;
        let mut dataset = Dataset::empty();
        dataset.apply(plan.changes);
        Ok(dataset)
    }
}

/// Reads a file as a named text.
pub(crate) fn source(path: &Path) -> Result<Source, AdminError> {
    let name = path.display().to_string();
    let text =
        std::fs::read_to_string(path).map_err(|e| AdminError::Read { path: name.clone(), why: e.to_string() })?;
    Ok(Source { name, text })
}

fn sorted(folder: &Path, extension: &str) -> Result<Vec<PathBuf>, AdminError> {
    let failed = |e: std::io::Error| AdminError::Read { path: folder.display().to_string(), why: e.to_string() };
    let entries = std::fs::read_dir(folder).map_err(failed)?;
    let paths = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<Vec<_>, _>>().map_err(failed)?;
    let mut paths: Vec<_> =
        paths.into_iter().filter(|path| path.extension().is_some_and(|it| it == extension)).collect();
    paths.sort();
    Ok(paths)
}

/// A problem with a file as a whole.
pub(crate) fn file_problem(path: &Path, what: impl Into<String>) -> AdminError {
    AdminError::Problems(vec![Problem { place: path.display().to_string(), what: what.into() }])
}
