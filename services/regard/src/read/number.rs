//! Numbers as people write them.

/// A finite number with a decimal point, as in `12`, `-3.5`, `1e-3`.
#[must_use]
pub fn plain(text: &str) -> Option<f64> {
    // `parse` would take "inf" and "nan" too.
    let numeric = text
        .bytes()
        .all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'+' | b'e' | b'E'));
    if !numeric {
        return None;
    }
    text.parse::<f64>().ok().filter(|v| v.is_finite())
}

/// Decimal digits of [`money`].
pub const PLACES: u32 = 6;
const SCALE: i64 = 1_000_000;
/// Largest amount of one row, in main units.
const LARGEST: i64 = 1_000_000_000_000;

/// An amount in millionths, exact: an optional currency sign, `1,234.56` or `1234.56` (commas only between groups of three
/// digits), at most six decimals, at most a million million either way.
///
/// # Errors
/// What was expected.
pub fn money(text: &str) -> Result<i64, &'static str> {
    const FORM: &str = "an amount such as 1234.56 (decimal point, at most 6 decimals)";
    let (negative, rest) = sign(text);
    let rest = rest
        .strip_prefix(['$', '€', '£', '¥'])
        .unwrap_or(rest)
        .trim_start();
    let (negative, rest) = if negative { (true, rest) } else { sign(rest) };
    let (whole, part) = rest.split_once('.').unwrap_or((rest, ""));
    let part = part.trim_end_matches('0');
    if part.len() > PLACES as usize || !part.bytes().all(|b| b.is_ascii_digit()) {
        return scientific(text).ok_or(FORM);
    }
    if whole.is_empty() && rest.len() < 2 {
        return Err(FORM);
    }
    let mut units: i64 = 0;
    for (index, group) in whole.split(',').enumerate() {
        let fits = if whole.contains(',') {
            if index == 0 {
                matches!(group.len(), 1..=3)
            } else {
                group.len() == 3
            }
        } else {
            true
        };
        if !fits || !group.bytes().all(|b| b.is_ascii_digit()) {
            return scientific(text).ok_or(FORM);
        }
        for digit in group.bytes() {
            units = units
                .saturating_mul(10)
                .saturating_add(i64::from(digit - b'0'));
        }
    }
    let mut millionths: i64 = 0;
    for index in 0..PLACES as usize {
        let digit = part
            .as_bytes()
            .get(index)
            .map_or(0, |b| i64::from(b - b'0'));
        millionths = millionths * 10 + digit;
    }
    if units > LARGEST {
        return Err("an amount of at most 1,000,000,000,000");
    }
    let value = units * SCALE + millionths;
    Ok(if negative { -value } else { value })
}

/// Spreadsheets write very small and very large amounts as 1.2E+05.
fn scientific(text: &str) -> Option<i64> {
    let value = plain(text)?;
    let scaled = (value * SCALE as f64).round();
    let exact = (scaled / SCALE as f64 - value).abs() <= 1e-9 * value.abs().max(1e-3);
    (text.contains(['e', 'E']) && value.abs() <= LARGEST as f64 && exact).then_some(scaled as i64)
}

fn sign(text: &str) -> (bool, &str) {
    match text.strip_prefix('-') {
        Some(rest) => (true, rest.trim_start()),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    }
}

/// Millionths as a decimal text without needless zeros; at least two decimals where there are any.
#[must_use]
pub fn decimal(millionths: i128) -> String {
    let scale = i128::from(SCALE);
    let (size, minus) = (
        millionths.unsigned_abs(),
        if millionths < 0 { "-" } else { "" },
    );
    let (whole, part) = (size / scale.unsigned_abs(), size % scale.unsigned_abs());
    let mut digits = format!("{part:06}");
    while digits.len() > 2 && digits.ends_with('0') {
        digits.pop();
    }
    format!("{minus}{whole}.{digits}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_exact() {
        for (text, want) in [
            ("29.33", 29_330_000),
            ("0", 0),
            ("-4.5", -4_500_000),
            ("$1,234.56", 1_234_560_000),
            ("-$3", -3_000_000),
            ("$-3", -3_000_000),
            (".5", 500_000),
            ("1.20000000", 1_200_000),
            ("1.2E+05", 120_000_000_000),
            ("1000000000000", 1_000_000_000_000_000_000),
        ] {
            assert_eq!(money(text), Ok(want), "{text}");
        }
        for text in [
            "",
            ".",
            "-",
            "abc",
            "12,5",
            "1,23,456",
            "1.2345678",
            "NaN",
            "inf",
            "1e40",
            "2000000000000",
            "1 2",
            "٣",
        ] {
            assert!(money(text).is_err(), "{text}");
        }
    }

    #[test]
    fn decimals_read_back() {
        for value in [0, 1, -1, 29_330_000, -4_500_000, 123_456_789] {
            assert_eq!(money(&decimal(i128::from(value))), Ok(value));
        }
        assert_eq!(decimal(29_300_000), "29.30");
    }
}
