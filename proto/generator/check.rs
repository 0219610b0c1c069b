//! The checks of one value by its kind; the value is `v` in the code that is written.

use prost_reflect::Kind;

use super::range::{bounded, range, range_part};
use super::rule::{self, Rules, entries, unknown};
use super::{Fault, known, single};

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
    let mut checks = implied(kind, own);
    if let Some((name, typed)) = &rules.typed {
        if family(kind) != Some(name) {
            return Err(format!(
                "{place}: rules for `{name}` do not fit the field's type {kind:?}"
            ));
        }
        for (rule, value) in entries(typed, place)?
            .iter()
            .filter(|(rule, _)| rule != "example")
        {
            let found = match name.as_str() {
                "string" => single::text(rule, value),
                "bytes" => single::bytes(rule, value),
                "bool" => single::boolean(rule, value),
                "timestamp" => single::instant(rule, value),
                "duration" => single::span(rule, value),
                "field_mask" => single::mask(rule, value),
                _ => single::number(rule, value),
            };
            match found {
                Some(found) => checks.extend(found.into_iter().map(|(broken, description)| {
                    Check::new(&broken, &format!("{name}.{rule}"), &description)
                })),
                None if rule == "pattern" && name == "string" => {
                    checks.push(single::pattern(value, place)?);
                }
                None if range_part(rule) && bounded(name) => {}
                None => return Err(unknown(place, &format!("{name}.{rule}"))),
            }
        }
        if bounded(name) {
            checks.extend(range(name, typed, place)?);
        }
    }
    for cel in &rules.cel {
        let on = match kind {
            Kind::Message(message) => message.full_name().to_owned(),
            other => format!("{other:?}"),
        };
        checks.push(known::check(cel, &on, place)?);
    }
    Ok(checks)
}

fn implied(kind: &Kind, own: &dyn Fn(&str) -> bool) -> Vec<Check> {
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
        // No store of texts takes it everywhere, and no name has it.
        Kind::String => vec![Check::new(
            "checks::nul(v)",
            "string.nul",
            "must not have the character U+0000",
        )],
        Kind::Double | Kind::Float => vec![Check::new(
            "!v.is_finite()",
            "finite",
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

/// Fails where a rule stands at a place that can have none.
pub fn refuse(rules: &Rules, place: &str, what: &str) -> Result<(), Fault> {
    if rules.required {
        return Err(unknown(place, &format!("required on {what}")));
    }
    if rules.ignore == rule::Ignore::IfZero && what == "a map key" {
        return Err(unknown(place, "ignore on a map key"));
    }
    Ok(())
}
