//! `Debug` of the messages that say something about a person: it hides what they say.

use prost_reflect::{DescriptorPool, MessageDescriptor};

use super::message::choice;
use super::name;
use super::rule::flag;

const PERSONAL: &str = "regard.common.v1.personal";

/// Paths of the messages whose `Debug` is ours, as the generator of messages takes them.
pub fn hiding(pool: &DescriptorPool, own: &dyn Fn(&str) -> bool) -> Vec<String> {
    pool.all_messages()
        .filter(|message| own(message.package_name()) && marked(message))
        .map(|message| format!(".{}", message.full_name()))
        .collect()
}

fn marked(message: &MessageDescriptor) -> bool {
    message.fields().any(|field| flag(&field, PERSONAL))
}

/// `Debug` of a message with a personal field, and of what is declared in it; empty for any other.
pub fn implementation(message: &MessageDescriptor) -> String {
    let mut above = Some(message.clone());
    while let Some(one) = &above {
        if marked(one) {
            return written(message);
        }
        above = one.parent_message();
    }
    String::new()
}

fn written(message: &MessageDescriptor) -> String {
    let mut code = String::new();
    let mut fields = String::new();
    let hidden = "&crate::validate::Hidden".to_owned();
    for field in message.fields().filter(|field| choice(field).is_none()) {
        let rust = name::snake(field.name());
        let shown = if flag(&field, PERSONAL) {
            hidden.clone()
        } else {
            format!("&self.{rust}")
        };
        fields.push_str(&format!(".field({:?}, {shown})", field.name()));
    }
    for oneof in message.oneofs() {
        let members = oneof
            .fields()
            .filter(|field| choice(field).is_some())
            .collect::<Vec<_>>();
        if members.is_empty() {
            continue;
        }
        let arms = members
            .iter()
            .map(|field| {
                let variant = name::camel(field.name());
                let shown = if flag(field, PERSONAL) {
                    hidden.as_str()
                } else {
                    "v"
                };
                format!(
                    "Self::{variant}(v) => f.debug_tuple({variant:?}).field({shown}).finish(),\n"
                )
            })
            .collect::<String>();
        code.push_str(&debug(
            &name::oneof(&oneof),
            &format!("match self {{ {arms} }}"),
        ));
        fields.push_str(&format!(
            ".field({:?}, &self.{})",
            oneof.name(),
            name::snake(oneof.name())
        ));
    }
    code.push_str(&debug(
        &name::message(message),
        &format!("f.debug_struct({:?}){fields}.finish()", message.name()),
    ));
    code
}

fn debug(of: &str, body: &str) -> String {
    format!(
        "impl ::std::fmt::Debug for {of} {{\n\
         fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {{ {body} }}\n}}\n"
    )
}
