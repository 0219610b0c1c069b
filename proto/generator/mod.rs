//! Writes Rust from the descriptors: the checks of every message, and what the options say of RPCs and fields.

mod check;
mod field;
mod known;
mod literal;
mod message;
mod method;
mod name;
mod range;
mod rule;
mod single;

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
        if ["request_id", "validate_only"]
            .iter()
            .all(|field| message.get_field_by_name(field).is_some())
        {
            out.push_str(&format!(
                "impl crate::methods::Mutation for {} {{\n\
                 fn request_id(&self) -> &str {{ &self.request_id }}\n\
                 fn validate_only(&self) -> bool {{ self.validate_only }}\n}}\n",
                name::message(&message)
            ));
        }
    }
    Ok(out)
}
