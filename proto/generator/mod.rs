//! Writes Rust from the descriptors: the checks of every message, and what the options say of RPCs and fields.

mod cel;
mod check;
mod debug;
mod field;
mod literal;
mod message;
mod method;
mod name;
mod normal;
mod range;
mod rule;
mod single;

use prost_reflect::{DescriptorPool, MessageDescriptor};

pub use debug::hiding;
pub use method::methods;

/// What goes wrong, with file, message, field and rule.
pub type Fault = String;

/// What was written for one message.
pub struct Written {
    /// Full name of the message.
    pub name: String,
    /// Path of its type from the module that holds all packages.
    pub path: String,
    pub code: Result<String, Fault>,
}

/// Implementations of `Validate` for every message of the packages that `own` accepts.
pub fn validators(pool: &DescriptorPool, own: &dyn Fn(&str) -> bool) -> Result<String, Fault> {
    each(pool, own).into_iter().map(|one| one.code).collect()
}

/// The implementations message by message.
pub fn each(pool: &DescriptorPool, own: &dyn Fn(&str) -> bool) -> Vec<Written> {
    let responses = method::responses(pool, own);
    pool.all_messages()
        .filter(|message| own(message.package_name()) && !message.is_map_entry())
        .map(|message| Written {
            name: message.full_name().to_owned(),
            path: name::message(&message),
            code: written(&message, responses.contains(message.full_name()), own),
        })
        .collect()
}

/// A function that hands the bytes of any message to `crate::tests::seen` of its type, for tests.
pub fn types(pool: &DescriptorPool, own: &dyn Fn(&str) -> bool) -> String {
    let arms = pool
        .all_messages()
        .filter(|message| own(message.package_name()) && !message.is_map_entry())
        .map(|message| {
            format!(
                "{:?} => crate::tests::seen::<{}>(bytes),\n",
                message.full_name(),
                name::message(&message)
            )
        })
        .collect::<String>();
    format!(
        "#[cfg(test)]\npub fn seen(name: &str, bytes: &[u8]) -> Option<String> {{ Some(match name {{ {arms} _ => return None }}) }}\n"
    )
}

fn written(
    message: &MessageDescriptor,
    response: bool,
    own: &dyn Fn(&str) -> bool,
) -> Result<String, Fault> {
    let mut out = message::implementation(message, response, own)?;
    out.push_str(&debug::implementation(message));
    if ["request_id", "validate_only"]
        .iter()
        .all(|field| message.get_field_by_name(field).is_some())
    {
        out.push_str(&format!(
            "impl crate::methods::Mutation for {} {{\n\
             fn request_id(&self) -> &str {{ &self.request_id }}\n\
             fn validate_only(&self) -> bool {{ self.validate_only }}\n}}\n",
            name::message(message)
        ));
    }
    Ok(out)
}
