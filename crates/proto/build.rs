//! Compiles the contract with protox: no installed protoc is needed.

use std::error::Error;
use std::path::PathBuf;

/// The contract, relative to the folder it is read from.
const CONTRACT: [&str; 2] = ["magistrate/v1/authorization.proto", "magistrate/v1/audit.proto"];

/// Messages written by hand because repeated keys must be seen.
const BY_HAND: [&str; 3] = ["Struct", "Value", "ListValue"];

fn main() -> Result<(), Box<dyn Error>> {
    let folder = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    for file in CONTRACT {
        println!("cargo::rerun-if-changed={}", folder.join(file).display());
    }

    let mut compiler = protox::Compiler::new([&folder])?;
    compiler.include_imports(true).include_source_info(true);
    compiler.open_files(CONTRACT)?;

    let set = PathBuf::from(std::env::var("OUT_DIR")?).join("magistrate.v1.binpb");
    std::fs::write(set, compiler.encode_file_descriptor_set())?;

    let mut builder = tonic_prost_build::configure().btree_map(".");
    for name in BY_HAND {
        builder = builder.extern_path(format!(".google.protobuf.{name}"), format!("crate::structure::{name}"));
    }
    builder.compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
