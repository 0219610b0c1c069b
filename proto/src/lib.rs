//! The contract of Regard in Rust: messages, stubs, the checks of every message, and what the `.proto` files declare.
//!
//! The stubs use [`codec::ValidatingCodec`], so a handler never sees a message that breaks a rule of the contract.

pub mod codec;
pub mod error;
pub mod methods;
pub mod validate;

pub use generated::google;
pub use generated::google::r#type as types;
pub use generated::regard::*;
pub use methods::{
    METHODS, Method, Mutation, PersonalField, method, method_permission, personal_fields,
};
pub use validate::Validate;

/// The contract as an encoded `google.protobuf.FileDescriptorSet` with all imports, for reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/contract.bin"));

#[allow(warnings, clippy::all, clippy::pedantic, clippy::nursery, clippy::restriction)]
#[rustfmt::skip]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/modules.rs"));
    include!(concat!(env!("OUT_DIR"), "/validators.rs"));
    include!(concat!(env!("OUT_DIR"), "/types.rs"));
}

/// Messages that exist only to test the generated checks.
#[cfg(test)]
#[allow(warnings, clippy::all, clippy::pedantic, clippy::nursery, clippy::restriction)]
#[rustfmt::skip]
mod rules {
    include!(concat!(env!("OUT_DIR"), "/rules/modules.rs"));
    include!(concat!(env!("OUT_DIR"), "/rules/validators.rs"));
}

#[cfg(test)]
mod tests;
