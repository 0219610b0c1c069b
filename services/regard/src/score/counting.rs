//! Orders to sufficient statistics, by the counting rules of the suite.

use regard_models::{Spend, Stat};
use regard_types::Day;

/// One order (or, below 0, a refund).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    /// Index of the customer.
    pub customer: u32,
    /// Day of the purchase.
    pub day: Day,
    /// Millionths of the main unit.
    pub value: i64,
}

/// What is known of one customer as of a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct History {
    /// Index of the customer.
    pub customer: u32,
    /// First and last purchase day; None for a customer with refunds alone.
    pub days: Option<(Day, Day)>,
    /// Repeat purchase days.
    pub x: u32,
    /// Value of the repeat days, millionths.
    pub repeat_value: i128,
    /// Value of all orders, millionths.
    pub gross: i128,
    /// Refunds, millionths, 0 or more.
    pub refunds: i128,
}

/// Millionths to main units.
#[must_use]
pub fn units(millionths: i128) -> f64 {
    millionths as f64 / 1e6
}

impl History {
    /// Purchase history in weeks as of a day; None without a purchase.
    #[must_use]
    pub fn stat(&self, as_of: Day) -> Option<Stat> {
        let (first, last) = self.days?;
        let weeks = |to: Day| f64::from(to.since(first)) / 7.0;
        Some(Stat::new(f64::from(self.x), weeks(last), weeks(as_of)))
    }

    /// Mean value of the repeat days.
    #[must_use]
    pub fn spend(&self) -> Spend {
        let x = f64::from(self.x);
        Spend::new(
            x,
            if self.x > 0 {
                units(self.repeat_value) / x
            } else {
                0.0
            },
        )
    }

    /// Net value so far, millionths.
    #[must_use]
    pub const fn net(&self) -> i128 {
        self.gross - self.refunds
    }
}

/// Folds rows, sorted by customer and day, up to a day (included). One purchase a customer and day; an order of value 0
/// counts; rows below 0 are refunds that no order is named for: they make no purchase day and take none away.
#[must_use]
pub fn histories(sorted: &[Row], as_of: Day) -> Vec<History> {
    let mut all: Vec<History> = Vec::new();
    for row in sorted.iter().filter(|row| row.day <= as_of) {
        if all.last().is_none_or(|last| last.customer != row.customer) {
            all.push(History {
                customer: row.customer,
                days: None,
                x: 0,
                repeat_value: 0,
                gross: 0,
                refunds: 0,
            });
        }
        let Some(history) = all.last_mut() else {
            continue;
        };
        let value = i128::from(row.value);
        if value < 0 {
            history.refunds -= value;
            continue;
        }
        history.gross += value;
        match &mut history.days {
            None => history.days = Some((row.day, row.day)),
            Some((first, last)) => {
                if row.day > *last {
                    history.x += 1;
                    *last = row.day;
                }
                if row.day > *first {
                    history.repeat_value += value;
                }
            }
        }
    }
    all
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn row(customer: u32, day: i32, value: i64) -> Row {
        Row {
            customer,
            day: Day(day),
            value: value * 1_000_000,
        }
    }

    #[test]
    fn days_not_rows_are_counted() {
        let mut rows = vec![
            row(0, 0, 10),
            row(0, 0, 5),
            row(0, 7, 0),
            row(0, 14, 30),
            row(0, 14, 10),
            row(0, 99, 1),
            row(1, 3, -4),
            row(2, 5, 9),
            row(2, 6, -2),
        ];
        rows.sort_unstable();
        let all = histories(&rows, Day(21));
        assert_eq!(all.len(), 3);
        let stat = all[0].stat(Day(21)).unwrap();
        assert_eq!((stat.x, stat.t_x, stat.t), (2.0, 2.0, 3.0));
        assert_eq!((all[0].spend().m, units(all[0].net())), (20.0, 55.0));
        assert_eq!((all[1].stat(Day(21)), units(all[1].net())), (None, -4.0));
        assert_eq!((all[2].x, units(all[2].net())), (0, 7.0));
    }
}
