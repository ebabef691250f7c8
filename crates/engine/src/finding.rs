//! What is wrong with a schema or policy, and where.

use std::fmt;

/// Which rule a source breaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// Too large, too deep or too many operators to be parsed safely.
    Size,
    /// Not Cedar.
    Syntax,
    /// `@id` missing, repeated or not an id.
    Id,
    /// A template: assignments do their job, expire, and carry reasons.
    Template,
    /// Cedar's strict validation fails.
    Type,
    /// Cedar's validation warns; warnings are not published.
    Warning,
    /// Role or scope membership tested on anything but `principal`.
    RolePosition,
    /// Role or scope membership tested where holding it would take access away.
    NegativeRole,
    /// More attribute hops than entities are loaded for.
    Depth,
    /// An annotation of ours that says nothing we know.
    Annotation,
    /// The schema breaks our model of entity sources.
    Model,
    /// The product's own namespace is declared or named.
    Reserved,
}

impl Rule {
    /// The name in messages and machine-readable output.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Size => "size",
            Self::Syntax => "syntax",
            Self::Id => "id",
            Self::Template => "template",
            Self::Type => "type",
            Self::Warning => "warning",
            Self::RolePosition => "role-position",
            Self::NegativeRole => "negative-role",
            Self::Depth => "depth",
            Self::Annotation => "annotation",
            Self::Model => "model",
            Self::Reserved => "reserved",
        }
    }
}

/// One thing wrong with a source.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// The source's name, such as its path.
    pub source: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// The line itself, for a caret to point into.
    pub excerpt: String,
    /// Characters to underline.
    pub width: usize,
    /// The rule.
    pub rule: Rule,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl Finding {
    /// A finding at bytes `offset..offset + length` of a source.
    pub(crate) fn at(
        (source, text): (&str, &str),
        (offset, length): (usize, usize),
        rule: Rule,
        message: impl Into<String>,
        help: Option<String>,
    ) -> Self {
        let before = text.get(..offset).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        let excerpt = text.get(line_start..).and_then(|rest| rest.lines().next()).unwrap_or("");
        let column = before.get(line_start..).map_or(0, |start| start.chars().count()) + 1;
        let marked = text.get(offset..offset.saturating_add(length)).unwrap_or("");
        let width = marked.lines().next().map_or(1, |line| line.chars().count()).max(1);
        Self {
            source: source.to_owned(),
            line: before.matches('\n').count() + 1,
            column,
            excerpt: excerpt.chars().take(200).collect(),
            width: width.min(200),
            rule,
            message: message.into(),
            help,
        }
    }

    /// A finding about a source as a whole.
    pub(crate) fn whole(source: (&str, &str), rule: Rule, message: impl Into<String>, help: Option<String>) -> Self {
        Self::at(source, (0, 1), rule, message, help)
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let gutter = self.line.to_string().len();
        writeln!(f, "error[{}]: {}", self.rule.name(), self.message)?;
        writeln!(f, "{:gutter$}--> {}:{}:{}", "", self.source, self.line, self.column)?;
        writeln!(f, "{:gutter$} |", "")?;
        writeln!(f, "{} | {}", self.line, self.excerpt)?;
        write!(f, "{:gutter$} | {:indent$}{}", "", "", "^".repeat(self.width), indent = self.column - 1)?;
        match &self.help {
            Some(help) => write!(f, "\n{:gutter$} = help: {help}", ""),
            None => Ok(()),
        }
    }
}

/// Everything wrong with a policy set; at least one finding, in source order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Findings(Vec<Finding>);

impl Findings {
    pub(crate) fn of(mut findings: Vec<Finding>) -> Self {
        findings.sort();
        findings.dedup();
        Self(findings)
    }

    /// The findings.
    pub fn as_slice(&self) -> &[Finding] {
        &self.0
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, finding) in self.0.iter().enumerate() {
            if n > 0 {
                f.write_str("\n\n")?;
            }
            finding.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Findings {}
