//! Sufficient statistics of one customer's purchases.

/// Largest number of repeat purchases taken as real.
pub const MAX_X: f64 = 1e7;
/// Longest time taken as real, in weeks.
pub const MAX_WEEKS: f64 = 1e6;
/// Largest weight of a row.
pub const MAX_WEIGHT: f64 = 1e12;
/// Largest mean value of a purchase, in the currency's main unit.
pub const MAX_VALUE: f64 = 1e15;

/// A value that does not fit: which field, what was found, what would be right.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{field} = {found}: expected {expected}")]
pub struct InputError {
    /// Name of the field.
    pub field: &'static str,
    /// The value found.
    pub found: f64,
    /// What would be accepted, and what to do.
    pub expected: &'static str,
}

pub(crate) fn check(
    ok: bool,
    field: &'static str,
    found: f64,
    expected: &'static str,
) -> Result<(), InputError> {
    if ok {
        Ok(())
    } else {
        Err(InputError {
            field,
            found,
            expected,
        })
    }
}

/// Purchase history of one customer (or of `weight` equal ones).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stat {
    /// Repeat purchase days: purchase days after the first; a whole number.
    pub x: f64,
    /// Weeks from the first purchase day to the last; 0 exactly where `x` is 0.
    pub t_x: f64,
    /// Weeks from the first purchase day to the as-of day.
    pub t: f64,
    /// How many customers the row stands for.
    pub weight: f64,
}

impl Stat {
    /// One customer.
    #[must_use]
    pub const fn new(x: f64, t_x: f64, t: f64) -> Self {
        Self {
            x,
            t_x,
            t,
            weight: 1.0,
        }
    }

    /// Checks ranges and that the three statistics agree.
    ///
    /// # Errors
    /// The first field that does not fit.
    pub fn validate(&self) -> Result<(), InputError> {
        let Self { x, t_x, t, weight } = *self;
        check(
            (0.0..=MAX_X).contains(&x) && x.fract() == 0.0,
            "x",
            x,
            "a whole number of repeat purchases, 0 to 10,000,000",
        )?;
        check(
            (0.0..=MAX_WEEKS).contains(&t),
            "T",
            t,
            "weeks observed, 0 to 1,000,000",
        )?;
        check(
            t_x >= 0.0 && t_x <= t,
            "t_x",
            t_x,
            "weeks from first to last purchase, 0 to T",
        )?;
        check(
            x > 0.0 || t_x == 0.0,
            "t_x",
            t_x,
            "0, because x is 0 (no repeat purchase)",
        )?;
        check(
            x == 0.0 || t_x > 0.0,
            "t_x",
            t_x,
            "more than 0, because x is more than 0",
        )?;
        check_weight(weight)
    }
}

/// Value of one customer's repeat purchases.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spend {
    /// Repeat purchase days; a whole number.
    pub x: f64,
    /// Mean net value of the repeat purchase days; ignored where `x` is 0.
    pub m: f64,
    /// How many customers the row stands for.
    pub weight: f64,
}

impl Spend {
    /// One customer.
    #[must_use]
    pub const fn new(x: f64, m: f64) -> Self {
        Self { x, m, weight: 1.0 }
    }

    /// Checks ranges.
    ///
    /// # Errors
    /// The first field that does not fit.
    pub fn validate(&self) -> Result<(), InputError> {
        let Self { x, m, weight } = *self;
        check(
            (0.0..=MAX_X).contains(&x) && x.fract() == 0.0,
            "x",
            x,
            "a whole number of repeat purchases, 0 to 10,000,000",
        )?;
        check(
            (0.0..=MAX_VALUE).contains(&m),
            "m",
            m,
            "a mean value of repeat purchases, 0 or more",
        )?;
        check_weight(weight)
    }
}

fn check_weight(weight: f64) -> Result<(), InputError> {
    check(
        weight > 0.0 && weight <= MAX_WEIGHT,
        "weight",
        weight,
        "a number of customers, more than 0",
    )
}
