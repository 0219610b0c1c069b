//! The implementation of `Validate` for one message.

use std::collections::HashSet;

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor, Value};

use super::rule::{entries, option, unknown};
use super::{Fault, field, name};

pub fn implementation(
    message: &MessageDescriptor,
    response: bool,
    own: &dyn Fn(&str) -> bool,
) -> Result<String, Fault> {
    let mut body = String::new();
    let mut seen = HashSet::new();
    // In the order of the file, which is how a reader looks for a bad field; answers are written too, so that a rule
    // that nobody knows fails wherever it stands.
    for one in message.fields() {
        match one.containing_oneof().filter(|_| !synthetic(&one)) {
            None => body.push_str(&field::plain(&one, own)?),
            Some(oneof) => {
                if seen.insert(oneof.name().to_owned()) {
                    let place = format!(
                        "{}: {}.{}",
                        message.parent_file().name(),
                        message.full_name(),
                        oneof.name()
                    );
                    body.push_str(&field::choice(
                        &oneof,
                        required(&oneof.options(), &place)?,
                        own,
                    )?);
                }
            }
        }
    }
    body.push_str(&whole(message)?);
    if response {
        body.clear();
    }
    Ok(format!(
        "impl crate::validate::Validate for {} {{\nconst RESPONSE: bool = {response};\n\
         fn check(&self, at: &crate::validate::Path<'_>, out: &mut crate::validate::Violations) {{\n\
         use crate::validate::checks;\n{body}}}\n}}\n",
        name::message(message)
    ))
}

/// True for `optional` scalars, which the descriptor wraps in a oneof of their own.
fn synthetic(field: &FieldDescriptor) -> bool {
    field.field_descriptor_proto().proto3_optional()
}

fn required(options: &prost_reflect::DynamicMessage, place: &str) -> Result<bool, Fault> {
    let Some(rules) = option(options, "buf.validate.oneof") else {
        return Ok(false);
    };
    let mut required = false;
    for (rule, value) in entries(&rules, place)? {
        match (rule.as_str(), value) {
            ("required", Value::Bool(set)) => required = set,
            _ => return Err(unknown(place, &format!("oneof.{rule}"))),
        }
    }
    Ok(required)
}

/// Rules of the message as a whole: at most, or exactly, one of some fields is set.
fn whole(message: &MessageDescriptor) -> Result<String, Fault> {
    let place = format!("{}: {}", message.parent_file().name(), message.full_name());
    let Some(rules) = option(&message.options(), "buf.validate.message") else {
        return Ok(String::new());
    };
    let mut code = String::new();
    for (rule, value) in entries(&rules, &place)? {
        let Value::List(list) = value else {
            return Err(unknown(&place, &rule));
        };
        if rule != "oneof" {
            return Err(unknown(&place, &format!("message.{rule}")));
        }
        for one in list.iter().filter_map(Value::as_message) {
            let mut names = Vec::new();
            let mut required = false;
            for (part, value) in entries(one, &place)? {
                match (part.as_str(), value) {
                    ("fields", Value::List(list)) => {
                        names = list
                            .iter()
                            .filter_map(|name| name.as_str().map(str::to_owned))
                            .collect();
                    }
                    ("required", Value::Bool(set)) => required = set,
                    _ => return Err(unknown(&place, &format!("message.oneof.{part}"))),
                }
            }
            let mut set = Vec::new();
            for name in &names {
                let field = message.get_field_by_name(name).ok_or_else(|| {
                    format!("{place}: the rule message.oneof names no field `{name}`")
                })?;
                set.push(is_set(&field, &place)?);
            }
            let list = names.join(", ");
            code.push_str(&format!(
                "{{ let set = [{}].into_iter().filter(|set| *set).count();\n",
                set.join(", ")
            ));
            code.push_str(&format!(
                "if set > 1 {{ out.add(at, \"message.oneof\", \"must have only one of {list} set\"); }}\n"
            ));
            if required {
                code.push_str(&format!(
                    "if set == 0 {{ out.add(at, \"message.oneof\", \"must have one of {list} set\"); }}\n"
                ));
            }
            code.push_str("}\n");
        }
    }
    Ok(code)
}

fn is_set(field: &FieldDescriptor, place: &str) -> Result<String, Fault> {
    if field.containing_oneof().is_some() && !synthetic(field) {
        return Err(unknown(place, "message.oneof over members of a oneof"));
    }
    let rust = name::snake(field.name());
    Ok(if field.is_list() || field.is_map() {
        format!("!self.{rust}.is_empty()")
    } else if field.supports_presence() {
        format!("self.{rust}.is_some()")
    } else {
        match field.kind() {
            Kind::String | Kind::Bytes => format!("!self.{rust}.is_empty()"),
            Kind::Bool => format!("self.{rust}"),
            Kind::Double | Kind::Float => format!("self.{rust} != 0.0"),
            _ => format!("self.{rust} != 0"),
        }
    })
}
