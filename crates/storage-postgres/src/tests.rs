//! Tests of what only PostgreSQL does; what every store must do is in the conformance suite.
#![expect(
    clippy::disallowed_methods,
    reason = "tests bound how long a call may hang by the real clock, and join the tasks they spawn"
)]

mod carried_over;
mod coding;
mod commit;
mod conformance;
mod erasing;
mod faults;
mod fresh;
mod hardening;
mod listener;
mod matrix;
mod migrate;
mod policy;
mod pooled;
mod roles;
mod schema;
mod settings;
mod setup;
mod sink;
mod statements;
mod tls;
