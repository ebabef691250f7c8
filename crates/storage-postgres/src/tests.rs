//! Tests of what only PostgreSQL does; what every store must do is in the conformance suite.

mod commit;
mod conformance;
mod fresh;
mod hardening;
mod matrix;
mod migrate;
mod roles;
mod schema;
mod settings;
mod setup;
mod statements;
