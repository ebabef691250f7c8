//! Rules against Cedar's authorizer.

mod differential;
mod following;
mod generate;
mod harness;
mod soundness;
