//! What verbs print: tables for people, JSON for programs.

use std::io::Write as _;

use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use serde_json::Value as Json;

/// The form of a verb's output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub(crate) enum Format {
    /// Text and tables.
    #[default]
    Table,
    /// JSON: one document, or one a line for streams.
    Json,
}

/// Standard output in one form.
///
/// Whoever prints holds one, though lines and documents look the same in every form.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Out {
    format: Format,
}

impl Out {
    pub(crate) fn new(format: Format) -> Self {
        Self { format }
    }

    pub(crate) fn is_json(self) -> bool {
        self.format == Format::Json
    }

    /// A line of text.
    #[expect(clippy::unused_self, reason = "printing is what an `Out` is for")]
    pub(crate) fn line(self, text: &str) -> std::io::Result<()> {
        writeln!(anstream::stdout(), "{text}")
    }

    /// A JSON document on a line of its own.
    #[expect(clippy::unused_self, reason = "printing is what an `Out` is for")]
    pub(crate) fn json(self, json: &Json) -> std::io::Result<()> {
        writeln!(anstream::stdout(), "{json}")
    }

    /// Text for people, or the same as JSON.
    pub(crate) fn either(self, text: impl FnOnce() -> String, json: impl FnOnce() -> Json) -> std::io::Result<()> {
        match self.format {
            Format::Table => self.line(&text()),
            Format::Json => self.json(&json()),
        }
    }

    /// Rows as a table, or as a JSON array of objects keyed by the lower-case headers.
    pub(crate) fn rows(
        self,
        headers: &[&str],
        rows: &[Vec<String>],
        json: impl FnOnce() -> Json,
    ) -> std::io::Result<()> {
        match self.format {
            Format::Json => self.json(&json()),
            Format::Table if rows.is_empty() => self.line("nothing found"),
            Format::Table => self.line(&table(headers, rows)),
        }
    }
}

fn table(headers: &[&str], rows: &[Vec<String>]) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(headers.iter().map(|header| header.to_uppercase()));
    for row in rows {
        table.add_row(row);
    }
    let text = table.to_string();
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}
