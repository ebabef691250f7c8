//! The contract never breaks: `proto/baseline/magistrate_v1.binpb` is what peers were built against.
//!
//! Additions pass. To make them part of what may not break, rewrite the baseline with
//! `MAGISTRATE_UPDATE_BASELINE=1 cargo test -p magistrate-proto`, which refuses a breaking one.

mod breaks;
mod compare;
mod structure;

use std::error::Error;
use std::path::{Path, PathBuf};

use prost::Message;
use prost_types::FileDescriptorSet;

use crate::compare::Contract;

fn baseline() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto/baseline/magistrate_v1.binpb")
}

/// The contract without its imports and comments.
fn current() -> Result<FileDescriptorSet, prost::DecodeError> {
    let mut set = FileDescriptorSet::decode(magistrate_proto::FILE_DESCRIPTOR_SET)?;
    set.file.retain(|file| file.package() == "magistrate.v1");
    for file in &mut set.file {
        file.source_code_info = None;
    }
    Ok(set)
}

#[test]
fn contract_keeps_what_the_baseline_promised() -> Result<(), Box<dyn Error>> {
    let current = current()?;
    let update = std::env::var_os("MAGISTRATE_UPDATE_BASELINE").is_some();
    let before = match std::fs::read(baseline()) {
        Ok(bytes) => FileDescriptorSet::decode(bytes.as_slice())?,
        Err(missing) if update && missing.kind() == std::io::ErrorKind::NotFound => FileDescriptorSet::default(),
        Err(other) => return Err(format!("cannot read {}: {other}", baseline().display()).into()),
    };
    let breaks = Contract::of(&current).breaks_since(&Contract::of(&before));
    assert!(
        breaks.is_empty(),
        "the contract breaks its peers; undo this, or add beside the old instead:\n{}",
        breaks.join("\n")
    );
    if update {
        std::fs::write(baseline(), current.encode_to_vec())?;
    }
    Ok(())
}

#[test]
fn baseline_is_that_of_this_contract() -> Result<(), Box<dyn Error>> {
    let set = FileDescriptorSet::decode(std::fs::read(baseline())?.as_slice())?;
    let names: Vec<_> = set.file.iter().map(|file| (file.name(), file.package())).collect();
    assert_eq!(
        names,
        [("magistrate/v1/authorization.proto", "magistrate.v1"), ("magistrate/v1/audit.proto", "magistrate.v1")]
    );
    Ok(())
}
