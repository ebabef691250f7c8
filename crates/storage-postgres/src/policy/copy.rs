//! Many rows at once, as `COPY … TO STDOUT (FORMAT binary)` gives them: the fastest way out of PostgreSQL.
//!
//! The format is that of PostgreSQL's documentation, "COPY", section "Binary Format".

use magistrate_pap::rows::InconsistentRow;
use tokio_stream::StreamExt as _;

use super::read_error::ReadError;
use crate::connect::Session;

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";

/// Gives every row of a query, which takes no parameters.
pub(super) async fn each_row(
    session: &mut Session,
    query: &'static str,
    mut give: impl FnMut(&mut Fields<'_>) -> Result<(), ReadError>,
) -> Result<(), ReadError> {
    let copy = format!("COPY ({query}) TO STDOUT (FORMAT binary)");
    let mut stream = session.connection.copy_out_raw(&copy).await?;
    let mut reading = Reading::default();
    while let Some(piece) = stream.next().await {
        reading.read(&piece?, &mut give)?;
    }
    match reading.ended {
        true => Ok(()),
        false => Err(torn("it ends too soon")),
    }
}

fn torn(why: &str) -> ReadError {
    ReadError::Inconsistent(InconsistentRow::new("COPY", "binary format", why))
}

/// What came so far. Pieces end anywhere.
#[derive(Debug, Default)]
struct Reading {
    /// What of a row has come before.
    rest: Vec<u8>,
    begun: bool,
    ended: bool,
}

impl Reading {
    fn read(
        &mut self,
        piece: &[u8],
        give: &mut impl FnMut(&mut Fields<'_>) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        let joined: Vec<u8>;
        let mut left = match self.rest.is_empty() {
            true => piece,
            false => {
                joined = [&std::mem::take(&mut self.rest), piece].concat();
                &joined
            }
        };
        loop {
            let next = match (self.begun, self.ended) {
                (false, _) => header(left)?.inspect(|_| self.begun = true),
                (true, false) => match row(left)? {
                    Some(Row::Fields(mut fields, after)) => {
                        give(&mut fields)?;
                        Some(after)
                    }
                    Some(Row::End(after)) => {
                        self.ended = true;
                        Some(after)
                    }
                    None => None,
                },
                (true, true) if left.is_empty() => return Ok(()),
                (true, true) => return Err(torn("something follows the end")),
            };
            match next {
                Some(after) => left = after,
                None => {
                    self.rest = left.to_vec();
                    return Ok(());
                }
            }
        }
    }
}

/// What follows the header; `None` where it is not whole yet.
fn header(bytes: &[u8]) -> Result<Option<&[u8]>, ReadError> {
    let Some((signature, rest)) = bytes.split_at_checked(SIGNATURE.len()) else { return Ok(None) };
    if signature != SIGNATURE {
        return Err(torn("it has another signature"));
    }
    let Some((_flags, rest)) = number(rest) else { return Ok(None) };
    let Some((extension, rest)) = number(rest) else { return Ok(None) };
    let extension = usize::try_from(extension).map_err(|_| torn("its header has no length"))?;
    Ok(rest.get(extension..))
}

enum Row<'a> {
    /// The fields, and what follows them.
    Fields(Fields<'a>, &'a [u8]),
    End(&'a [u8]),
}

/// The next row; `None` where it is not whole yet.
fn row(bytes: &[u8]) -> Result<Option<Row<'_>>, ReadError> {
    let Some((count, fields)) = bytes.split_first_chunk() else { return Ok(None) };
    let count = i16::from_be_bytes(*count);
    if count == -1 {
        return Ok(Some(Row::End(fields)));
    }
    let mut after = fields;
    for _ in 0..count {
        let Some((length, rest)) = number(after) else { return Ok(None) };
        let length =
            if length == -1 { 0 } else { usize::try_from(length).map_err(|_| torn("a field has no length"))? };
        match rest.get(length..) {
            Some(rest) => after = rest,
            None => return Ok(None),
        }
    }
    Ok(Some(Row::Fields(Fields(fields), after)))
}

fn number(bytes: &[u8]) -> Option<(i32, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    Some((i32::from_be_bytes(*number), rest))
}

/// The fields of one row, in the order of its columns.
#[derive(Debug)]
pub(super) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn next(&mut self) -> Result<Option<&'a [u8]>, ReadError> {
        let (length, rest) = number(self.0).ok_or_else(|| torn("a row has too few fields"))?;
        let Ok(length) = usize::try_from(length) else {
            self.0 = rest;
            return Ok(None);
        };
        let (field, rest) = rest.split_at_checked(length).ok_or_else(|| torn("a field is cut short"))?;
        self.0 = rest;
        Ok(Some(field))
    }

    /// The next field, a text.
    pub(super) fn text(&mut self) -> Result<&'a str, ReadError> {
        self.optional_text()?.ok_or_else(|| torn("a text is NULL"))
    }

    /// The next field, a text or NULL.
    pub(super) fn optional_text(&mut self) -> Result<Option<&'a str>, ReadError> {
        self.next()?.map(std::str::from_utf8).transpose().map_err(|_| torn("a text is not UTF-8"))
    }

    /// The next field, a `bigint` or NULL.
    pub(super) fn optional_bigint(&mut self) -> Result<Option<i64>, ReadError> {
        let bytes = self.next()?.map(<[u8; 8]>::try_from).transpose();
        Ok(bytes.map_err(|_| torn("a bigint has not 8 bytes"))?.map(i64::from_be_bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rows of a text, a text or NULL, and a bigint or NULL.
    fn encoded(rows: &[(&str, Option<&str>, Option<i64>)]) -> Vec<u8> {
        let mut bytes = [SIGNATURE, &0_i32.to_be_bytes(), &3_i32.to_be_bytes(), b"abc"].concat();
        let field = |bytes: &mut Vec<u8>, field: Option<&[u8]>| match field {
            None => bytes.extend((-1_i32).to_be_bytes()),
            Some(field) => {
                bytes.extend(i32::try_from(field.len()).unwrap().to_be_bytes());
                bytes.extend(field);
            }
        };
        for (one, other, number) in rows {
            bytes.extend(3_i16.to_be_bytes());
            field(&mut bytes, Some(one.as_bytes()));
            field(&mut bytes, other.map(str::as_bytes));
            field(&mut bytes, number.map(i64::to_be_bytes).as_ref().map(<[u8; 8]>::as_slice));
        }
        bytes.extend((-1_i16).to_be_bytes());
        bytes
    }

    type Owned = (String, Option<String>, Option<i64>);

    fn read(pieces: &[&[u8]]) -> Result<(Vec<Owned>, bool), ReadError> {
        let (mut reading, mut rows) = (Reading::default(), Vec::new());
        for piece in pieces {
            reading.read(piece, &mut |fields: &mut Fields<'_>| {
                let one = fields.text()?.to_owned();
                rows.push((one, fields.optional_text()?.map(str::to_owned), fields.optional_bigint()?));
                Ok(())
            })?;
        }
        Ok((rows, reading.ended))
    }

    #[test]
    fn rows_are_read_wherever_pieces_end() {
        let rows = [("a", Some(""), Some(i64::MIN)), ("", None, None), ("éé", Some("b"), Some(7))];
        let expected: Vec<Owned> = rows.map(|(a, b, c)| (a.to_owned(), b.map(str::to_owned), c)).into();
        let bytes = encoded(&rows);
        for cut in 0..=bytes.len() {
            let (one, other) = bytes.split_at(cut);
            assert_eq!(read(&[one, other]).unwrap(), (expected.clone(), true), "cut at {cut}");
            assert_eq!(read(&[one]).unwrap().1, cut == bytes.len(), "ended at {cut}");
        }
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(read(&single).unwrap(), (expected, true));
    }

    #[test]
    fn what_is_not_the_format_is_refused() {
        let whole = encoded(&[("a", None, Some(1))]);
        let with = |at: usize, byte: u8| {
            let mut bytes = whole.clone();
            bytes[at] = byte;
            bytes
        };
        let fields = SIGNATURE.len() + 4 + 4 + 3;
        for (name, bytes) in [
            ("another signature", with(0, b'p')),
            ("a header without a length", with(SIGNATURE.len() + 4, 0xff)),
            ("a negative length", with(fields + 2, 0xfe)),
            ("no UTF-8", with(fields + 6, 0xff)),
            ("a row of fewer fields", with(fields + 1, 2)),
            ("more after the end", [whole.as_slice(), b"x"].concat()),
        ] {
            assert!(read(&[&bytes]).is_err(), "{name}");
        }
    }
}
