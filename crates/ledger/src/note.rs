//! Checkpoints as signed notes (C2SP `signed-note` and `tlog-checkpoint`), and the keys that sign them.

use data_encoding::BASE64;
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use magistrate_model::Digest;
use sha2::{Digest as _, Sha256};

/// What C2SP calls the algorithm byte of Ed25519.
const ED25519: u8 = 1;
/// What a signer key begins with.
const SECRET: &str = "PRIVATE+KEY+";

/// How many leaves a log has, and their root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log.
    pub origin: String,
    /// How many leaves.
    pub size: u64,
    /// The root over them (RFC 6962, section 2.1).
    pub root: Digest,
}

/// A checkpoint and the note that says so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCheckpoint {
    /// What it says.
    pub checkpoint: Checkpoint,
    /// The signed note.
    pub note: String,
}

/// A note that was not written by whom it should be, or is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidNote {
    /// Its text is not that of a checkpoint.
    #[error("not a checkpoint: {0}")]
    Format(&'static str),
    /// No key that is trusted signed it.
    #[error("no key that is trusted signed it")]
    Unsigned,
    /// It carries the name of a key that is trusted, and not its signature.
    #[error("the signature of `{0}` does not fit: it was forged, or the note was changed")]
    Forged(String),
}

/// A text is not a verifier key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a verifier key; it has the form `name+hash+key`")]
pub struct InvalidKey(String);

/// Signs checkpoints.
#[derive(Clone)]
pub struct NoteSigner {
    name: String,
    key: SigningKey,
}

/// Knows the signatures of one signer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoteVerifier {
    name: String,
    key: VerifyingKey,
}

/// The secret is told to nobody.
impl std::fmt::Debug for NoteSigner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NoteSigner").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Checkpoint {
    /// The text that is signed.
    fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, BASE64.encode(self.root.as_bytes()))
    }

    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.strip_suffix('\n')?.split('\n');
        let (origin, size, root) = (lines.next()?, lines.next()?, lines.next()?);
        let number: u64 = size.parse().ok().filter(|number: &u64| number.to_string() == size)?;
        let root = Digest::from_slice(&BASE64.decode(root.as_bytes()).ok()?).ok()?;
        let parsed = Self { origin: origin.to_owned(), size: number, root };
        (lines.next().is_none() && !origin.is_empty()).then_some(parsed)
    }
}

impl NoteSigner {
    /// Signs with a secret of 32 bytes, under a name that is fit for a note: what is not becomes a dash.
    pub fn new(name: &str, secret: &[u8; 32]) -> Self {
        let fit = |c: char| if c.is_whitespace() || c == '+' || c.is_control() { '-' } else { c };
        Self { name: name.chars().map(fit).collect(), key: SigningKey::from_bytes(secret) }
    }

    /// Reads what [`NoteSigner::secret_text`] wrote.
    pub fn parse(text: &str) -> Option<Self> {
        let (name, rest) = text.strip_prefix(SECRET)?.split_once('+')?;
        let (_, secret) = rest.split_once('+')?;
        let secret = BASE64.decode(secret.as_bytes()).ok()?;
        let signer = Self::new(name, secret.strip_prefix(&[ED25519])?.try_into().ok()?);
        (signer.secret_text() == text).then_some(signer)
    }

    /// The signer key as C2SP `signed-note` writes it: a secret.
    pub fn secret_text(&self) -> String {
        let hash = u32::from_be_bytes(self.verifier().hash());
        let secret = BASE64.encode(&[&[ED25519][..], self.key.as_bytes()].concat());
        format!("{SECRET}{}+{hash:08x}+{secret}", self.name)
    }

    /// Who can verify it.
    pub fn verifier(&self) -> NoteVerifier {
        NoteVerifier { name: self.name.clone(), key: self.key.verifying_key() }
    }

    /// A note of the checkpoint.
    pub fn sign(&self, checkpoint: &Checkpoint) -> String {
        let text = checkpoint.text();
        format!("{text}\n{}", self.signature(&text))
    }

    /// Signs what is no note, under a domain of its own.
    pub(crate) fn sign_bytes(&self, domain: &[u8], bytes: &[u8]) -> [u8; 64] {
        self.key.sign(&[domain, b"\n", bytes].concat()).to_bytes()
    }

    /// The line that signs a text.
    fn signature(&self, text: &str) -> String {
        let signature = self.key.sign(text.as_bytes()).to_bytes();
        let signed = [&self.verifier().hash()[..], &signature].concat();
        format!("\u{2014} {} {}\n", self.name, BASE64.encode(&signed))
    }
}

impl NoteVerifier {
    /// The name it signs under.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The public key.
    pub fn key(&self) -> [u8; 32] {
        self.key.to_bytes()
    }

    /// Whether it signed what is no note, under this domain.
    pub(crate) fn signed_bytes(&self, domain: &[u8], bytes: &[u8], signature: &[u8; 64]) -> bool {
        let signature = Signature::from_bytes(signature);
        self.key.verify_strict(&[domain, b"\n", bytes].concat(), &signature).is_ok()
    }

    /// `SHA256(name ‖ 0x0A ‖ 0x01 ‖ key)`, the first four bytes.
    fn hash(&self) -> [u8; 4] {
        let hash =
            Sha256::new().chain_update(&self.name).chain_update([b'\n', ED25519]).chain_update(self.key.as_bytes());
        let [a, b, c, d, ..] = <[u8; 32]>::from(hash.finalize());
        [a, b, c, d]
    }

    /// Reads a note, if this key signed it.
    fn open(&self, text: &str, signatures: &str) -> Result<(), InvalidNote> {
        let lines = signatures.lines().filter_map(|line| line.strip_prefix("\u{2014} ")?.split_once(' '));
        let ours = lines.filter(|(name, _)| *name == self.name);
        let signed: Vec<Vec<u8>> = ours.filter_map(|(_, signed)| BASE64.decode(signed.as_bytes()).ok()).collect();
        let ours = signed.iter().filter_map(|it| it.split_at_checked(4)).find(|(hash, _)| *hash == self.hash());
        let (_, signature) = ours.ok_or(InvalidNote::Unsigned)?;
        let signature = Signature::from_slice(signature).map_err(|_| InvalidNote::Forged(self.name.clone()))?;
        let verified = self.key.verify_strict(text.as_bytes(), &signature);
        verified.map_err(|_| InvalidNote::Forged(self.name.clone()))
    }
}

impl std::fmt::Display for NoteVerifier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let hash = u32::from_be_bytes(self.hash());
        let key = BASE64.encode(&[&[ED25519][..], self.key.as_bytes()].concat());
        write!(f, "{}+{hash:08x}+{key}", self.name)
    }
}

impl std::str::FromStr for NoteVerifier {
    type Err = InvalidKey;

    fn from_str(text: &str) -> Result<Self, InvalidKey> {
        let parsed = || {
            let (name, rest) = text.split_once('+')?;
            let (_, key) = rest.split_once('+')?;
            let key = BASE64.decode(key.as_bytes()).ok()?;
            let key: &[u8; 32] = key.strip_prefix(&[ED25519])?.try_into().ok()?;
            let verifier = Self { name: name.to_owned(), key: VerifyingKey::from_bytes(key).ok()? };
            (verifier.to_string() == text && !name.is_empty()).then_some(verifier)
        };
        parsed().ok_or_else(|| InvalidKey(text.chars().take(120).flat_map(char::escape_debug).collect()))
    }
}

/// Reads a note that one of these keys signed.
pub fn open_note(note: &str, trusted: &[NoteVerifier]) -> Result<Checkpoint, InvalidNote> {
    let (checkpoint, text, signatures) = parts(note)?;
    let mut refusal = InvalidNote::Unsigned;
    for verifier in trusted {
        match verifier.open(text, signatures) {
            Ok(()) => return Ok(checkpoint),
            Err(InvalidNote::Unsigned) => {}
            Err(forged) => refusal = forged,
        }
    }
    Err(refusal)
}

/// Reads a note, whoever signed it: what it says is not to be believed.
pub fn read_note(note: &str) -> Result<Checkpoint, InvalidNote> {
    parts(note).map(|(checkpoint, ..)| checkpoint)
}

fn parts(note: &str) -> Result<(Checkpoint, &str, &str), InvalidNote> {
    let (text, signatures) = note.split_once("\n\n").ok_or(InvalidNote::Format("it has no signatures"))?;
    // The newline before the empty line belongs to what is signed.
    let text = note.get(..=text.len()).ok_or(InvalidNote::Format("it has no text"))?;
    let checkpoint =
        Checkpoint::parse(text).ok_or(InvalidNote::Format("it has not three lines: origin, size, root"))?;
    Ok((checkpoint, text, signatures))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checkpoint() -> Checkpoint {
        Checkpoint { origin: "magistrate/stream/07".to_owned(), size: 42, root: Digest::new([5; 32]) }
    }

    #[test]
    fn note_is_opened_by_its_signer_alone() {
        let (one, two) = (NoteSigner::new("node 1", &[1; 32]), NoteSigner::new("node 1", &[2; 32]));
        let note = one.sign(&checkpoint());
        assert_eq!(open_note(&note, &[two.verifier(), one.verifier()]), Ok(checkpoint()));
        assert_eq!(open_note(&note, &[two.verifier()]), Err(InvalidNote::Unsigned));
        assert_eq!(open_note(&note, &[]), Err(InvalidNote::Unsigned));
    }

    #[test]
    fn note_has_no_free_bit() {
        let signer = NoteSigner::new("node-1", &[1; 32]);
        let note = signer.sign(&checkpoint());
        for at in 0..note.len() {
            for bit in 0..7 {
                let mut bytes = note.clone().into_bytes();
                bytes[at] ^= 1 << bit;
                let opened = String::from_utf8(bytes).map(|note| open_note(&note, &[signer.verifier()]));
                assert!(!matches!(opened, Ok(Ok(_))), "byte {at}, bit {bit}");
            }
        }
    }

    /// The example in the documentation of Go's package `golang.org/x/mod/sumdb/note`, where the format comes from.
    #[test]
    fn notes_and_keys_are_those_of_others() {
        let text =
            "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n";
        let signed = "\u{2014} PeterNeumann \
            x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
        let verifier: NoteVerifier =
            "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW".parse().unwrap();
        let secret = "PRIVATE+KEY+PeterNeumann+c74f20a3+AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
        assert_eq!(verifier.open(text, signed), Ok(()));
        assert!(verifier.open(&text.replace("is the", "is not the"), signed).is_err());
        let author = NoteSigner::parse(secret).unwrap();
        assert_eq!((author.verifier(), author.signature(text)), (verifier, signed.to_owned()));
    }

    #[test]
    fn signer_is_read_as_it_was_written_and_not_shown() {
        let signer = NoteSigner::new("node-1", &[7; 32]);
        let text = signer.secret_text();
        assert_eq!(NoteSigner::parse(&text).unwrap().verifier(), signer.verifier());
        assert!(NoteSigner::parse(&text.replace("node-1", "node-2")).is_none());
        assert!(!format!("{signer:?}").contains('7'), "{signer:?}");
    }

    #[test]
    fn key_is_read_as_it_was_written() {
        let verifier = NoteSigner::new("a b+c", &[7; 32]).verifier();
        let text = verifier.to_string();
        assert!(text.starts_with("a-b-c+"));
        assert_eq!(text.parse(), Ok(verifier));
        for bad in ["", "a", "a+00000000+AQ==", &text.replace("a-b-c", "a-b-d")] {
            assert!(bad.parse::<NoteVerifier>().is_err(), "{bad}");
        }
    }
}
