//! Rules that one look at the value settles: lengths, contents, membership.

use prost_reflect::Value;

use super::Fault;
use super::check::Check;
use super::literal::{literal, moment, nanos, shown};

/// What is broken, and what was expected.
pub type Found = Option<Vec<(String, String)>>;

fn one(broken: String, description: String) -> Found {
    Some(vec![(broken, description)])
}

/// The formats of the standard: rule, the check of `v`, and what was expected.
const FORMATS: [(&str, &str, &str); 20] = [
    (
        "uuid",
        "checks::uuid(v)",
        "must be a UUID as text, for example 6f2d1c0a-1b2c-4d3e-8f90-a1b2c3d4e5f6",
    ),
    (
        "tuuid",
        "checks::tuuid(v)",
        "must be a UUID as 32 hexadecimal digits",
    ),
    ("ulid", "checks::ulid(v)", "must be a ULID"),
    ("email", "checks::email(v)", "must be an e-mail address"),
    ("hostname", "checks::hostname(v)", "must be a host name"),
    ("ip", "checks::ip(v, 0)", "must be an IP address"),
    ("ipv4", "checks::ip(v, 4)", "must be an IPv4 address"),
    ("ipv6", "checks::ip(v, 6)", "must be an IPv6 address"),
    ("uri", "checks::uri(v)", "must be a URI"),
    (
        "uri_ref",
        "checks::uri_ref(v)",
        "must be a URI or a reference to one",
    ),
    (
        "address",
        "(checks::hostname(v) || checks::ip(v, 0))",
        "must be a host name or an IP address",
    ),
    (
        "ip_with_prefixlen",
        "checks::ip_prefix(v, 0, false)",
        "must be an IP address with a prefix length",
    ),
    (
        "ipv4_with_prefixlen",
        "checks::ip_prefix(v, 4, false)",
        "must be an IPv4 address with a prefix length",
    ),
    (
        "ipv6_with_prefixlen",
        "checks::ip_prefix(v, 6, false)",
        "must be an IPv6 address with a prefix length",
    ),
    (
        "ip_prefix",
        "checks::ip_prefix(v, 0, true)",
        "must be an IP prefix without host bits",
    ),
    (
        "ipv4_prefix",
        "checks::ip_prefix(v, 4, true)",
        "must be an IPv4 prefix without host bits",
    ),
    (
        "ipv6_prefix",
        "checks::ip_prefix(v, 6, true)",
        "must be an IPv6 prefix without host bits",
    ),
    (
        "host_and_port",
        "checks::host_and_port(v, true)",
        "must be a host and a port",
    ),
    (
        "protobuf_fqn",
        "checks::protobuf_name(v)",
        "must be a full Protobuf name",
    ),
    (
        "protobuf_dot_fqn",
        "v.strip_prefix('.').is_some_and(checks::protobuf_name)",
        "must be a full Protobuf name after a dot",
    ),
];

/// `strict` says how exactly a well-known expression is meant.
pub fn text(rule: &str, value: &Value, strict: bool) -> Found {
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
        (_, Value::Bool(wanted)) => {
            let (_, holds, description) = FORMATS.iter().find(|(format, ..)| *format == rule)?;
            if *wanted {
                one(format!("!{holds}"), (*description).to_owned())
            } else {
                Some(Vec::new())
            }
        }
        // HTTP_HEADER_NAME and HTTP_HEADER_VALUE.
        ("well_known_regex", Value::EnumNumber(1)) => one(
            format!("!checks::header_name(v, {strict})"),
            "must be the name of an HTTP header".into(),
        ),
        ("well_known_regex", Value::EnumNumber(2)) => one(
            format!("!checks::header_value(v, {strict})"),
            "must be the value of an HTTP header".into(),
        ),
        ("well_known_regex", Value::EnumNumber(0)) => Some(Vec::new()),
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

/// A pattern that a text, or bytes that are a text, must match.
pub fn pattern(name: &str, value: &Value, place: &str) -> Result<Check, Fault> {
    let pattern = value.as_str().unwrap_or_default();
    regex::Regex::new(pattern).map_err(|error| format!("{place}: pattern {pattern:?}: {error}"))?;
    let broken = if name == "bytes" {
        "!::std::str::from_utf8(v).is_ok_and(|v| PATTERN.is_match(v))"
    } else {
        "!PATTERN.is_match(v)"
    };
    let check = Check::new(
        broken,
        &format!("{name}.pattern"),
        &format!("must match the pattern {pattern}"),
    );
    Ok(Check::raw(format!(
        "{{ static PATTERN: ::std::sync::LazyLock<::regex::Regex> = ::std::sync::LazyLock::new(|| \
         ::regex::Regex::new({pattern:?}).expect(\"compiled at build time\"));\n{} }}\n",
        check.code()
    )))
}

pub fn bytes(rule: &str, value: &Value) -> Found {
    if let Some(count) = value.as_u64() {
        return match rule {
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
        };
    }
    let quoted = |value: &Value| {
        let bytes = value.as_bytes()?;
        Some((
            format!("&{:?}[..]", bytes.as_ref()),
            format!(
                "0x{}",
                bytes.iter().map(|b| format!("{b:02x}")).collect::<String>()
            ),
        ))
    };
    match (rule, value) {
        ("const" | "prefix" | "suffix" | "contains", value @ Value::Bytes(_)) => {
            let (bytes, text) = quoted(value)?;
            match rule {
                "const" => one(format!("v != {bytes}"), format!("must be {text}")),
                "prefix" => one(
                    format!("!v.starts_with({bytes})"),
                    format!("must start with {text}"),
                ),
                "suffix" => one(
                    format!("!v.ends_with({bytes})"),
                    format!("must end with {text}"),
                ),
                _ => one(
                    format!("!checks::within(v, {bytes})"),
                    format!("must contain {text}"),
                ),
            }
        }
        ("in" | "not_in", Value::List(list)) => {
            let (codes, texts): (Vec<_>, Vec<_>) = list
                .iter()
                .map(quoted)
                .collect::<Option<Vec<_>>>()?
                .into_iter()
                .unzip();
            member(rule, &codes, &texts)
        }
        ("ip" | "ipv4" | "ipv6" | "uuid", Value::Bool(false)) => Some(Vec::new()),
        ("ip", _) => one(
            "v.len() != 4 && v.len() != 16".into(),
            "must be the 4 or 16 bytes of an IP address".into(),
        ),
        ("ipv4", _) => one(
            "v.len() != 4".into(),
            "must be the 4 bytes of an IPv4 address".into(),
        ),
        ("ipv6", _) => one(
            "v.len() != 16".into(),
            "must be the 16 bytes of an IPv6 address".into(),
        ),
        ("uuid", _) => one(
            "v.len() != 16".into(),
            "must be the 16 bytes of a UUID".into(),
        ),
        _ => None,
    }
}

/// Rules of a message of any type: its type's URL.
pub fn any(rule: &str, value: &Value) -> Found {
    let Value::List(list) = value else {
        return None;
    };
    let urls = list.iter().filter_map(Value::as_str).collect::<Vec<_>>();
    match rule {
        "in" => one(
            format!("!{urls:?}.contains(&v.type_url.as_str())"),
            format!("must be of the types {}", urls.join(", ")),
        ),
        "not_in" => one(
            format!("{urls:?}.contains(&v.type_url.as_str())"),
            format!("must not be of the types {}", urls.join(", ")),
        ),
        _ => None,
    }
}

pub fn boolean(rule: &str, value: &Value) -> Found {
    match (rule, value) {
        ("const", Value::Bool(wanted)) => {
            one(format!("v != {wanted}"), format!("must be {wanted}"))
        }
        _ => None,
    }
}

pub fn number(rule: &str, value: &Value) -> Found {
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

pub fn instant(rule: &str, value: &Value) -> Found {
    match (rule, value) {
        ("const", Value::Message(at)) => {
            let (pair, text) = moment(at, true)?;
            one(
                format!("checks::instant(v) != {pair}"),
                format!("must be {text}"),
            )
        }
        ("lt_now", Value::Bool(true)) => one(
            "checks::instant(v) > checks::now()".into(),
            "must lie in the past".into(),
        ),
        ("gt_now", Value::Bool(true)) => one(
            "checks::instant(v) < checks::now()".into(),
            "must lie in the future".into(),
        ),
        ("lt_now" | "gt_now", Value::Bool(false)) => Some(Vec::new()),
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

pub fn span(rule: &str, value: &Value) -> Found {
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

pub fn mask(rule: &str, value: &Value) -> Found {
    if let Value::Message(mask) = value {
        let paths = mask.get_field_by_name("paths")?.into_owned();
        let paths = paths
            .as_list()?
            .iter()
            .filter_map(Value::as_str)
            .collect::<Vec<_>>();
        return (rule == "const").then(|| {
            vec![(
                format!("v.paths != {paths:?}"),
                format!("must be {}", paths.join(", ")),
            )]
        });
    }
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
