//! What translated CEL rules call.

use std::any::{Any, TypeId};
use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

/// A text by reference.
#[must_use]
pub fn text(text: &str) -> Cow<'_, str> {
    Cow::Borrowed(text)
}

/// Bytes by reference.
#[must_use]
pub fn bytes(bytes: &[u8]) -> Cow<'_, [u8]> {
    Cow::Borrowed(bytes)
}

/// Two texts as one.
#[must_use]
pub fn joined(parts: &[&str]) -> Cow<'static, str> {
    Cow::Owned(parts.concat())
}

/// A time since 1970, or a duration, in nanoseconds.
#[must_use]
pub fn nanos(seconds: i64, nanos: i32) -> i128 {
    i128::from(seconds) * 1_000_000_000 + i128::from(nanos)
}

/// Now, in nanoseconds since 1970.
#[must_use]
pub fn now() -> i128 {
    let (seconds, of_second) = super::checks::now();
    nanos(seconds, of_second)
}

/// Whether both hold; one that cannot be evaluated does not matter where the other one is false.
pub fn and(
    left: impl FnOnce() -> Option<bool>,
    right: impl FnOnce() -> Option<bool>,
) -> Option<bool> {
    match left() {
        Some(false) => Some(false),
        left => match right() {
            Some(false) => Some(false),
            right => Some(left? && right?),
        },
    }
}

/// Whether one holds; one that cannot be evaluated does not matter where the other one is true.
pub fn or(
    left: impl FnOnce() -> Option<bool>,
    right: impl FnOnce() -> Option<bool>,
) -> Option<bool> {
    match left() {
        Some(true) => Some(true),
        left => match right() {
            Some(true) => Some(true),
            right => Some(left? || right?),
        },
    }
}

/// A number without its fraction, where an `i64` holds it.
#[must_use]
pub fn whole(number: f64) -> Option<i64> {
    const ABOVE: f64 = 9_223_372_036_854_775_808.0;
    // In range: the cast cuts the fraction alone.
    #[allow(clippy::cast_possible_truncation)]
    (number > -ABOVE && number < ABOVE).then_some(number as i64)
}

/// The message that an unset field stands for.
#[must_use]
pub fn empty<T: Default + Send + Sync + 'static>() -> &'static T {
    static EMPTY: LazyLock<Mutex<HashMap<TypeId, &'static (dyn Any + Send + Sync)>>> =
        LazyLock::new(Mutex::default);
    let mut known = EMPTY.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(one) = known
        .get(&TypeId::of::<T>())
        .and_then(|one| one.downcast_ref::<T>())
    {
        return one;
    }
    // One of each type, kept for good.
    let one: &'static T = Box::leak(Box::default());
    known.insert(TypeId::of::<T>(), one);
    one
}

/// A part of a time in UTC, by the name of CEL's function: months and days of a year or month count from 0 (`getDate`
/// from 1), days of the week from Sunday, 0.
#[must_use]
pub fn part(nanos: i128, name: &str) -> i64 {
    const DAY: i128 = 86_400 * 1_000_000_000;
    let (days, within) = (nanos.div_euclid(DAY), nanos.rem_euclid(DAY));
    let number = |value: i128| i64::try_from(value).unwrap_or(0);
    let seconds = within / 1_000_000_000;
    match name {
        "getHours" => number(seconds / 3600),
        "getMinutes" => number(seconds / 60 % 60),
        "getSeconds" => number(seconds % 60),
        "getMilliseconds" => number(within / 1_000_000 % 1_000),
        "getDayOfWeek" => number((days + 4).rem_euclid(7)),
        _ => {
            let (year, month, day) = date(number(days));
            match name {
                "getFullYear" => year,
                "getMonth" => month - 1,
                "getDate" => day,
                "getDayOfMonth" => day - 1,
                _ => number(days) - days_before(year),
            }
        }
    }
}

/// Year, month and day of a day counted from 1970-01-01, in the proleptic Gregorian calendar: counted in eras of 400
/// years that begin in March, so that leap days come last.
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

/// The first day of a year, counted from 1970-01-01.
fn days_before(year: i64) -> i64 {
    let before = year - 1;
    365 * before + before.div_euclid(4) - before.div_euclid(100) + before.div_euclid(400) - 719_162
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_times() {
        // 2024-02-29T23:59:58.007Z, a Thursday.
        let leap = nanos(1_709_251_198, 7_000_000);
        for (name, expected) in [
            ("getFullYear", 2024),
            ("getMonth", 1),
            ("getDate", 29),
            ("getDayOfMonth", 28),
            ("getDayOfYear", 59),
            ("getDayOfWeek", 4),
            ("getHours", 23),
            ("getMinutes", 59),
            ("getSeconds", 58),
            ("getMilliseconds", 7),
        ] {
            assert_eq!(part(leap, name), expected, "{name}");
        }
        assert_eq!(part(nanos(-1, 0), "getFullYear"), 1969);
        assert_eq!(part(nanos(-1, 0), "getDayOfYear"), 364);
    }

    #[test]
    fn a_side_that_settles_it_is_enough() {
        assert_eq!(and(|| None, || Some(false)), Some(false));
        assert_eq!(and(|| None, || Some(true)), None);
        assert_eq!(or(|| None, || Some(true)), Some(true));
        assert_eq!(or(|| Some(false), || None), None);
    }

    #[test]
    fn whole_numbers_only_where_they_fit() {
        assert_eq!(
            (whole(-1.9), whole(1e19), whole(f64::NAN)),
            (Some(-1), None, None)
        );
    }
}
