//! The checks of one value by its kind; the value is `v` in the code that is written.

use prost_reflect::{DynamicMessage, Kind, Value};

use super::rule::{self, Rules, entries, unknown};
use super::{Fault, known};

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
                "string" => text(rule, value),
                "bytes" => bytes(rule, value),
                "bool" => boolean(rule, value),
                "timestamp" => instant(rule, value),
                "duration" => span(rule, value),
                "field_mask" => mask(rule, value),
                _ => number(rule, value),
            };
            match found {
                Some(found) => checks.extend(found.into_iter().map(|(broken, description)| {
                    Check::new(&broken, &format!("{name}.{rule}"), &description)
                })),
                None if rule == "pattern" && name == "string" => {
                    checks.push(pattern(value, place)?);
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
        Kind::Double | Kind::Float => vec![Check::new(
            "!v.is_finite()",
            "finite",
            "must be a finite number",
        )],
        _ => Vec::new(),
    }
}

/// What is broken, and what was expected.
type Found = Option<Vec<(String, String)>>;

fn one(broken: String, description: String) -> Found {
    Some(vec![(broken, description)])
}

fn text(rule: &str, value: &Value) -> Found {
    if let Some(count) = value.as_u64() {
        return match rule {
            "len" => one(
                format!("checks::chars(v) != {count}"),
                format!("must be {count} characters long"),
            ),
            "min_len" if count == 1 => one("v.is_empty()".into(), "must not be empty".into()),
            "min_len" => one(
                format!("checks::chars(v) < {count}"),
                format!("must have at least {count} characters"),
            ),
            "max_len" => one(
                // A byte count within the limit settles it without counting characters.
                format!("v.len() > {count} && checks::chars(v) > {count}"),
                format!("must have at most {count} characters"),
            ),
            "len_bytes" => one(
                format!("v.len() != {count}"),
                format!("must be {count} bytes long"),
            ),
            "min_bytes" => one(
                format!("v.len() < {count}"),
                format!("must have at least {count} bytes"),
            ),
            "max_bytes" => one(
                format!("v.len() > {count}"),
                format!("must have at most {count} bytes"),
            ),
            _ => None,
        };
    }
    if let Some(text) = value.as_str() {
        return match rule {
            "const" => one(format!("v != {text:?}"), format!("must be \"{text}\"")),
            "prefix" => one(
                format!("!v.starts_with({text:?})"),
                format!("must start with \"{text}\""),
            ),
            "suffix" => one(
                format!("!v.ends_with({text:?})"),
                format!("must end with \"{text}\""),
            ),
            "contains" => one(
                format!("!v.contains({text:?})"),
                format!("must contain \"{text}\""),
            ),
            "not_contains" => one(
                format!("v.contains({text:?})"),
                format!("must not contain \"{text}\""),
            ),
            _ => None,
        };
    }
    match (rule, value) {
        ("uuid", Value::Bool(true)) => one(
            "!checks::uuid(v)".into(),
            "must be a UUID as text, for example 6f2d1c0a-1b2c-4d3e-8f90-a1b2c3d4e5f6".into(),
        ),
        ("email", Value::Bool(true)) => one(
            "!checks::email(v)".into(),
            "must be an e-mail address".into(),
        ),
        ("in" | "not_in", Value::List(list)) => {
            let texts = list
                .iter()
                .filter_map(Value::as_str)
                .map(|text| format!("{text:?}"))
                .collect::<Vec<_>>();
            member(rule, &texts, &texts)
        }
        _ => None,
    }
}

fn pattern(value: &Value, place: &str) -> Result<Check, Fault> {
    let pattern = value.as_str().unwrap_or_default();
    regex::Regex::new(pattern).map_err(|error| format!("{place}: pattern {pattern:?}: {error}"))?;
    let check = Check::new(
        "!PATTERN.is_match(v)",
        "string.pattern",
        &format!("must match the pattern {pattern}"),
    );
    Ok(Check::raw(format!(
        "{{ static PATTERN: ::std::sync::LazyLock<::regex::Regex> = ::std::sync::LazyLock::new(|| \
         ::regex::Regex::new({pattern:?}).expect(\"compiled at build time\"));\n{} }}\n",
        check.code()
    )))
}

fn bytes(rule: &str, value: &Value) -> Found {
    let count = value.as_u64()?;
    match rule {
        "len" => one(
            format!("v.len() != {count}"),
            format!("must be {count} bytes long"),
        ),
        "min_len" => one(
            format!("v.len() < {count}"),
            format!("must have at least {count} bytes"),
        ),
        "max_len" => one(
            format!("v.len() > {count}"),
            format!("must have at most {count} bytes"),
        ),
        _ => None,
    }
}

fn boolean(rule: &str, value: &Value) -> Found {
    match (rule, value) {
        ("const", Value::Bool(wanted)) => {
            one(format!("v != {wanted}"), format!("must be {wanted}"))
        }
        _ => None,
    }
}

fn number(rule: &str, value: &Value) -> Found {
    match (rule, value) {
        ("const", value) => one(
            format!("v != {}", literal(value)?),
            format!("must be {}", shown(value)?),
        ),
        ("in" | "not_in", Value::List(list)) => {
            let literals = list.iter().map(literal).collect::<Option<Vec<_>>>()?;
            let texts = list.iter().map(shown).collect::<Option<Vec<_>>>()?;
            member(rule, &literals, &texts)
        }
        // Holds always.
        ("finite" | "defined_only", Value::Bool(_)) => Some(Vec::new()),
        _ => None,
    }
}

fn member(rule: &str, literals: &[String], texts: &[String]) -> Found {
    let list = literals.join(", ");
    let texts = texts.join(", ");
    if rule == "in" {
        one(
            format!("![{list}].contains(&v)"),
            format!("must be one of {texts}"),
        )
    } else {
        one(
            format!("[{list}].contains(&v)"),
            format!("must not be {texts}"),
        )
    }
}

fn instant(rule: &str, value: &Value) -> Found {
    match (rule, value) {
        ("const", Value::Message(at)) => {
            let (pair, text) = moment(at, true)?;
            one(
                format!("checks::instant(v) != {pair}"),
                format!("must be {text}"),
            )
        }
        ("lt_now", Value::Bool(true)) => one(
            "checks::instant(v) >= checks::now()".into(),
            "must lie in the past".into(),
        ),
        ("gt_now", Value::Bool(true)) => one(
            "checks::instant(v) <= checks::now()".into(),
            "must lie in the future".into(),
        ),
        ("within", Value::Message(span)) => {
            let nanos = nanos(span)?;
            let (_, text) = moment(span, false)?;
            one(
                format!("checks::from_now(v) > {nanos}"),
                format!("must lie within {text} of now"),
            )
        }
        _ => None,
    }
}

fn span(rule: &str, value: &Value) -> Found {
    match (rule, value) {
        ("const", Value::Message(span)) => {
            let (pair, text) = moment(span, false)?;
            one(
                format!("checks::span(v) != {pair}"),
                format!("must be {text}"),
            )
        }
        ("in" | "not_in", Value::List(list)) => {
            let pairs = list
                .iter()
                .map(|span| moment(span.as_message()?, false))
                .collect::<Option<Vec<_>>>()?;
            let (pairs, texts): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
            let not = if rule == "in" { "!" } else { "" };
            let must = if rule == "in" { "be one of" } else { "not be" };
            one(
                format!("{not}[{}].contains(&checks::span(v))", pairs.join(", ")),
                format!("must {must} {}", texts.join(", ")),
            )
        }
        _ => None,
    }
}

fn mask(rule: &str, value: &Value) -> Found {
    let Value::List(list) = value else {
        return None;
    };
    let paths = list.iter().filter_map(Value::as_str).collect::<Vec<_>>();
    match rule {
        "in" => one(
            format!("!v.paths.iter().all(|path| checks::covered(path, &{paths:?}))"),
            format!("must name only {}", paths.join(", ")),
        ),
        "not_in" => one(
            format!("v.paths.iter().any(|path| checks::covered(path, &{paths:?}))"),
            format!("must not name {}", paths.join(", ")),
        ),
        _ => None,
    }
}

fn range_part(rule: &str) -> bool {
    matches!(rule, "lt" | "lte" | "gt" | "gte")
}

fn bounded(name: &str) -> bool {
    !matches!(name, "string" | "bytes" | "enum" | "bool" | "field_mask")
}

/// The bounds of a number, instant or duration. A lower bound above the upper one means: outside of the two.
fn range(name: &str, rules: &DynamicMessage, place: &str) -> Result<Option<Check>, Fault> {
    let bound = |rule: &str| -> Result<Option<Bound>, Fault> {
        let set = entries(rules, place)?
            .into_iter()
            .find(|(name, _)| name == rule);
        set.map(|(_, value)| Bound::new(name, &value).ok_or_else(|| unknown(place, rule)))
            .transpose()
    };
    let low = match (bound("gt")?, bound("gte")?) {
        (Some(bound), _) => Some((bound, ">", "more than")),
        (_, Some(bound)) => Some((bound, ">=", "at least")),
        _ => None,
    };
    let high = match (bound("lt")?, bound("lte")?) {
        (Some(bound), _) => Some((bound, "<", "less than")),
        (_, Some(bound)) => Some((bound, "<=", "at most")),
        _ => None,
    };
    let subject = match name {
        "timestamp" => "checks::instant(v)",
        "duration" => "checks::span(v)",
        _ => "v",
    };
    let say = |words: &str| match (name, words) {
        ("timestamp", "more than") => "after".to_owned(),
        ("timestamp", "at least") => "at or after".to_owned(),
        ("timestamp", "less than") => "before".to_owned(),
        ("timestamp", "at most") => "at or before".to_owned(),
        _ => words.to_owned(),
    };
    // Written as "not inside", so that no NaN slips through.
    let (inside, rule, text) = match (low, high) {
        (None, None) => return Ok(None),
        (Some((low, sign, words)), None) => (
            format!("{subject} {sign} {}", low.code),
            sign_name(sign),
            format!("{} {}", say(words), low.text),
        ),
        (None, Some((high, sign, words))) => (
            format!("{subject} {sign} {}", high.code),
            sign_name(sign),
            format!("{} {}", say(words), high.text),
        ),
        (Some((low, above, more)), Some((high, below, less))) => {
            let outside = low.order > high.order;
            let join = if outside { "||" } else { "&&" };
            let word = if outside { "or" } else { "and" };
            (
                format!(
                    "{subject} {above} {} {join} {subject} {below} {}",
                    low.code, high.code
                ),
                "range",
                format!(
                    "{} {} {word} {} {}",
                    say(more),
                    low.text,
                    say(less),
                    high.text
                ),
            )
        }
    };
    let must = if name == "timestamp" {
        "must lie"
    } else {
        "must be"
    };
    Ok(Some(Check::new(
        &format!("!({inside})"),
        &format!("{name}.{rule}"),
        &format!("{must} {text}"),
    )))
}

fn sign_name(sign: &str) -> &'static str {
    match sign {
        ">" => "gt",
        ">=" => "gte",
        "<" => "lt",
        _ => "lte",
    }
}

struct Bound {
    code: String,
    text: String,
    order: f64,
}

impl Bound {
    fn new(name: &str, value: &Value) -> Option<Self> {
        if let Value::Message(pair) = value {
            let (code, text) = moment(pair, name == "timestamp")?;
            return Some(Self {
                code,
                text,
                order: nanos(pair)? as f64,
            });
        }
        let text = shown(value)?;
        Some(Self {
            code: literal(value)?,
            order: text.parse().ok()?,
            text,
        })
    }
}

/// A timestamp or duration as a Rust pair and as text.
fn moment(pair: &DynamicMessage, instant: bool) -> Option<(String, String)> {
    let (seconds, nanos) = parts(pair)?;
    let text = if instant {
        prost_types::Timestamp { seconds, nanos }.to_string()
    } else {
        prost_types::Duration { seconds, nanos }.to_string()
    };
    Some((format!("({seconds}_i64, {nanos}_i32)"), text))
}

fn nanos(pair: &DynamicMessage) -> Option<i128> {
    let (seconds, nanos) = parts(pair)?;
    Some(i128::from(seconds) * 1_000_000_000 + i128::from(nanos))
}

fn parts(pair: &DynamicMessage) -> Option<(i64, i32)> {
    Some((
        pair.get_field_by_name("seconds")?.as_i64()?,
        pair.get_field_by_name("nanos")?.as_i32()?,
    ))
}

fn literal(value: &Value) -> Option<String> {
    Some(match value {
        Value::I32(number) | Value::EnumNumber(number) => format!("{number}_i32"),
        Value::I64(number) => format!("{number}_i64"),
        Value::U32(number) => format!("{number}_u32"),
        Value::U64(number) => format!("{number}_u64"),
        Value::F32(number) if number.is_finite() => format!("{number:?}_f32"),
        Value::F64(number) if number.is_finite() => format!("{number:?}_f64"),
        _ => return None,
    })
}

fn shown(value: &Value) -> Option<String> {
    Some(match value {
        Value::I32(number) | Value::EnumNumber(number) => number.to_string(),
        Value::I64(number) => number.to_string(),
        Value::U32(number) => number.to_string(),
        Value::U64(number) => number.to_string(),
        Value::F32(number) => number.to_string(),
        Value::F64(number) => number.to_string(),
        _ => return None,
    })
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
