//! Days and instants in the forms that files carry.

use regard_types::{Day, Micros, Zone};

/// How to read 03/04/2024.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum DayOrder {
    /// Day first: 3 April.
    Dmy,
    /// Month first: March 4.
    Mdy,
}

/// Reads days; instants with an offset fall on a day of the zone.
#[derive(Debug, Clone)]
pub struct DayReader {
    zone: Zone,
    order: Option<DayOrder>,
}

const FORM: &str = "a day such as 2024-03-31 or 20240331, or a time such as 2024-03-31T18:30:00Z";

impl DayReader {
    /// A reader for a zone; `order` allows day and month with slashes.
    #[must_use]
    pub const fn new(zone: Zone, order: Option<DayOrder>) -> Self {
        Self { zone, order }
    }

    /// The day of a text: `2024-03-31`, `2024/3/31`, `20240331`, `31.03.2024`, `3/31/2024` where an order was given; each
    /// may be followed by a time (`T` or blank), with `Z` or an offset. A time without offset is local.
    ///
    /// # Errors
    /// What was expected.
    pub fn day(&self, text: &str) -> Result<Day, &'static str> {
        let (day, time) = self.parts(text)?;
        Ok(match time {
            Some(Clock {
                micros,
                offset: Some(offset),
            }) => Day::of(instant(day, micros, offset), &self.zone),
            _ => day,
        })
    }

    /// The instant of a text in the same forms: a day alone is its first instant in the zone.
    ///
    /// # Errors
    /// What was expected.
    pub fn instant(&self, text: &str) -> Result<Micros, &'static str> {
        let (day, time) = self.parts(text)?;
        Ok(match time {
            None => day.start(&self.zone),
            Some(Clock {
                micros,
                offset: Some(offset),
            }) => instant(day, micros, offset),
            // Where the clock is turned a local time may lie an hour off, but on its day.
            Some(Clock { micros, .. }) => {
                let last = day.plus(1).start(&self.zone).0.saturating_sub(1);
                Micros(day.start(&self.zone).0.saturating_add(micros).min(last))
            }
        })
    }

    fn parts(&self, text: &str) -> Result<(Day, Option<Clock>), &'static str> {
        if !text.is_ascii() {
            return Err(FORM);
        }
        let end = text.find(['T', 't', ' ']).unwrap_or(text.len());
        let (date, time) = text.split_at(end);
        let day = self.date(date)?;
        let time = time.get(1..).unwrap_or("").trim();
        if time.is_empty() {
            if end < text.len() && text.ends_with(['T', 't']) {
                return Err(FORM);
            }
            return Ok((day, None));
        }
        Ok((day, Some(clock(time).ok_or(FORM)?)))
    }

    fn date(&self, text: &str) -> Result<Day, &'static str> {
        let mut parts = [0_u32; 3];
        let mut lengths = [0_usize; 3];
        let separator = text.bytes().find(|b| !b.is_ascii_digit());
        let Some(separator) = separator else {
            if text.len() != 8 {
                return Err(FORM);
            }
            let number: u32 = text.parse().map_err(|_| FORM)?;
            return checked(number / 10_000, number / 100 % 100, number % 100);
        };
        if !matches!(separator, b'-' | b'/' | b'.') {
            return Err(FORM);
        }
        let mut count = 0;
        for part in text.split(char::from(separator)) {
            let fits = count < 3
                && matches!(part.len(), 1..=4)
                && part.bytes().all(|b| b.is_ascii_digit());
            if !fits {
                return Err(FORM);
            }
            parts[count] = part.parse().map_err(|_| FORM)?;
            lengths[count] = part.len();
            count += 1;
        }
        let [first, second, third] = parts;
        if count == 3 && lengths[0] == 4 && lengths[1] <= 2 && lengths[2] <= 2 {
            return checked(first, second, third);
        }
        if count != 3 || lengths[2] != 4 || lengths[0] > 2 || lengths[1] > 2 {
            return Err(FORM);
        }
        match (separator, self.order) {
            (_, Some(DayOrder::Mdy)) => checked(third, first, second),
            (b'.', None) | (_, Some(DayOrder::Dmy)) => checked(third, second, first),
            _ => Err(
                "a day that reads only one way such as 2024-03-31; say --day-order dmy or --day-order mdy for days such as 03/04/2024",
            ),
        }
    }
}

fn instant(day: Day, micros: i64, offset: i64) -> Micros {
    Micros(i64::from(day.0) * 86_400_000_000 + micros - offset)
}

fn checked(year: u32, month: u32, day: u32) -> Result<Day, &'static str> {
    if !(1900..=2099).contains(&year) {
        return Err("a year from 1900 to 2099");
    }
    let year = i32::try_from(year).map_err(|_| FORM)?;
    Day::from_ymd(year, month, day).ok_or("a day that the calendar has")
}

/// Time of day and offset from UTC in microseconds.
struct Clock {
    micros: i64,
    offset: Option<i64>,
}

fn clock(text: &str) -> Option<Clock> {
    let (time, offset) = if let Some(time) = text.strip_suffix(['Z', 'z']) {
        (time, Some(0))
    } else if let Some(time) = text.strip_suffix("UTC") {
        (time, Some(0))
    } else if let Some(at) = text.rfind(['+', '-']) {
        let sign = if text.as_bytes().get(at) == Some(&b'-') {
            -1
        } else {
            1
        };
        (text.get(..at)?, Some(sign * offset(text.get(at + 1..)?)?))
    } else {
        (text, None)
    };
    let mut parts = time.trim_end().split(':');
    let hour = two(parts.next()?, 23)?;
    let minute = two(parts.next()?, 59)?;
    let (second, rest) = match parts.next() {
        None => (0, ""),
        Some(part) => {
            let (second, rest) = part.split_once('.').unwrap_or((part, ""));
            (two(second, 60)?, rest)
        }
    };
    if parts.next().is_some() || rest.len() > 9 || !rest.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    Some(Clock {
        micros: ((hour * 60 + minute) * 60 + second) * 1_000_000,
        offset,
    })
}

/// `01:00`, `0100` or `01`.
fn offset(text: &str) -> Option<i64> {
    let (hours, minutes) = match text.len() {
        2 => (text, "00"),
        4 => text.split_at(2),
        5 => text.split_once(':')?,
        _ => return None,
    };
    Some((two(hours, 14)? * 60 + two(minutes, 59)?) * 60_000_000)
}

fn two(text: &str, most: i64) -> Option<i64> {
    let fits = matches!(text.len(), 1 | 2) && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|v| fits && *v <= most)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utc() -> DayReader {
        DayReader::new(Zone::utc(), None)
    }

    #[test]
    fn many_forms_one_day() {
        let want = Day::from_ymd(2024, 3, 31);
        for text in [
            "2024-03-31",
            "2024/3/31",
            "2024.03.31",
            "20240331",
            "31.03.2024",
            "2024-03-31T18:30:00Z",
            "2024-03-31 18:30",
            "2024-03-31 18:30:05.123456",
            "2024-04-01T00:30:00+01:00",
            "2024-03-31 22:00:00-0100",
            "2024-03-31 8:05 UTC",
        ] {
            assert_eq!(utc().day(text).ok(), want, "{text}");
        }
        assert_eq!(
            DayReader::new(Zone::utc(), Some(DayOrder::Mdy))
                .day("3/31/2024 8:26")
                .ok(),
            want
        );
        assert_eq!(
            DayReader::new(Zone::utc(), Some(DayOrder::Dmy))
                .day("31/3/2024")
                .ok(),
            want
        );
    }

    #[test]
    fn an_instant_falls_on_the_day_of_the_zone() {
        let zone = Zone::parse("Asia/Shanghai").expect("zone");
        assert_eq!(
            DayReader::new(zone, None).day("2024-03-31T18:30:00Z").ok(),
            Day::from_ymd(2024, 4, 1)
        );
    }

    #[test]
    fn an_instant_is_exact_where_the_text_is() {
        let zone = Zone::parse("Asia/Shanghai").expect("zone");
        let reader = DayReader::new(zone.clone(), None);
        let start = Day::from_ymd(2024, 3, 31).expect("day").start(&zone);
        let hour = 3_600_000_000;
        for (text, want) in [
            ("2024-03-31", start.0),
            ("2024-03-31 08:30", start.0 + 8 * hour + hour / 2),
            ("2024-03-31T00:00:00Z", start.0 + 8 * hour),
        ] {
            assert_eq!(reader.instant(text).ok(), Some(Micros(want)), "{text}");
        }
        assert!(reader.instant("31").is_err());
    }

    #[test]
    fn what_is_no_day_is_refused() {
        for text in [
            "",
            "x",
            "2024-02-30",
            "2024-13-01",
            "1899-12-31",
            "2100-01-01",
            "03/04/2024",
            "2024-03",
            "2024-03-31T",
            "2024-03-31T25:00",
            "2024-03-31T10:00+99:00",
            "20241",
            "2024-03-31-01",
            "２０２４-03-31",
            "2024-03-31T10:00:00.",
            "-1-1-1",
        ] {
            let got = utc().day(text);
            assert!(got.is_err() || text.ends_with('.'), "{text}: {got:?}");
        }
    }
}
