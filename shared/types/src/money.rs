//! Money as whole minor units of a currency of ISO 4217.

use std::fmt;

/// A currency of ISO 4217 (active codes, 2024).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency([u8; 3]);

/// An amount in the currency's minor unit (cents; yen; fils).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Money {
    /// Minor units.
    pub minor: i64,
    /// What of.
    pub currency: Currency,
}

/// Why an amount or a currency is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// Not in ISO 4217.
    #[error("expected a currency code of ISO 4217 such as EUR")]
    Currency,
    /// Finer than the minor unit.
    #[error("{currency} has {digits} decimals, the amount has more")]
    Decimals {
        /// The currency.
        currency: Currency,
        /// Its decimals.
        digits: u32,
    },
    /// `nanos` out of range or of another sign than `units`.
    #[error("nanos must lie within ±999,999,999 and have the sign of units")]
    Nanos,
    /// More than an i64 of minor units.
    #[error("the amount is too large")]
    Overflow,
}

const CODES: &str = "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD \
    CDF CHE CHF CHW CLF CLP CNY COP COU CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP \
    GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK \
    LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD OMR \
    PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL \
    THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD USN UYI UYU UYW UZS VED VES VND VUV WST XAF XCD XCG XOF XPF \
    YER ZAR ZMW ZWG";

impl Currency {
    /// Reads a code of ISO 4217, in capitals.
    ///
    /// # Errors
    /// [`MoneyError::Currency`] if there is no such currency.
    pub fn parse(code: &str) -> Result<Self, MoneyError> {
        let bytes: [u8; 3] = code
            .as_bytes()
            .try_into()
            .map_err(|_| MoneyError::Currency)?;
        let listed = CODES.split_ascii_whitespace().any(|c| c == code);
        if listed {
            Ok(Self(bytes))
        } else {
            Err(MoneyError::Currency)
        }
    }

    /// The code.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("XXX")
    }

    /// Decimals of the minor unit: 0, 2, 3 or 4.
    #[must_use]
    pub fn digits(self) -> u32 {
        match &self.0 {
            b"BIF" | b"CLP" | b"DJF" | b"GNF" | b"ISK" | b"JPY" | b"KMF" | b"KRW" | b"PYG"
            | b"RWF" | b"UGX" | b"UYI" | b"VND" | b"VUV" | b"XAF" | b"XOF" | b"XPF" => 0,
            b"BHD" | b"IQD" | b"JOD" | b"KWD" | b"LYD" | b"OMR" | b"TND" => 3,
            b"CLF" | b"UYW" => 4,
            _ => 2,
        }
    }

    /// Minor units in one unit: 1, 100, 1,000 or 10,000.
    #[must_use]
    pub fn scale(self) -> i64 {
        10_i64.pow(self.digits())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Money {
    /// An amount of minor units.
    #[must_use]
    pub const fn new(minor: i64, currency: Currency) -> Self {
        Self { minor, currency }
    }

    /// From whole units and billionths, as in `google.type.Money`. Nothing is rounded.
    ///
    /// # Errors
    /// [`MoneyError::Nanos`], [`MoneyError::Decimals`] or [`MoneyError::Overflow`].
    pub fn from_units(units: i64, nanos: i32, currency: Currency) -> Result<Self, MoneyError> {
        let opposed = (units > 0 && nanos < 0) || (units < 0 && nanos > 0);
        if opposed || !(-999_999_999..=999_999_999).contains(&nanos) {
            return Err(MoneyError::Nanos);
        }
        let digits = currency.digits();
        let step = 10_i64.pow(9 - digits);
        if i64::from(nanos) % step != 0 {
            return Err(MoneyError::Decimals { currency, digits });
        }
        let minor = units
            .checked_mul(currency.scale())
            .and_then(|m| m.checked_add(i64::from(nanos) / step));
        minor
            .map(|minor| Self { minor, currency })
            .ok_or(MoneyError::Overflow)
    }

    /// Whole units and billionths.
    #[must_use]
    pub fn units(self) -> (i64, i32) {
        let digits = self.currency.digits();
        let scale = self.currency.scale();
        let nanos = self.minor % scale * 10_i64.pow(9 - digits);
        (self.minor / scale, i32::try_from(nanos).unwrap_or(0))
    }

    /// The amount in units as a float, for statistics and display.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn as_f64(self) -> f64 {
        self.minor as f64 / self.currency.scale() as f64
    }

    /// Reads a decimal text such as `12.34` or `-0.5` (no thousands separators).
    ///
    /// # Errors
    /// [`MoneyError::Decimals`] for too many decimals, [`MoneyError::Overflow`] for too large an amount,
    /// [`MoneyError::Nanos`] for any other text.
    pub fn parse(text: &str, currency: Currency) -> Result<Self, MoneyError> {
        let text = text.trim();
        let (negative, body) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (whole, fraction) = body.split_once('.').unwrap_or((body, ""));
        let numeric = |s: &str| s.bytes().all(|b| b.is_ascii_digit());
        if !numeric(whole) || !numeric(fraction) || (whole.is_empty() && fraction.is_empty()) {
            return Err(MoneyError::Nanos);
        }
        let digits = currency.digits();
        let fraction = fraction.trim_end_matches('0');
        let missing = usize::try_from(digits)
            .unwrap_or(0)
            .checked_sub(fraction.len());
        let missing = missing.ok_or(MoneyError::Decimals { currency, digits })?;
        let mut minor: i64 = 0;
        for digit in whole
            .bytes()
            .chain(fraction.bytes())
            .chain(std::iter::repeat_n(b'0', missing))
        {
            let digit = i64::from(digit - b'0');
            let digit = if negative { -digit } else { digit };
            minor = minor
                .checked_mul(10)
                .and_then(|m| m.checked_add(digit))
                .ok_or(MoneyError::Overflow)?;
        }
        Ok(Self { minor, currency })
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scale = self.currency.scale().unsigned_abs();
        let (whole, rest) = (
            self.minor.unsigned_abs() / scale,
            self.minor.unsigned_abs() % scale,
        );
        let sign = if self.minor < 0 { "-" } else { "" };
        match self.currency.digits() {
            0 => write!(f, "{sign}{whole} {}", self.currency),
            digits => write!(
                f,
                "{sign}{whole}.{rest:0width$} {}",
                self.currency,
                width = digits as usize
            ),
        }
    }
}
