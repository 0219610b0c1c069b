//! The checks of one value by its kind; the value is `v` in the code that is written.

use prost_reflect::Kind;

use super::range::{bounded, range, range_part};
use super::rule::{Rules, entries, unknown};
use super::{Fault, cel, single};

/// One question in Rust.
#[derive(Debug)]
pub struct Check {
    code: String,
}

impl Check {
    /// `broken` is a Rust expression over `v`.
    pub fn new(broken: &str, rule: &str, description: &str) -> Self {
        Self {
            code: format!("if {broken} {{ out.add(&at, {rule:?}, {description:?}); }}\n"),
        }
    }

    pub fn raw(code: String) -> Self {
        Self { code }
    }

    pub fn code(&self) -> &str {
        &self.code
    }
}

/// Google's types whose own rules always hold.
const FORMED: [&str; 4] = [
    "google.protobuf.Timestamp",
    "google.protobuf.Duration",
    "google.type.Date",
    "google.type.Money",
];

/// The kind that a wrapper message stands for, as prost unwraps it.
pub fn unwrapped(kind: Kind) -> Kind {
    let Kind::Message(message) = &kind else {
        return kind;
    };
    match message.full_name() {
        "google.protobuf.BoolValue" => Kind::Bool,
        "google.protobuf.StringValue" => Kind::String,
        "google.protobuf.BytesValue" => Kind::Bytes,
        "google.protobuf.DoubleValue" => Kind::Double,
        "google.protobuf.FloatValue" => Kind::Float,
        "google.protobuf.Int32Value" => Kind::Int32,
        "google.protobuf.Int64Value" => Kind::Int64,
        "google.protobuf.UInt32Value" => Kind::Uint32,
        "google.protobuf.UInt64Value" => Kind::Uint64,
        _ => kind,
    }
}

/// Name of the rules that fit a kind (`string`).
fn family(kind: &Kind) -> Option<&'static str> {
    Some(match kind {
        Kind::Double => "double",
        Kind::Float => "float",
        Kind::Int32 => "int32",
        Kind::Int64 => "int64",
        Kind::Uint32 => "uint32",
        Kind::Uint64 => "uint64",
        Kind::Sint32 => "sint32",
        Kind::Sint64 => "sint64",
        Kind::Fixed32 => "fixed32",
        Kind::Fixed64 => "fixed64",
        Kind::Sfixed32 => "sfixed32",
        Kind::Sfixed64 => "sfixed64",
        Kind::Bool => "bool",
        Kind::String => "string",
        Kind::Bytes => "bytes",
        Kind::Enum(_) => "enum",
        Kind::Message(message) => match message.full_name() {
            "google.protobuf.Timestamp" => "timestamp",
            "google.protobuf.Duration" => "duration",
            "google.protobuf.FieldMask" => "field_mask",
            "google.protobuf.Any" => "any",
            _ => return None,
        },
    })
}

/// Every check of a value of this kind, those that need no rule first.
pub fn value(
    kind: &Kind,
    rules: &Rules,
    place: &str,
    own: &dyn Fn(&str) -> bool,
) -> Result<Vec<Check>, Fault> {
    let mut checks = implied(kind, rules.multiline, own);
    if let Some((name, typed)) = &rules.typed {
        if family(kind) != Some(name) {
            return Err(format!(
                "{place}: rules for `{name}` do not fit the field's type {kind:?}"
            ));
        }
        let set = entries(typed, place)?;
        let strict = !set
            .iter()
            .any(|(rule, value)| rule == "strict" && value.as_bool() == Some(false));
        for (rule, value) in set
            .iter()
            .filter(|(rule, _)| rule != "example" && rule != "strict")
        {
            let found = match name.as_str() {
                "string" => single::text(rule, value, strict),
                "bytes" => single::bytes(rule, value),
                "bool" => single::boolean(rule, value),
                "timestamp" => single::instant(rule, value),
                "duration" => single::span(rule, value),
                "field_mask" => single::mask(rule, value),
                "any" => single::any(rule, value),
                _ => single::number(rule, value),
            };
            match found {
                Some(found) => checks.extend(found.into_iter().map(|(broken, description)| {
                    Check::new(&broken, &format!("{name}.{rule}"), &description)
                })),
                None if rule == "pattern" && (name == "string" || name == "bytes") => {
                    checks.push(single::pattern(name, value, place)?);
                }
                None if range_part(rule) && bounded(name) => {}
                None => return Err(unknown(place, &format!("{name}.{rule}"))),
            }
        }
        if bounded(name) {
            checks.extend(range(name, typed, place)?);
        }
        checks.push(Check::raw(cel::predefined(typed, &cel::this(kind), place)?));
    }
    for rule in &rules.cel {
        checks.push(Check::raw(cel::check(rule, &cel::this(kind), place)?));
    }
    checks.retain(|check| !check.code().is_empty());
    Ok(checks)
}

fn implied(kind: &Kind, multiline: bool, own: &dyn Fn(&str) -> bool) -> Vec<Check> {
    match kind {
        Kind::Message(message)
            if own(message.package_name()) || FORMED.contains(&message.full_name()) =>
        {
            vec![Check::raw(
                "crate::validate::Validate::check(v, &at, out);\n".to_owned(),
            )]
        }
        Kind::Enum(numbers) => {
            let mut known = numbers
                .values()
                .map(|value| value.number())
                .collect::<Vec<_>>();
            known.sort_unstable();
            known.dedup();
            let (low, high) = (known[0], known[known.len() - 1]);
            let dense = i64::from(high) - i64::from(low) + 1 == known.len() as i64;
            let known = if dense {
                format!("{low}..={high}")
            } else {
                joined(&known)
            };
            vec![Check::new(
                &format!("!matches!(v, {known})"),
                "enum.defined_only",
                &format!("must be a declared value of {}", numbers.full_name()),
            )]
        }
        Kind::String => vec![if multiline {
            Check::new(
                "!checks::lines(v)",
                "string.characters",
                "must have no control characters but tabs and line breaks",
            )
        } else {
            Check::new(
                "!checks::line(v)",
                "string.characters",
                "must have no control characters, line breaks or marks that turn the direction of writing",
            )
        }],
        Kind::Double | Kind::Float => vec![Check::new(
            "!v.is_finite()",
            if *kind == Kind::Float {
                "float.finite"
            } else {
                "double.finite"
            },
            "must be a finite number",
        )],
        _ => Vec::new(),
    }
}

fn joined(numbers: &[i32]) -> String {
    numbers
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(" | ")
}
