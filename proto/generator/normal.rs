//! The code that brings the texts of a message to their normal form.

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

use super::check::unwrapped;
use super::message::choice;
use super::name;
use super::rule::flag;

/// The body of `normalize`; empty where the message holds no text.
pub fn body(message: &MessageDescriptor, own: &dyn Fn(&str) -> bool) -> String {
    let mut code = String::new();
    for field in message.fields().filter(|field| choice(field).is_none()) {
        let rust = name::snake(field.name());
        if field.is_map() {
            // Keys are checked, not altered: altered ones could fall together.
            let Kind::Message(entry) = field.kind() else {
                continue;
            };
            if let Some(each) = value(&field, &entry.map_entry_value_field().kind(), own) {
                code.push_str(&format!("for v in self.{rust}.values_mut() {{ {each} }}\n"));
            }
            continue;
        }
        let Some(each) = value(&field, &field.kind(), own) else {
            continue;
        };
        code.push_str(&if field.is_list() {
            format!("for v in &mut self.{rust} {{ {each} }}\n")
        } else if field.supports_presence() {
            format!("if let Some(v) = &mut self.{rust} {{ {each} }}\n")
        } else {
            format!("{{ let v = &mut self.{rust}; {each} }}\n")
        });
    }
    for oneof in message.oneofs() {
        let path = name::oneof(&oneof);
        let arms = oneof
            .fields()
            .filter(|field| choice(field).is_some())
            .filter_map(|field| {
                let each = value(&field, &field.kind(), own)?;
                Some(format!(
                    "Some({path}::{}(v)) => {{ {each} }}\n",
                    name::camel(field.name())
                ))
            })
            .collect::<String>();
        if !arms.is_empty() {
            code.push_str(&format!(
                "match &mut self.{} {{ {arms} _ => {{}} }}\n",
                name::snake(oneof.name())
            ));
        }
    }
    code
}

/// What is done with `v`, a reference to one value of the field.
fn value(field: &FieldDescriptor, kind: &Kind, own: &dyn Fn(&str) -> bool) -> Option<String> {
    match unwrapped(kind.clone()) {
        Kind::String if flag(field, "regard.common.v1.exact") => None,
        Kind::String => Some("normal::text(v);".to_owned()),
        Kind::Message(message) if own(message.package_name()) => {
            Some("crate::validate::Validate::normalize(v);".to_owned())
        }
        _ => None,
    }
}
