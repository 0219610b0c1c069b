//! The few CEL rules that the generator knows, each by its exact text, so that what Rust checks is what every other
//! language reads.

use super::rule::{Cel, unknown};
use super::{Fault, check::Check};

/// Message type, rule id, expression, and the Rust expression over `v` that is true where the rule is broken.
const KNOWN: [(&str, &str, &str, &str); 3] = [
    (
        "google.type.Money",
        "money.non_negative",
        "this.units >= 0 && this.nanos >= 0",
        "v.units < 0 || v.nanos < 0",
    ),
    (
        "google.type.Money",
        "money.positive",
        "this.units >= 0 && this.nanos >= 0 && (this.units > 0 || this.nanos > 0)",
        "v.units < 0 || v.nanos < 0 || (v.units == 0 && v.nanos == 0)",
    ),
    (
        "google.type.Date",
        "date.range",
        "this.year >= 1900 && this.year <= 2099",
        "!(1900..=2099).contains(&v.year)",
    ),
];

pub fn check(cel: &Cel, message: &str, place: &str) -> Result<Check, Fault> {
    let known = KNOWN
        .iter()
        .find(|(on, id, expression, _)| {
            *on == message && *id == cel.id && *expression == cel.expression
        })
        .ok_or_else(|| unknown(place, &format!("cel {}: {}", cel.id, cel.expression)))?;
    Ok(Check::new(known.3, &cel.id, &cel.message))
}
