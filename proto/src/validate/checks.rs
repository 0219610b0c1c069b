//! What the generated checks call: small questions about one value.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::LazyLock;
use std::time::{SystemTime, UNIX_EPOCH};

use prost_types::{Duration, Timestamp};
use regex::Regex;

/// Number of characters (Unicode scalar values), as the length rules count them.
#[must_use]
pub fn chars(text: &str) -> u64 {
    if text.is_ascii() {
        text.len() as u64
    } else {
        text.chars().count() as u64
    }
}

/// True where the text has the character U+0000.
#[must_use]
pub fn nul(text: &str) -> bool {
    text.as_bytes().contains(&0)
}

/// True for a UUID as text with hyphens, in either case.
#[must_use]
pub fn uuid(text: &str) -> bool {
    let text = text.as_bytes();
    text.len() == 36
        && text.iter().enumerate().all(|(index, byte)| match index {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

/// True where no value occurs twice.
#[must_use]
pub fn unique<T: Hash + Eq>(values: impl ExactSizeIterator<Item = T>) -> bool {
    if values.len() < 2 {
        return true;
    }
    let mut seen = HashSet::with_capacity(values.len());
    values.into_iter().all(|value| seen.insert(value))
}

/// The instant as a pair that orders as instants do, for a well-formed timestamp.
#[must_use]
pub fn instant(at: &Timestamp) -> (i64, i32) {
    (at.seconds, at.nanos)
}

/// The duration as a pair that orders as durations do, for a well-formed duration.
#[must_use]
pub fn span(duration: &Duration) -> (i64, i32) {
    (duration.seconds, duration.nanos)
}

/// Now, as [`instant`] gives it.
#[must_use]
pub fn now() -> (i64, i32) {
    match SystemTime::now().duration_since(UNIX_EPOCH) {
        Ok(since) => (
            i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
            since.subsec_nanos().cast_signed(),
        ),
        Err(_) => (0, 0),
    }
}

/// Distance from now in nanoseconds, whichever side.
#[must_use]
pub fn from_now(at: &Timestamp) -> u128 {
    let nanos =
        |(seconds, nanos): (i64, i32)| i128::from(seconds) * 1_000_000_000 + i128::from(nanos);
    nanos(instant(at)).abs_diff(nanos(now()))
}

/// True for an e-mail address as the HTML standard defines it.
#[must_use]
pub fn email(text: &str) -> bool {
    static ADDRESS: LazyLock<Option<Regex>> = LazyLock::new(|| {
        let label = "[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?";
        Regex::new(&format!(
            r"^[a-zA-Z0-9.!#$%&'*+/=?^_`{{|}}~-]+@{label}(?:\.{label})*$"
        ))
        .ok()
    });
    ADDRESS
        .as_ref()
        .is_some_and(|address| address.is_match(text))
}

/// True where a field mask's path is one of `paths` or lies below one.
#[must_use]
pub fn covered(path: &str, paths: &[&str]) -> bool {
    paths.iter().any(|above| {
        path.strip_prefix(above)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    })
}
