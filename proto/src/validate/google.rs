//! Rules that hold for Google's common types wherever they appear.

use prost_types::{Duration, Timestamp};

use super::{Path, Validate, Violations};
use crate::google::r#type::{Date, Money};

/// 0001-01-01T00:00:00Z and 9999-12-31T23:59:59Z in seconds since 1970, the range of the type.
const TIMESTAMP_SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;
/// About 10,000 years in seconds, the range of the type.
const DURATION_SECONDS: std::ops::RangeInclusive<i64> = -315_576_000_000..=315_576_000_000;
const NANOS: std::ops::RangeInclusive<i32> = -999_999_999..=999_999_999;

impl Validate for Timestamp {
    fn check(&self, at: &Path<'_>, out: &mut Violations) {
        if !TIMESTAMP_SECONDS.contains(&self.seconds) {
            out.add(
                &at.field("seconds"),
                "timestamp.range",
                "must lie in the years 1 to 9999",
            );
        }
        if !(0..=999_999_999).contains(&self.nanos) {
            out.add(
                &at.field("nanos"),
                "timestamp.nanos",
                "must be 0 to 999,999,999",
            );
        }
    }
}

impl Validate for Duration {
    fn check(&self, at: &Path<'_>, out: &mut Violations) {
        if !DURATION_SECONDS.contains(&self.seconds) {
            out.add(
                &at.field("seconds"),
                "duration.range",
                "must be within 315,576,000,000 seconds either way",
            );
        }
        if !NANOS.contains(&self.nanos) || opposed(self.seconds, self.nanos) {
            out.add(
                &at.field("nanos"),
                "duration.nanos",
                "must be -999,999,999 to 999,999,999, with the sign of the seconds",
            );
        }
    }
}

impl Validate for Money {
    fn check(&self, at: &Path<'_>, out: &mut Violations) {
        let code = self.currency_code.as_bytes();
        if code.len() != 3 || !code.iter().all(u8::is_ascii_uppercase) {
            out.add(
                &at.field("currency_code"),
                "money.currency",
                "must be an ISO 4217 code of three capital letters",
            );
        }
        if !NANOS.contains(&self.nanos) || opposed(self.units, self.nanos) {
            out.add(
                &at.field("nanos"),
                "money.nanos",
                "must be -999,999,999 to 999,999,999, with the sign of the units",
            );
        }
    }
}

impl Validate for Date {
    fn check(&self, at: &Path<'_>, out: &mut Violations) {
        let leap = self.year % 4 == 0 && (self.year % 100 != 0 || self.year % 400 == 0);
        let days = match self.month {
            2 => 28 + i32::from(leap),
            4 | 6 | 9 | 11 => 30,
            1..=12 => 31,
            _ => 0,
        };
        if !(1..=9999).contains(&self.year) || !(1..=days).contains(&self.day) {
            out.add(
                at,
                "date.day",
                "must be a real day: year 1 to 9999, month and day all set",
            );
        }
    }
}

fn opposed(whole: i64, nanos: i32) -> bool {
    (whole > 0 && nanos < 0) || (whole < 0 && nanos > 0)
}
