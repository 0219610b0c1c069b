//! Bounds of numbers, instants and durations.

use prost_reflect::{DynamicMessage, Value};

use super::Fault;
use super::check::Check;
use super::literal::{literal, moment, nanos, shown};
use super::rule::{entries, unknown};

pub fn range_part(rule: &str) -> bool {
    matches!(rule, "lt" | "lte" | "gt" | "gte")
}

pub fn bounded(name: &str) -> bool {
    !matches!(
        name,
        "string" | "bytes" | "enum" | "bool" | "field_mask" | "any"
    )
}

/// The bounds of a number, instant or duration. A lower bound above the upper one means: outside of the two.
pub fn range(name: &str, rules: &DynamicMessage, place: &str) -> Result<Option<Check>, Fault> {
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
            sign_name(sign).to_owned(),
            format!("{} {}", say(words), low.text),
        ),
        (None, Some((high, sign, words))) => (
            format!("{subject} {sign} {}", high.code),
            sign_name(sign).to_owned(),
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
                joined_name(above, below, outside),
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

/// As the standard names a rule with two ends (`gt_lte`, `gt_lte_exclusive`).
fn joined_name(above: &str, below: &str, outside: bool) -> String {
    let exclusive = if outside { "_exclusive" } else { "" };
    format!("{}_{}{exclusive}", sign_name(above), sign_name(below))
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
