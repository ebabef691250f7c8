//! Rules against Cedar's authorizer.

mod differential;
mod generate;
mod harness;
mod soundness;
