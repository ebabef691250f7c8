//! Acts of erasure as whoever keeps a database could write them, as SQL that puts them among its acts.

use magistrate_ledger::{Act, ActId, ActRecord, DecisionId, Erasure, NoteSigner, Places, SealedAct, Selection};
use magistrate_model::Instant;

use crate::past::hex;

/// An act that nobody should believe.
#[derive(Debug)]
pub struct ForgedErasure(SealedAct);

impl ForgedErasure {
    /// As acts were before they were signed: of one decision of a principal.
    pub fn unsigned(principal: &str) -> Self {
        let of = Selection { principal: Some(principal.to_owned()), ..Selection::default() };
        Self::seal([1; 16], |_, _| Act::UnsignedErasure { of, reason: "forged".to_owned(), decisions: 1 })
    }

    /// Of a decision, signed by a key that nobody pinned.
    pub fn by_another_key(decision: &str) -> Self {
        let places = vec![place(decision)];
        Self::seal([2; 16], |act, at| {
            let (of, reason, actor) = (Selection::default(), "forged".to_owned(), actor());
            let erasure = Erasure { act, of, places, reason, actor, at };
            Act::Erasure(Box::new(erasure.sign(&NoteSigner::new("thief", &[9; 32]))))
        })
    }

    /// Of a decision, with the signature over an act of others.
    pub fn with_the_signature_of(body: &str, decision: &str) -> Self {
        let bytes: Vec<u8> =
            body.as_bytes().chunks(2).map(|it| u8::from_str_radix(str::from_utf8(it).unwrap(), 16).unwrap()).collect();
        let Act::Erasure(mut signed) = SealedAct::decode(&bytes).unwrap().record.act else {
            panic!("no erasure: {body}")
        };
        Self::seal([3; 16], |act, at| {
            let (places, actor) = (vec![place(decision)], actor());
            signed.erasure = Erasure { act, places, actor, at, ..signed.erasure };
            Act::Erasure(signed)
        })
    }

    fn seal(id: [u8; 16], act: impl FnOnce(ActId, Instant) -> Act) -> Self {
        let (id, at) = (ActId(id), Instant::from_micros(1_780_315_200_000_000).unwrap());
        Self(ActRecord { id, at, actor: actor(), act: act(id, at) }.seal().unwrap())
    }

    /// Its id.
    pub fn id(&self) -> String {
        self.0.record.id.to_string()
    }

    /// A statement for the embedded store, without its triggers.
    pub fn sqlite(&self) -> String {
        let (id, leaf, body) = (self.id(), self.0.leaf, hex(&self.0.bytes));
        format!("INSERT INTO act SELECT max(place) + 1, x'{id}', 'erasure', x'{leaf}', x'{body}' FROM act;")
    }

    /// A statement for PostgreSQL.
    pub fn postgres(&self) -> String {
        let (id, leaf, body) = (self.id(), self.0.leaf, hex(&self.0.bytes));
        format!("SELECT audit.record_act('\\x{id}', 'erasure', '\\x{leaf}', '\\x{body}');")
    }
}

fn actor() -> magistrate_model::Actor {
    "os:mia".parse().unwrap()
}

fn place(decision: &str) -> Places {
    let DecisionId { stream, seq } = decision.parse().unwrap();
    Places { stream, first: seq, last: seq }
}
