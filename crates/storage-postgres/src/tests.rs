//! Tests of what only PostgreSQL does; what every store must do is in the conformance suite.

mod conformance;
mod fresh;
mod settings;
mod statements;
