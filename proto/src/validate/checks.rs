//! What the generated checks call: small questions about one value.

use std::collections::HashSet;
use std::hash::Hash;
use std::time::{SystemTime, UNIX_EPOCH};

use prost_types::{Duration, Timestamp};

pub use super::formats::*;
pub use super::{cel, normal::is_normal as normal};

/// Number of characters (Unicode scalar values), as the length rules count them.
#[must_use]
pub fn chars(text: &str) -> u64 {
    if text.is_ascii() {
        text.len() as u64
    } else {
        text.chars().count() as u64
    }
}

/// True where a text of one line has nothing but characters that show: no control characters (no line breaks among
/// them), no marks that turn the direction of writing, no code points that are no characters.
#[must_use]
pub fn line(text: &str) -> bool {
    text.bytes().all(|byte| (0x20..0x7f).contains(&byte))
        || !text.chars().any(|c| {
            c.is_control()
                || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
                || no_character(c)
        })
}

/// True where a text has no control characters but tabs and line breaks, and no code points that are no characters.
#[must_use]
pub fn lines(text: &str) -> bool {
    !text
        .chars()
        .any(|c| (c.is_control() && !matches!(c, '\n' | '\r' | '\t')) || no_character(c))
}

/// The code points that Unicode keeps from ever being characters.
fn no_character(c: char) -> bool {
    let code = u32::from(c);
    (0xfdd0..=0xfdef).contains(&code) || code & 0xfffe == 0xfffe
}

/// True where `part` lies somewhere in `bytes`.
#[must_use]
pub fn within(bytes: &[u8], part: &[u8]) -> bool {
    part.is_empty() || bytes.windows(part.len()).any(|window| window == part)
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

/// True where a field mask's path is one of `paths` or lies below one.
#[must_use]
pub fn covered(path: &str, paths: &[&str]) -> bool {
    paths.iter().any(|above| {
        path.strip_prefix(above)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    })
}
