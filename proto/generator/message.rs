//! The implementation of `Validate` for one message.

use std::collections::HashSet;

use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, OneofDescriptor, Value,
};

use super::check::unwrapped;
use super::rule::{cel_rules, entries, option, unknown};
use super::{Fault, cel, field, name, normal};

pub fn implementation(
    message: &MessageDescriptor,
    response: bool,
    own: &dyn Fn(&str) -> bool,
) -> Result<String, Fault> {
    let mut body = String::new();
    let mut seen = HashSet::new();
    let place = format!("{}: {}", message.parent_file().name(), message.full_name());
    let rules = option(&message.options(), "buf.validate.message");
    let choices = choices(message, rules.as_ref(), &place)?;
    // In the order of the file, which is how a reader looks for a bad field; answers are written too, so that a rule
    // that nobody knows fails wherever it stands.
    for one in message.fields() {
        match choice(&one) {
            None => {
                let chosen = choices.iter().any(|choice| choice.fields.contains(&one));
                body.push_str(&field::plain(&one, chosen, own)?);
            }
            Some(oneof) => {
                if seen.insert(oneof.name().to_owned()) {
                    let place = format!("{place}.{}", oneof.name());
                    body.push_str(&field::choice(
                        &oneof,
                        required(&oneof.options(), &place)?,
                        own,
                    )?);
                }
            }
        }
    }
    body.push_str(&whole(message, rules.as_ref(), &choices, &place)?);
    let mut normal = normal::body(message, own);
    if response {
        body.clear();
        normal.clear();
    }
    Ok(format!(
        "impl crate::validate::Validate for {} {{\nconst RESPONSE: bool = {response};\n\
         fn normalize(&mut self) {{\nuse crate::validate::normal;\n{normal}}}\n\
         fn check(&self, at: &crate::validate::Path<'_>, out: &mut crate::validate::Violations) {{\n\
         use crate::validate::checks;\n{body}}}\n}}\n",
        name::message(message)
    ))
}

/// The oneof that a field is a member of; none for `optional` scalars, which the descriptor wraps in one of their own.
pub fn choice(field: &FieldDescriptor) -> Option<OneofDescriptor> {
    field
        .containing_oneof()
        .filter(|_| !field.field_descriptor_proto().proto3_optional())
}

/// Whether prost boxes a field: a message that may hold, without a list between, the message that the field is of.
pub fn boxed(field: &FieldDescriptor) -> bool {
    let Kind::Message(start) = field.kind() else {
        return false;
    };
    let sought = field.parent_message();
    let (mut seen, mut open) = (HashSet::new(), vec![start]);
    while let Some(message) = open.pop() {
        if message == *sought {
            return !field.is_list();
        }
        if !seen.insert(message.full_name().to_owned()) {
            continue;
        }
        for inner in message.fields().filter(|inner| !inner.is_list()) {
            if let Kind::Message(next) = inner.kind() {
                open.push(next);
            }
        }
    }
    false
}

fn required(options: &DynamicMessage, place: &str) -> Result<bool, Fault> {
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

/// Fields of which at most, or exactly, one is set.
struct Choice {
    fields: Vec<FieldDescriptor>,
    required: bool,
}

fn choices(
    message: &MessageDescriptor,
    rules: Option<&DynamicMessage>,
    place: &str,
) -> Result<Vec<Choice>, Fault> {
    let mut choices = Vec::new();
    let Some(rules) = rules else {
        return Ok(choices);
    };
    let list = rules.get_field_by_name("oneof");
    let list = list.as_deref().and_then(Value::as_list).unwrap_or_default();
    for one in list.iter().filter_map(Value::as_message) {
        let mut choice = Choice {
            fields: Vec::new(),
            required: false,
        };
        for (part, value) in entries(one, place)? {
            match (part.as_str(), value) {
                ("fields", Value::List(names)) => {
                    for name in names.iter().filter_map(Value::as_str) {
                        let field = message.get_field_by_name(name).ok_or_else(|| {
                            format!("{place}: the rule message.oneof names no field `{name}`")
                        })?;
                        if choice.fields.contains(&field) {
                            return Err(format!(
                                "{place}: the rule message.oneof names `{name}` twice"
                            ));
                        }
                        choice.fields.push(field);
                    }
                }
                ("required", Value::Bool(set)) => choice.required = set,
                _ => return Err(unknown(place, &format!("message.oneof.{part}"))),
            }
        }
        if choice.fields.is_empty() {
            return Err(format!("{place}: the rule message.oneof names no field"));
        }
        choices.push(choice);
    }
    Ok(choices)
}

/// Rules of the message as a whole: its CEL, and choices between fields.
fn whole(
    message: &MessageDescriptor,
    rules: Option<&DynamicMessage>,
    choices: &[Choice],
    place: &str,
) -> Result<String, Fault> {
    let Some(rules) = rules else {
        return Ok(String::new());
    };
    for (rule, _) in entries(rules, place)? {
        if !matches!(rule.as_str(), "oneof" | "cel" | "cel_expression") {
            return Err(unknown(place, &format!("message.{rule}")));
        }
    }
    let mut code = String::new();
    let all = cel_rules(rules, place)?;
    if !all.is_empty() {
        code.push_str("let v = self;\n");
        let this = cel::this(&Kind::Message(message.clone()));
        for rule in &all {
            code.push_str(&cel::check(rule, &this, place)?);
        }
    }
    for choice in choices {
        let set = choice
            .fields
            .iter()
            .map(|field| is_set(field, "self"))
            .collect::<Vec<_>>();
        let names = choice
            .fields
            .iter()
            .map(|field| field.name().to_owned())
            .collect::<Vec<_>>();
        let list = names.join(", ");
        code.push_str(&format!(
            "{{ let set = [{}].into_iter().filter(|set| *set).count();\n",
            set.join(", ")
        ));
        code.push_str(&format!(
            "if set > 1 {{ out.add(at, \"message.oneof\", \"must have only one of {list} set\"); }}\n"
        ));
        if choice.required {
            code.push_str(&format!(
                "if set == 0 {{ out.add(at, \"message.oneof\", \"must have one of {list} set\"); }}\n"
            ));
        }
        code.push_str("}\n");
    }
    Ok(code)
}

/// Whether a field of `held` is set, in Rust: where it tracks no presence, whether it is not its default.
pub fn is_set(field: &FieldDescriptor, held: &str) -> String {
    let rust = name::snake(field.name());
    if let Some(oneof) = choice(field) {
        return format!(
            "matches!(&{held}.{}, Some({}::{}(_)))",
            name::snake(oneof.name()),
            name::oneof(&oneof),
            name::camel(field.name())
        );
    }
    if field.is_list() || field.is_map() {
        return format!("!{held}.{rust}.is_empty()");
    }
    if field.supports_presence() {
        return format!("{held}.{rust}.is_some()");
    }
    match unwrapped(field.kind()) {
        Kind::String | Kind::Bytes => format!("!{held}.{rust}.is_empty()"),
        Kind::Bool => format!("{held}.{rust}"),
        Kind::Double | Kind::Float => format!("{held}.{rust}.to_bits() != 0"),
        _ => format!("{held}.{rust} != 0"),
    }
}
