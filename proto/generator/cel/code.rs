//! What a part of an expression is in Rust, and of which type.

use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, ReflectMessage as _, Value,
};

use super::super::check::unwrapped;
use super::super::literal::nanos;

/// The type of an expression, and how Rust holds its value.
#[derive(Clone, Debug, PartialEq)]
pub enum Type {
    /// `bool`
    Bool,
    /// `i64`
    Int,
    /// `u64`
    Uint,
    /// `f64`
    Double,
    /// `Cow<str>`
    Text,
    /// `Cow<[u8]>`
    Bytes,
    /// Nanoseconds as `i128`.
    Duration,
    /// Nanoseconds since 1970 as `i128`.
    Timestamp,
    Null,
    /// A vector of values as these types hold them.
    List(Box<Type>),
    /// A repeated field by reference, its items as prost holds them.
    Items(Kind),
    /// A map field by reference, its keys and values as prost holds them.
    Entries(Kind, Kind),
    /// A message by reference.
    Message(MessageDescriptor),
    /// A message that is known at build time.
    Constant(DynamicMessage),
}

/// A part of an expression in Rust.
#[derive(Clone, Debug)]
pub struct Code {
    pub text: String,
    pub of: Type,
    /// True where it holds a `?`: it must stand in a closure that gives an `Option`.
    pub fallible: bool,
}

impl Code {
    pub fn new(text: String, of: Type, fallible: bool) -> Self {
        Self { text, of, fallible }
    }

    /// The value as an `Option` that is none where it cannot be evaluated.
    pub fn maybe(&self) -> String {
        if self.fallible {
            format!("(|| Some({}))()", self.text)
        } else {
            format!("Some({})", self.text)
        }
    }

    /// The same in a closure, to be evaluated when it is needed.
    pub fn lazy(&self) -> String {
        format!("|| Some({})", self.text)
    }

    /// A list as a vector of its own.
    pub fn owned(self) -> Self {
        match &self.of {
            Type::Items(kind) => Self {
                text: format!(
                    "{}.iter().map(|v| {}).collect::<Vec<_>>()",
                    self.text,
                    from_reference(kind, "v")
                ),
                of: Type::List(Box::new(of_kind(kind))),
                fallible: self.fallible,
            },
            _ => self,
        }
    }

    pub fn constant_message(message: DynamicMessage) -> Self {
        Self::new("()".to_owned(), Type::Constant(message), false)
    }

    /// A value that is known at build time.
    pub fn constant(kind: &Kind, value: &Value) -> Self {
        let (text, of) = match value {
            Value::Bool(value) => (value.to_string(), Type::Bool),
            Value::I32(value) | Value::EnumNumber(value) => (format!("({value}_i64)"), Type::Int),
            Value::I64(value) => (format!("({value}_i64)"), Type::Int),
            Value::U32(value) => (format!("{value}_u64"), Type::Uint),
            Value::U64(value) => (format!("{value}_u64"), Type::Uint),
            // As the field holds it, then widened: 0.1 as a float is not 0.1 as a double.
            Value::F32(value) => (format!("f64::from({})", float32(*value)), Type::Double),
            Value::F64(value) => (float64(*value), Type::Double),
            Value::String(value) => (text(value), Type::Text),
            Value::Bytes(value) => (bytes(value), Type::Bytes),
            Value::Message(message) => return Self::constant_of(message),
            Value::List(list) => {
                let items = list
                    .iter()
                    .map(|item| Self::constant(kind, item))
                    .collect::<Vec<_>>();
                let of = items
                    .first()
                    .map_or_else(|| of_kind(kind), |item| item.of.clone());
                let items = items.into_iter().map(|item| item.text).collect::<Vec<_>>();
                (
                    format!("vec![{}]", items.join(", ")),
                    Type::List(Box::new(of)),
                )
            }
            Value::Map(_) => ("()".to_owned(), Type::Null),
        };
        Self::new(text, of, false)
    }

    fn constant_of(message: &DynamicMessage) -> Self {
        let descriptor = message.descriptor();
        let of = match descriptor.full_name() {
            "google.protobuf.Timestamp" => Type::Timestamp,
            "google.protobuf.Duration" => Type::Duration,
            _ => {
                let inner = unwrapped(Kind::Message(descriptor.clone()));
                return match (inner, message.get_field_by_name("value")) {
                    (Kind::Message(_), _) | (_, None) => Self::constant_message(message.clone()),
                    (kind, Some(value)) => Self::constant(&kind, &value),
                };
            }
        };
        Self::new(format!("({}_i128)", nanos(message).unwrap_or(0)), of, false)
    }
}

pub fn text(text: &str) -> String {
    format!("checks::cel::text({text:?})")
}

pub fn bytes(bytes: &[u8]) -> String {
    format!("checks::cel::bytes(&{bytes:?})")
}

pub fn float64(value: f64) -> String {
    if value.is_nan() {
        "f64::NAN".to_owned()
    } else if value.is_infinite() {
        format!("f64::{}INFINITY", if value < 0.0 { "NEG_" } else { "" })
    } else {
        format!("({value:?}_f64)")
    }
}

fn float32(value: f32) -> String {
    if value.is_finite() {
        format!("({value:?}_f32)")
    } else {
        float64(f64::from(value)).replace("f64", "f32")
    }
}

/// The type of a single value of a field's kind.
pub fn of_kind(kind: &Kind) -> Type {
    match unwrapped(kind.clone()) {
        Kind::Bool => Type::Bool,
        Kind::Int32
        | Kind::Sint32
        | Kind::Sfixed32
        | Kind::Int64
        | Kind::Sint64
        | Kind::Sfixed64
        | Kind::Enum(_) => Type::Int,
        Kind::Uint32 | Kind::Fixed32 | Kind::Uint64 | Kind::Fixed64 => Type::Uint,
        Kind::Double | Kind::Float => Type::Double,
        Kind::String => Type::Text,
        Kind::Bytes => Type::Bytes,
        Kind::Message(message) => match message.full_name() {
            "google.protobuf.Timestamp" => Type::Timestamp,
            "google.protobuf.Duration" => Type::Duration,
            _ => Type::Message(message),
        },
    }
}

/// The value of what `v` refers to, as its type holds it.
pub fn from_reference(kind: &Kind, v: &str) -> String {
    let kind = unwrapped(kind.clone());
    match of_kind(&kind) {
        Type::Text => format!("checks::cel::text(&{v}[..])"),
        Type::Bytes => format!("checks::cel::bytes(&{v}[..])"),
        Type::Int => format!("i64::from(*{v})"),
        Type::Uint => format!("u64::from(*{v})"),
        Type::Double => format!("f64::from(*{v})"),
        Type::Timestamp | Type::Duration => format!("checks::cel::nanos({v}.seconds, {v}.nanos)"),
        Type::Bool => format!("*{v}"),
        _ => v.to_owned(),
    }
}

/// `this` of the rules of a field, list item, map key or map value of this kind, whose value the checks bind to `v`:
/// numbers by value, all else by reference.
pub fn this(kind: &Kind) -> Code {
    let by_value = !matches!(
        of_kind(kind),
        Type::Text | Type::Bytes | Type::Message(_) | Type::Timestamp | Type::Duration
    );
    let text = from_reference(kind, if by_value { "&v" } else { "v" });
    Code::new(text.replace("*&v", "v"), of_kind(kind), false)
}

/// `this` of a repeated field's or a map's own rules.
pub fn this_field(field: &FieldDescriptor) -> Code {
    let of = match field.kind() {
        Kind::Message(entry) if field.is_map() => Type::Entries(
            entry.map_entry_key_field().kind(),
            entry.map_entry_value_field().kind(),
        ),
        kind => Type::Items(kind),
    };
    Code::new("v".to_owned(), of, false)
}
