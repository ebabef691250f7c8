//! Where things are told.

use std::io::Write as _;

use serde_json::Value as Json;

/// On standard error, beside the figures.
pub(crate) fn tell(text: &str) {
    let _unwritable = writeln!(std::io::stderr(), "{text}");
}

/// The figures, on standard output.
pub(crate) fn show(json: &Json, text: &str, as_json: bool) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    Ok(if as_json { writeln!(out, "{json:#}") } else { writeln!(out, "{text}") }?)
}
