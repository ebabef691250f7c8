//! What is wrong with a request, and where.

use std::fmt;

use magistrate_model::{Malformed, Violation};

/// Where in a request something stands. Written out only when something is wrong there.
#[derive(Clone, Copy)]
pub(crate) struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Field(&'a str),
    Index(usize),
}

impl<'a> Path<'a> {
    /// A field of the request itself.
    pub(crate) const fn root(field: &'a str) -> Self {
        Self { parent: None, step: Step::Field(field) }
    }

    /// A field of what stands here.
    pub(crate) const fn field(&'a self, field: &'a str) -> Self {
        Self { parent: Some(self), step: Step::Field(field) }
    }

    /// An item of the list that stands here.
    pub(crate) const fn index(&'a self, index: usize) -> Self {
        Self { parent: Some(self), step: Step::Index(index) }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        match self.step {
            Step::Index(index) => write!(f, "[{index}]"),
            Step::Field(name) if self.parent.is_none() => f.write_str(name),
            Step::Field(name) => write!(f, ".{}", shown(name, 80)),
        }
    }
}

/// Text of a caller that is safe to print: hidden characters escaped, cut at `limit` bytes.
pub(crate) fn shown(text: &str, limit: usize) -> String {
    // Only what can be shown is escaped: the text may be megabytes.
    let escaped: String = text.chars().take(limit + 1).flat_map(char::escape_debug).collect();
    cut(&escaped, limit)
}

/// The beginning of a text, at most `limit` bytes of it.
pub(crate) fn cut(text: &str, limit: usize) -> String {
    match text.get(..text.floor_char_boundary(limit)) {
        Some(beginning) if beginning.len() < text.len() => format!("{beginning}…"),
        Some(_) | None => text.to_owned(),
    }
}

/// There is no value, and the findings say why.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reported;

/// A part of a request, unless something is wrong with it.
pub(crate) type Parsed<T> = Result<T, Reported>;

/// Findings so far: the first few, for they travel in a header.
#[derive(Default)]
pub(crate) struct Findings(Vec<Violation>);

impl Findings {
    /// Findings that are kept.
    pub(crate) const LIMIT: usize = 8;

    /// Notes that something is wrong.
    pub(crate) fn report<T>(&mut self, at: Path<'_>, why: impl fmt::Display) -> Parsed<T> {
        if self.0.len() < Self::LIMIT {
            self.0.push(Violation { field: at.to_string(), description: why.to_string() });
        }
        Err(Reported)
    }

    /// What was parsed, if nothing is wrong.
    pub(crate) fn settle<T>(self, parsed: Parsed<T>) -> Result<T, Malformed> {
        match (Malformed::all(self.0), parsed) {
            (None, Ok(parsed)) => Ok(parsed),
            (Some(malformed), _) => Err(malformed),
            (None, Err(Reported)) => Err(Malformed::at("request", "is not understood")),
        }
    }
}
