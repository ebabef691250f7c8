//! Proofs as JSON: bytes in base64, hashes in hexadecimal digits. A field that is not known is refused.

use data_encoding::BASE64;
use magistrate_model::Digest;
use serde_json::{Map, Value, json};

use super::{ConsistencyProof, DecisionProof, Place, Proof};

/// The longest text of a proof.
const LONGEST: usize = 16 * 1024 * 1024;
/// The longest path: of the largest tree there is, and its old root.
const LONGEST_PATH: usize = 65;
const VERSION: u64 = 1;

/// A text is no proof.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a proof: {0}")]
pub struct InvalidProof(String);

type Object = Map<String, Value>;

impl Proof {
    /// Reads what [`Proof::to_json`] wrote.
    pub fn parse(text: &str) -> Result<Self, InvalidProof> {
        if text.len() > LONGEST {
            return Err(InvalidProof(format!("it is longer than {LONGEST} bytes")));
        }
        let value: Value = serde_json::from_str(text).map_err(|error| InvalidProof(error.to_string()))?;
        let mut fields = object(value, "the proof")?;
        if number(&mut fields, "version")? != VERSION {
            return Err(InvalidProof(format!("a version that this program does not know; it knows {VERSION}")));
        }
        let kind = text_of(&mut fields, "kind")?;
        let proof = match kind.as_str() {
            "decision" => Self::Decision(decision(&mut fields)?),
            "consistency" => Self::Consistency(consistency(&mut fields)?),
            _ => return Err(InvalidProof("`kind` is neither `decision` nor `consistency`".to_owned())),
        };
        nothing_more(&fields).map(|()| proof)
    }

    /// The proof in one piece.
    pub fn to_json(&self) -> Value {
        match self {
            Self::Decision(DecisionProof { id, record, batch, header, log, checkpoint }) => json!({
                "version": VERSION, "kind": "decision", "id": id.to_string(), "record": BASE64.encode(record),
                "batch": place_json(batch), "header": BASE64.encode(header), "log": place_json(log),
                "checkpoint": checkpoint,
            }),
            Self::Consistency(ConsistencyProof { old, new, path }) => json!({
                "version": VERSION, "kind": "consistency", "old": old, "new": new, "path": path_json(path),
            }),
        }
    }
}

fn place_json(place: &Place) -> Value {
    json!({ "index": place.index, "path": path_json(&place.path) })
}

fn path_json(path: &[Digest]) -> Value {
    path.iter().map(ToString::to_string).collect()
}

fn decision(fields: &mut Object) -> Result<DecisionProof, InvalidProof> {
    Ok(DecisionProof {
        id: text_of(fields, "id")?.parse().map_err(|error| InvalidProof(format!("`id`: {error}")))?,
        record: bytes(fields, "record")?,
        batch: place(fields, "batch")?,
        header: bytes(fields, "header")?,
        log: place(fields, "log")?,
        checkpoint: text_of(fields, "checkpoint")?,
    })
}

fn consistency(fields: &mut Object) -> Result<ConsistencyProof, InvalidProof> {
    Ok(ConsistencyProof { old: text_of(fields, "old")?, new: text_of(fields, "new")?, path: path(fields)? })
}

fn place(fields: &mut Object, name: &str) -> Result<Place, InvalidProof> {
    let mut place = object(take(fields, name)?, name)?;
    let read = Place { index: number(&mut place, "index")?, path: path(&mut place)? };
    nothing_more(&place).map(|()| read)
}

fn path(fields: &mut Object) -> Result<Vec<Digest>, InvalidProof> {
    let Value::Array(hashes) = take(fields, "path")? else {
        return Err(InvalidProof("`path` is no list".to_owned()));
    };
    if hashes.len() > LONGEST_PATH {
        return Err(InvalidProof(format!("a path has at most {LONGEST_PATH} hashes")));
    }
    let hash = |value: &Value| value.as_str().and_then(|text| Digest::from_hex(text).ok());
    let path: Option<Vec<Digest>> = hashes.iter().map(hash).collect();
    path.ok_or_else(|| InvalidProof("`path` holds what is no hash".to_owned()))
}

fn take(fields: &mut Object, name: &str) -> Result<Value, InvalidProof> {
    fields.remove(name).ok_or_else(|| InvalidProof(format!("`{name}` is missing")))
}

fn object(value: Value, name: &str) -> Result<Object, InvalidProof> {
    match value {
        Value::Object(fields) => Ok(fields),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(InvalidProof(format!("{name} is no object")))
        }
    }
}

fn number(fields: &mut Object, name: &str) -> Result<u64, InvalidProof> {
    take(fields, name)?.as_u64().ok_or_else(|| InvalidProof(format!("`{name}` is no number")))
}

fn text_of(fields: &mut Object, name: &str) -> Result<String, InvalidProof> {
    let text = take(fields, name)?.as_str().map(ToOwned::to_owned);
    text.ok_or_else(|| InvalidProof(format!("`{name}` is no text")))
}

fn bytes(fields: &mut Object, name: &str) -> Result<Vec<u8>, InvalidProof> {
    let text = text_of(fields, name)?;
    BASE64.decode(text.as_bytes()).map_err(|_| InvalidProof(format!("`{name}` is not in base64")))
}

fn nothing_more(fields: &Object) -> Result<(), InvalidProof> {
    match fields.keys().next() {
        None => Ok(()),
        Some(name) => {
            let name: String = name.chars().take(80).flat_map(char::escape_debug).collect();
            Err(InvalidProof(format!("`{name}` means nothing in it")))
        }
    }
}
