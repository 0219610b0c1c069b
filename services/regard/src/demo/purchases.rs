//! The purchases as the demo itself reads them: only to say who the customers are and what then happened.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::anyhow;
use regard_types::{Day, Zone};

use crate::read::{DayReader, Delimited, Record, money};

/// Purchase days and spending by customer.
#[derive(Debug, Default)]
pub struct Purchases(BTreeMap<String, Vec<(Day, f64)>>);

impl Purchases {
    /// Reads `CDNOW_sample.txt`: two ids, day, units, dollars.
    pub fn read(path: &Path) -> anyhow::Result<Self> {
        let days = DayReader::new(Zone::utc(), None);
        let mut file = Delimited::open(path)?;
        let mut record = Record::default();
        let mut all = Self::default();
        while file.next(&mut record)? {
            let wrong = || {
                anyhow!(
                    "{}, line {}: no purchase of the CDNOW file",
                    path.display(),
                    record.line()
                )
            };
            let text = |at| record.text(at).ok_or_else(wrong);
            let day = days.day(text(2)?).map_err(|_| wrong())?;
            let paid = money(text(4)?).map_err(|_| wrong())? as f64 / 1e6;
            let customer = text(1)?.to_owned();
            all.0.entry(customer).or_default().push((day, paid));
        }
        Ok(all)
    }

    /// The customers, by name.
    pub fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    /// Purchase days of a customer after one day, up to another.
    pub fn days(&self, name: &str, after: Day, to: Day) -> usize {
        let purchases = self.0.get(name).into_iter().flatten();
        let days: BTreeSet<Day> = purchases
            .map(|(day, _)| *day)
            .filter(|day| *day > after && *day <= to)
            .collect();
        days.len()
    }

    /// What a customer paid after one day, up to another.
    pub fn paid(&self, name: &str, after: Day, to: Day) -> f64 {
        let purchases = self.0.get(name).into_iter().flatten();
        purchases
            .filter(|(day, _)| *day > after && *day <= to)
            .map(|(_, paid)| paid)
            .sum()
    }
}
