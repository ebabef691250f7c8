//! Policy administration: lint, test and apply policies; entities, roles, scopes and grants.
//!
//! What can be refused is refused before anything is written. [`plan`](plan::plan) is pure: input and
//! what is known in, changes or problems out; [`Administration`] runs it against a store.

mod administration;
mod apply;
mod bulk;
mod cases;
pub mod commit;
mod data;
mod files;
mod lookup;
mod plan;
mod ports;
mod problem;
pub mod rows;

pub use administration::{Administration, Outcome};
pub use apply::{Applied, ApplyOptions};
pub use bulk::{ImportFile, ImportOptions, Imported, ItemKind, PART_SIZE, Progress, Step, Watch};
pub use cases::{CaseReport, Suite, SuiteReport, read_cases};
pub use data::{Data, GrantText, Located, RoleText, ScopeText, read_csv_grants, read_jsonl};
pub use files::PolicyFiles;
pub use plan::{Known, Plan, plan, role_uid};
pub use ports::{Base, Changes, CommitError, EntityFilter, GrantFilter, Keys, PolicyMigration, Records, StoreError};
pub use problem::{AdminError, Problem};

#[cfg(test)]
mod tests;
