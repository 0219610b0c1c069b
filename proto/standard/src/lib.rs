//! The checks that the contract's generator writes, for the messages of the standard's own conformance cases. Only tests
//! use it.

use prost::Message;
pub use regard_proto::validate;
use regard_proto::validate::Validate;

#[allow(warnings, clippy::all, clippy::pedantic, clippy::nursery, clippy::restriction)]
#[rustfmt::skip]
mod generated {
    include!(concat!(env!("OUT_DIR"), "/modules.rs"));
    include!(concat!(env!("OUT_DIR"), "/validators.rs"));
}

pub use generated::{REFUSED, check};

/// Path and name of every broken rule, or that the bytes are no such message.
pub type Verdict = Result<Vec<(String, String)>, String>;

fn verdict<M: Message + Default + Validate>(bytes: &[u8]) -> Verdict {
    let message = M::decode(bytes).map_err(|error| error.to_string())?;
    Ok(match message.validate() {
        Ok(()) => Vec::new(),
        Err(violations) => violations
            .listed()
            .iter()
            .map(|violation| (violation.field.clone(), violation.rule.to_owned()))
            .collect(),
    })
}
