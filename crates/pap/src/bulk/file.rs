//! A file of items, kept as its text: an item is parsed when it is looked at and dropped again, so that a
//! million of them take little more memory than the file itself.

use std::ops::Range;

use magistrate_model::EntityData;
use magistrate_model::json::StrictJson;
use serde_json::Value as Json;

use super::problems::Problems;
use crate::data::{self, GrantText, Located};
use crate::problem::{AdminError, Problem};

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ItemKind {
    /// Entities, as JSON lines.
    Entities,
    /// Grants, as JSON lines.
    Grants,
    /// Grants, as CSV with a header.
    CsvGrants,
}

/// A file to import, split into its items; nothing about them is checked yet.
#[derive(Debug)]
pub struct ImportFile {
    name: String,
    text: String,
    kind: ItemKind,
    header: csv::StringRecord,
    places: Vec<Place>,
}

/// Where an item stands in the text. Offsets fit: the text has at most [`ImportFile::LIMIT`] bytes.
#[derive(Debug, Clone, Copy)]
struct Place {
    start: u32,
    end: u32,
    line: u32,
}

impl ImportFile {
    /// Bytes a file may have. All of it is kept while it is imported.
    pub const LIMIT: usize = 1 << 30;

    /// Splits a text into items; `name` is the file's.
    pub fn new(name: &str, text: String, kind: ItemKind) -> Result<Self, AdminError> {
        if text.len() > Self::LIMIT {
            return Err(Self::too_large(name));
        }
        let mut file = Self { name: name.to_owned(), text, kind, header: csv::StringRecord::new(), places: Vec::new() };
        match kind {
            ItemKind::Entities | ItemKind::Grants => file.split_lines(),
            ItemKind::CsvGrants => file.split_records()?,
        }
        Ok(file)
    }

    /// That a file has more bytes than the limit, and what to do.
    pub fn too_large(name: &str) -> AdminError {
        let gibibytes = Self::LIMIT >> 30;
        let what = format!("is larger than {gibibytes} GiB; split it and import the pieces one after the other");
        AdminError::Problems(vec![Problem { place: name.to_owned(), what }])
    }

    /// How many items it holds.
    pub fn count(&self) -> usize {
        self.places.len()
    }

    pub(super) fn kind(&self) -> ItemKind {
        self.kind
    }

    /// The line an item begins on.
    pub(super) fn line(&self, item: usize) -> u32 {
        self.places.get(item).map_or(0, |place| place.line)
    }

    /// Where an item stands, as people are told.
    pub(super) fn place(&self, item: usize) -> String {
        format!("{}:{}", self.name, self.line(item))
    }

    pub(super) fn entity(&self, item: usize) -> Result<EntityData, String> {
        data::entity(&self.json(item)?)
    }

    pub(super) fn grant(&self, item: usize) -> Result<GrantText, String> {
        data::grant(&self.json(item)?)
    }

    pub(super) fn located<T>(&self, number: usize, item: T) -> Located<T> {
        Located { place: self.place(number), item }
    }

    fn json(&self, item: usize) -> Result<Json, String> {
        let text = self.places.get(item).and_then(|place| self.text.get(range(*place))).unwrap_or_default();
        if self.kind != ItemKind::CsvGrants {
            let json = serde_json::from_str::<StrictJson>(text);
            return json.map(|StrictJson(json)| json).map_err(|e| format!("is not accepted as JSON: {e}"));
        }
        let mut reader = csv_reader(text);
        let row = reader.records().next().ok_or("holds no row")?.map_err(|e| e.to_string())?;
        data::csv_object(&self.header, &row)
    }

    fn split_lines(&mut self) {
        let (mut start, mut places) = (0, Vec::new());
        for (number, line) in (1..).zip(self.text.split_inclusive('\n')) {
            let end = start + offset(line.len());
            if !line.trim().is_empty() {
                places.push(Place { start, end, line: number });
            }
            start = end;
        }
        self.places = places;
    }

    /// Finds the rows, and refuses those that are not as wide as the header.
    fn split_records(&mut self) -> Result<(), AdminError> {
        let whole = |what: String| AdminError::Problems(vec![Problem { place: self.name.clone(), what }]);
        let mut reader = csv::Reader::from_reader(self.text.as_bytes());
        let header = reader.headers().map_err(|e| whole(format!("has no readable header: {e}")))?.clone();
        data::check_header(&header).map_err(whole)?;
        let (mut places, mut problems) = (Vec::new(), Problems::default());
        let (mut row, mut start) = (csv::StringRecord::new(), reader.position().clone());
        loop {
            match reader.read_record(&mut row) {
                Ok(false) => break,
                Ok(true) => {
                    let line = row.position().map_or(0, csv::Position::line);
                    let (start, end) = (offset_of(&start), offset_of(reader.position()));
                    places.push(Place { start, end, line: u32::try_from(line).unwrap_or(u32::MAX) });
                }
                Err(error) => {
                    let line = error.position().map_or(0, csv::Position::line);
                    let place = format!("{}:{line}", self.name);
                    problems.note(u32::try_from(line).unwrap_or(u32::MAX), place, error.to_string());
                }
            }
            start = reader.position().clone();
        }
        (self.places, self.header) = (places, header);
        problems.none()
    }
}

fn csv_reader(text: &str) -> csv::Reader<&[u8]> {
    csv::ReaderBuilder::new().has_headers(false).buffer_capacity(text.len().max(1)).from_reader(text.as_bytes())
}

fn range(place: Place) -> Range<usize> {
    place.start as usize..place.end as usize
}

/// INVARIANT: no offset is beyond the limit, which fits.
fn offset(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

fn offset_of(position: &csv::Position) -> u32 {
    u32::try_from(position.byte()).unwrap_or(u32::MAX)
}
