//! Rules against Cedar's authorizer.

#[cfg(test)]
mod boundaries;
#[cfg(test)]
mod coverage;
#[cfg(test)]
mod differential;
#[cfg(test)]
mod following;
pub(crate) mod fuzzed;
mod generate;
mod harness;
#[cfg(test)]
mod positions;
#[cfg(test)]
mod soundness;
