//! Recorded decisions: appending through a sink, reading as history.

mod coder;
mod coding;
mod erasing;
pub(crate) mod erasing_statements;
mod evidence;
mod history;
mod letters;
mod log;
pub(crate) mod log_statements;
mod retention;
pub(crate) mod retention_statements;
mod row;
mod sink;
pub(crate) mod statements;

pub use sink::PostgresSink;
#[cfg(test)]
pub(crate) use sink::append_alone;
