//! What a fit takes of each customer: statistics on the as-of day, and, for the hold-out, those of an earlier day with what followed.

use regard_models::{Spend, Stat, rfm::Buyer};
use regard_types::Day;

use crate::event::Event;
use crate::score::domain::{Basis, buyer, spend, truncated};
use crate::summary::{domain::purchase_days, fold};
use regard_types::Zone;

/// The longest hold-out in days (39 weeks), and the shortest (4 weeks).
const LONGEST: i32 = 273;
const SHORTEST: i32 = 28;

/// The days that a fit is about.
#[derive(Debug, Clone)]
pub struct Frame {
    /// The tenant's zone.
    pub zone: Zone,
    /// The as-of day, the start of records, the currency.
    pub basis: Basis,
    /// The last day before the hold-out; None if the history is too short for one.
    pub split: Option<Day>,
}

impl Frame {
    /// Half of the observed days are held out, at most 39 weeks; none below 4 weeks. `first` is the day of the first order.
    #[must_use]
    pub fn new(zone: Zone, basis: Basis, first: Option<Day>) -> Self {
        let begins = first.map(|first| basis.history_start.map_or(first, |start| start.max(first)));
        let split = begins.and_then(|begins| {
            let days = (basis.day.since(begins) + 1) / 2;
            let days = days.min(LONGEST);
            (days >= SHORTEST).then(|| basis.day.plus(-days))
        });
        Self { zone, basis, split }
    }

    /// Weeks of the hold-out.
    #[must_use]
    pub fn weeks(&self) -> f64 {
        self.split
            .map_or(0.0, |split| f64::from(self.basis.day.since(split)) / 7.0)
    }
}

/// A customer before the hold-out, and what followed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Before {
    /// Purchases, as known on the last day before.
    pub stat: Stat,
    /// Their value.
    pub spend: Spend,
    /// Purchase days in the hold-out.
    pub days: u64,
    /// Their net value in main units.
    pub value: f64,
}

/// One customer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Member {
    /// Purchases.
    pub stat: Stat,
    /// Their value.
    pub spend: Spend,
    /// For quintiles.
    pub buyer: Buyer,
    /// For the hold-out; None if not yet a customer then.
    pub before: Option<Before>,
}

/// All customers that a fit takes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Cohort {
    /// Those with a purchase by the as-of day.
    pub members: Vec<Member>,
    /// Left out: their purchases before `history_start` may be missing.
    pub truncated: usize,
}

impl Cohort {
    /// Adds a customer by its events.
    #[allow(clippy::cast_precision_loss)]
    pub fn add(&mut self, events: &[Event], frame: &Frame) {
        let day = frame.basis.day;
        let summary = fold(events, &frame.zone, day);
        let (Some(stat), Some(buyer)) = (summary.stat(day), buyer(&summary, day)) else {
            return;
        };
        if truncated(&summary, frame.basis) {
            self.truncated += 1;
            return;
        }
        let before = frame.split.and_then(|split| {
            let known = fold(events, &frame.zone, split);
            let stat = known.stat(split)?;
            let mut before = Before {
                stat,
                spend: spend(&known, frame.basis.minor_per_unit),
                days: 0,
                value: 0.0,
            };
            for (_, net) in purchase_days(events, &frame.zone, day)
                .into_iter()
                .filter(|(on, _)| *on > split)
            {
                before.days += 1;
                before.value += net as f64 / frame.basis.minor_per_unit;
            }
            Some(before)
        });
        self.members.push(Member {
            stat,
            spend: spend(&summary, frame.basis.minor_per_unit),
            buyer,
            before,
        });
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn day(text: &str) -> Day {
        Day::parse(text).unwrap()
    }

    fn frame(first: &str, as_of: &str, history_start: Option<&str>) -> Frame {
        let basis = Basis {
            day: day(as_of),
            history_start: history_start.map(day),
            minor_per_unit: 100.0,
        };
        Frame::new(Zone::utc(), basis, Some(day(first)))
    }

    #[test]
    fn half_of_the_observed_time_is_held_out_within_bounds() {
        let f = frame("1997-01-01", "1998-06-30", None);
        assert_eq!((f.split, f.weeks()), (Some(day("1997-09-30")), 39.0));
        let f = frame("1990-01-01", "1998-06-30", None);
        assert_eq!(f.weeks(), 39.0);
        assert_eq!(frame("1998-05-10", "1998-06-30", None).split, None);
        // What was before the records began is not observed.
        let f = frame("1990-01-01", "1998-06-30", Some("1998-05-01"));
        assert_eq!(f.split, Some(day("1998-05-31")));
        assert_eq!(
            Frame::new(Zone::utc(), f.basis, None).split,
            None,
            "no order, no hold-out"
        );
    }
}
