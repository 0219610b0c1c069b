//! Writes Rust from the descriptors: the checks of every message, and what the options say of RPCs and fields.

mod check;
mod field;
mod known;
mod message;
mod method;
mod name;
mod rule;

use prost_reflect::DescriptorPool;

pub use method::methods;

/// What goes wrong, with file, message, field and rule.
pub type Fault = String;

/// Implementations of `Validate` for every message of the packages that `own` accepts.
pub fn validators(pool: &DescriptorPool, own: &dyn Fn(&str) -> bool) -> Result<String, Fault> {
    let responses = method::responses(pool, own);
    let mut out = String::new();
    for message in pool
        .all_messages()
        .filter(|message| own(message.package_name()) && !message.is_map_entry())
    {
        let response = responses.contains(message.full_name());
        out.push_str(&message::implementation(&message, response, own)?);
    }
    Ok(out)
}
