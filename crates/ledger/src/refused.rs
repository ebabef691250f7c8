//! One call that was refused, as an act tells it.

use std::net::IpAddr;

use magistrate_model::{KeyId, TraceId};
use minicbor::decode::Error;

use crate::act::text;
use crate::cbor::{Encoded, In, Out, fixed, optional, parsed, put_optional};

/// A call of a known caller that got no verdict. INVARIANT: it tells no context, no attributes and no secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedCall {
    /// Why, as the stable reason that the caller was told.
    pub cause: String,
    /// The id of the API key that was presented.
    pub caller: KeyId,
    /// From where.
    pub address: Option<IpAddr>,
    /// The method that was called.
    pub method: String,
    /// What was asked, as far as it was understood.
    pub asked: Asked,
    /// The trace the call belonged to.
    pub trace: Option<TraceId>,
    /// What the caller was told.
    pub why: String,
}

/// The words of a question: uids alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// Who would act.
    pub principal: Option<String>,
    /// What it would do.
    pub action: Option<String>,
    /// On what.
    pub resource: Option<String>,
}

/// Items of its array, the number of its kind in front of them.
pub(crate) const LENGTH: u64 = 10;

impl RefusedCall {
    pub(crate) fn put(&self, out: &mut Out<'_>) -> Encoded {
        let Self { cause, caller, address, method, asked, trace, why } = self;
        out.str(cause)?.str(caller.as_str())?;
        put_optional(out, address.as_ref(), |out, address| out.str(&address.to_string()).map(drop))?;
        out.str(method)?;
        for part in [&asked.principal, &asked.action, &asked.resource] {
            put_optional(out, part.as_ref(), |out, part| out.str(part).map(drop))?;
        }
        put_optional(out, trace.as_ref(), |out, trace| out.bytes(trace.as_bytes()).map(drop))?;
        out.str(why).map(drop)
    }

    pub(crate) fn take(input: &mut In<'_>) -> Result<Self, Error> {
        Ok(Self {
            cause: text(input)?,
            caller: parsed(input)?,
            address: optional(input, parsed)?,
            method: text(input)?,
            asked: Asked {
                principal: optional(input, text)?,
                action: optional(input, text)?,
                resource: optional(input, text)?,
            },
            trace: optional(input, fixed)?.map(TraceId::new),
            why: text(input)?,
        })
    }
}
