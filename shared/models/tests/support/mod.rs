#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
//! Reads the files of `tests/data`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use regard_models::{Spend, Stat};
use serde_json::Value;

pub fn path(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data")).join(name)
}

pub fn json(name: &str) -> Value {
    serde_json::from_str(&std::fs::read_to_string(path(name)).expect("reference file"))
        .expect("JSON")
}

pub fn number(value: &Value, pointer: &str) -> f64 {
    value
        .pointer(pointer)
        .and_then(Value::as_f64)
        .unwrap_or_else(|| panic!("no number at {pointer}"))
}

/// id → history and spend, from the summary file.
pub fn summary() -> BTreeMap<u32, (Stat, Spend)> {
    let mut reader = csv::Reader::from_path(path("cdnow_customers_summary_with_transactions.csv"))
        .expect("summary");
    reader
        .deserialize::<(u32, f64, f64, f64, f64)>()
        .map(|row| {
            let (id, x, t_x, t, m) = row.expect("row");
            (id, (Stat::new(x, t_x, t), Spend::new(x, m)))
        })
        .collect()
}

pub struct Counted {
    pub stat: Stat,
    pub spend: Spend,
    /// Purchase days after the as-of day.
    pub actual: u64,
}

/// sample id → exact days counted from the orders as of 1997-09-30: one purchase a customer and day, the first not a
/// repeat, weeks = days ÷ 7, m = mean value of the repeat days.
pub fn counted() -> BTreeMap<u32, Counted> {
    let as_of = jiff::civil::date(1997, 9, 30);
    let mut days: BTreeMap<u32, BTreeMap<jiff::civil::Date, f64>> = BTreeMap::new();
    for line in std::fs::read_to_string(path("CDNOW_sample.txt"))
        .expect("sample")
        .lines()
    {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [_, id, day, _, dollars] = fields[..] else {
            continue;
        };
        let day = jiff::civil::Date::strptime("%Y%m%d", day).expect("day");
        *days
            .entry(id.parse().expect("id"))
            .or_default()
            .entry(day)
            .or_default() += dollars.parse::<f64>().expect("dollars");
    }
    days.into_iter()
        .map(|(id, days)| {
            let weeks = |from, to: jiff::civil::Date| {
                f64::from(to.since(from).expect("days").get_days()) / 7.0
            };
            let known: Vec<_> = days.range(..=as_of).collect();
            let (first, last) = (*known[0].0, *known[known.len() - 1].0);
            let x = (known.len() - 1) as f64;
            let total: f64 = known[1..].iter().map(|(_, dollars)| **dollars).sum();
            let m = if x > 0.0 { total / x } else { 0.0 };
            let actual = (days.len() - known.len()) as u64;
            let stat = Stat::new(x, weeks(first, last), weeks(first, as_of));
            (
                id,
                Counted {
                    stat,
                    spend: Spend::new(x, m),
                    actual,
                },
            )
        })
        .collect()
}

pub fn close(found: f64, expected: f64, relative: f64, what: &str) {
    let off = (found - expected).abs() / expected.abs().max(f64::MIN_POSITIVE);
    assert!(
        off <= relative || found == expected,
        "{what}: {found} is not {expected} (off by {off:e} of it)"
    );
}
