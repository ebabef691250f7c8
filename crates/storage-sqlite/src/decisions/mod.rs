//! The decisions file: appending through a sink, reading as history.

mod erasing;
pub(crate) mod erasing_statements;
mod evidence;
mod history;
mod log;
pub(crate) mod log_statements;
mod retention;
pub(crate) mod retention_statements;
mod row;
mod sink;
pub(crate) mod statements;

pub use sink::SqliteSink;
