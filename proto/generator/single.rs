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

pub fn text(rule: &str, value: &Value) -> Found {
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

pub fn pattern(value: &Value, place: &str) -> Result<Check, Fault> {
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

pub fn bytes(rule: &str, value: &Value) -> Found {
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
