//! The names that prost gives to what a `.proto` file declares.

use heck::{ToSnakeCase as _, ToUpperCamelCase as _};
use prost_reflect::{MessageDescriptor, OneofDescriptor};

/// Keywords that a Rust identifier must escape.
const KEYWORDS: [&str; 46] = [
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "do", "dyn",
    "else", "enum", "false", "final", "fn", "for", "gen", "if", "impl", "in", "let", "loop",
    "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref", "return", "static",
    "struct", "trait", "true", "try", "type", "typeof", "unsafe", "unsized", "use", "where",
    "while", "yield",
];

/// A field's, or a module's, name.
pub fn snake(name: &str) -> String {
    escape(name.to_snake_case())
}

/// A type's, or a variant's, name.
pub fn camel(name: &str) -> String {
    escape(name.to_upper_camel_case())
}

fn escape(name: String) -> String {
    if KEYWORDS.contains(&name.as_str()) {
        format!("r#{name}")
    } else if ["Self", "self", "super", "crate", "extern"].contains(&name.as_str()) {
        format!("{name}_")
    } else {
        name
    }
}

/// Path of a message's type from the module that holds all packages.
pub fn message(message: &MessageDescriptor) -> String {
    format!("{}::{}", scope(message), camel(message.name()))
}

/// Path of the type that holds a oneof's choice.
pub fn oneof(oneof: &OneofDescriptor) -> String {
    let parent = oneof.parent_message();
    format!(
        "{}::{}::{}",
        scope(parent),
        snake(parent.name()),
        camel(oneof.name())
    )
}

fn scope(message: &MessageDescriptor) -> String {
    match message.parent_message() {
        Some(parent) => format!("{}::{}", scope(&parent), snake(parent.name())),
        None => {
            let modules = message
                .package_name()
                .split('.')
                .map(snake)
                .collect::<Vec<_>>();
            format!("self::{}", modules.join("::"))
        }
    }
}
