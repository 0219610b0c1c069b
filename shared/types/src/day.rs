//! Calendar days (proleptic Gregorian) and periods of days.

use std::fmt;

use crate::{Micros, Zone};

/// Microseconds of 24 hours.
pub(crate) const DAY: i64 = 86_400_000_000;

/// A calendar day: days since 1970-01-01 (negative before).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Day(pub i32);

/// A text or numbers that are no day.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a day of the calendar as YYYY-MM-DD, year 1 to 9999")]
pub struct DayError;

impl Day {
    /// The day that an instant falls on in a zone.
    #[must_use]
    pub fn of(at: Micros, zone: &Zone) -> Self {
        let local = at.0.saturating_add(zone.offset(at));
        // i64 microseconds span 107 million days either way: always an i32.
        Self(i32::try_from(local.div_euclid(DAY)).unwrap_or(i32::MAX))
    }

    /// The day with this date; None if the calendar has none (year 1 to 9999).
    #[must_use]
    pub fn from_ymd(year: i32, month: u32, day: u32) -> Option<Self> {
        if !(1..=9999).contains(&year)
            || !(1..=12).contains(&month)
            || day < 1
            || day > month_days(year, month)
        {
            return None;
        }
        // Days from civil: Howard Hinnant, "chrono-compatible low-level date algorithms".
        let (month, day) = (i32::try_from(month).ok()?, i32::try_from(day).ok()?);
        let y = if month <= 2 { year - 1 } else { year };
        let era = y.div_euclid(400);
        let of_era = y.rem_euclid(400);
        let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
        Some(Self(
            era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468,
        ))
    }

    /// Year, month (1 to 12) and day of the month (1 to 31).
    #[must_use]
    pub fn date(self) -> (i32, u32, u32) {
        let z = i64::from(self.0) + 719_468;
        let era = z.div_euclid(146_097);
        let doe = z.rem_euclid(146_097);
        let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
        let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
        let mp = (5 * doy + 2) / 153;
        let day = doy - (153 * mp + 2) / 5 + 1;
        let month = if mp < 10 { mp + 3 } else { mp - 9 };
        let year = yoe + era * 400 + i64::from(month <= 2);
        let small = |v: i64| u32::try_from(v).unwrap_or(1);
        (
            i32::try_from(year).unwrap_or(i32::MAX),
            small(month),
            small(day),
        )
    }

    /// Reads `YYYY-MM-DD`.
    ///
    /// # Errors
    /// [`DayError`] if the text has another form or names no day.
    pub fn parse(text: &str) -> Result<Self, DayError> {
        let mut parts = text.split('-');
        let mut next = |digits: usize| {
            let part = parts
                .next()
                .filter(|p| p.len() == digits && p.bytes().all(|b| b.is_ascii_digit()));
            part.and_then(|p| p.parse::<u32>().ok()).ok_or(DayError)
        };
        let (year, month, day) = (next(4)?, next(2)?, next(2)?);
        if parts.next().is_some() {
            return Err(DayError);
        }
        let year = i32::try_from(year).map_err(|_| DayError)?;
        Self::from_ymd(year, month, day).ok_or(DayError)
    }

    /// The first instant of the day in a zone (where clocks skip midnight: the skip).
    #[must_use]
    pub fn start(self, zone: &Zone) -> Micros {
        Micros(zone.first_instant(i64::from(self.0).saturating_mul(DAY)))
    }

    /// The day `days` later (or earlier); stays within i32.
    #[must_use]
    pub fn plus(self, days: i32) -> Self {
        Self(self.0.saturating_add(days))
    }

    /// Days from `earlier` to this day; negative if that is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> i32 {
        self.0.saturating_sub(earlier.0)
    }
}

fn month_days(year: i32, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (y, m, d) = self.date();
        write!(f, "{y:04}-{m:02}-{d:02}")
    }
}

/// Days from `from` (included) to `to` (excluded).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Period {
    /// First day.
    pub from: Day,
    /// The day after the last.
    pub to: Day,
}

impl Period {
    /// A period; None if it ends before it begins.
    #[must_use]
    pub fn new(from: Day, to: Day) -> Option<Self> {
        (from <= to).then_some(Self { from, to })
    }

    /// Whether the day lies within.
    #[must_use]
    pub fn contains(self, day: Day) -> bool {
        self.from <= day && day < self.to
    }

    /// Number of days.
    #[must_use]
    pub fn days(self) -> i32 {
        self.to.since(self.from)
    }
}
