//! The wire contract of `proto/magistrate/v1`: messages, client and server code, descriptor set.
//!
//! `google.protobuf.Struct` is not the usual one but [`structure::Struct`]: identical on the wire, but it
//! keeps repeated keys, so that a door can refuse them.

pub mod structure;

/// Messages and services of the package `magistrate.v1`.
pub mod v1 {
    #![expect(
        clippy::pedantic,
        clippy::large_enum_variant,
        clippy::allow_attributes,
        clippy::allow_attributes_without_reason,
        reason = "generated code"
    )]
    tonic::include_proto!("magistrate.v1");
}

pub use prost_types::{Duration, Timestamp};

/// The encoded `google.protobuf.FileDescriptorSet` of the contract and its imports, comments included.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/magistrate.v1.binpb"));
