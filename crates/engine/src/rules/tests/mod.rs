//! Rules against Cedar's authorizer.

#[cfg(test)]
mod differential;
#[cfg(test)]
mod following;
pub(crate) mod fuzzed;
mod generate;
mod harness;
#[cfg(test)]
mod soundness;
