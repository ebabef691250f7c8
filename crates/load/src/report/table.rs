//! Tables, for people and for programs.

use serde_json::{Value as Json, json};

/// One table of a report.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) title: String,
    /// What it is of, and what to know before comparing.
    pub(crate) about: String,
    pub(crate) columns: Vec<&'static str>,
    pub(crate) rows: Vec<Vec<String>>,
    /// The figures behind it.
    pub(crate) figures: Json,
}

impl Table {
    pub(crate) fn new(title: &str, about: String, columns: &[&'static str]) -> Self {
        Self { title: title.into(), about, columns: columns.into(), rows: Vec::new(), figures: json!([]) }
    }

    /// A table that says only why it is empty.
    pub(crate) fn skipped(title: &str, why: &str) -> Self {
        Self::new(title, format!("SKIPPED: {why}"), &[])
    }

    /// Adds a row with what is behind it.
    pub(crate) fn row(&mut self, cells: Vec<String>, figures: Json) {
        self.rows.push(cells);
        if let Json::Array(all) = &mut self.figures {
            all.push(figures);
        }
    }

    pub(crate) fn markdown(&self) -> String {
        let mut text = format!("## {}\n\n{}\n", self.title, self.about);
        if !self.columns.is_empty() {
            let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
            let head: Vec<String> = self.columns.iter().map(|it| (*it).to_owned()).collect();
            text.push('\n');
            text.push_str(&line(&head));
            text.extend(["|", &"---|".repeat(head.len()), "\n"]);
            text.extend(self.rows.iter().map(|row| line(row)));
        }
        text
    }

    pub(crate) fn json(&self) -> Json {
        json!({
            "title": self.title, "about": self.about, "columns": self.columns, "rows": self.rows,
            "figures": self.figures,
        })
    }
}

/// A number to three digits, thousands parted.
pub(crate) fn number(value: f64) -> String {
    if value <= 0.0 || !value.is_finite() {
        return "–".into();
    }
    #[expect(clippy::cast_possible_truncation, reason = "an order of magnitude")]
    let decimals = 2 - value.log10().floor() as i32;
    let unit = 10_f64.powi(decimals);
    let rounded = (value * unit).round() / unit;
    let text = format!("{rounded:.*}", usize::try_from(decimals).unwrap_or(0));
    match text.split_once('.') {
        Some((whole, rest)) => format!("{}.{rest}", parted(whole)),
        None => parted(&text),
    }
}

/// Median, least and most.
pub(crate) fn spread([median, least, most]: [f64; 3]) -> String {
    format!("{} ({} to {})", number(median), number(least), number(most))
}

fn parted(digits: &str) -> String {
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_told_to_three_digits() {
        for (value, told) in [
            (0.042_34, "0.0423"),
            (1.0, "1.00"),
            (24.04, "24.0"),
            (317.6, "318"),
            (4_714.0, "4,710"),
            (136_400.0, "136,000"),
            (0.0, "–"),
            (f64::NAN, "–"),
        ] {
            assert_eq!(number(value), told);
        }
    }

    #[test]
    fn tables_are_markdown() {
        let mut table = Table::new("Cost", "Of one.".into(), &["who", "µs"]);
        table.row(vec!["it".into(), "7".into()], json!(7));
        assert_eq!(table.markdown(), "## Cost\n\nOf one.\n\n| who | µs |\n|---|---|\n| it | 7 |\n");
        assert_eq!(table.json()["figures"], json!([7]));
        assert!(Table::skipped("Cost", "no time").markdown().contains("SKIPPED: no time"));
    }
}
