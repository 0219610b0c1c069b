//! The scores of each customer, and the CSV of them.

use std::io::Write;

use anyhow::Context as _;
use rayon::prelude::*;
use regard_models::predictive::Purchases;
use regard_models::rfm::{Bins, Buyer, Rfm};
use regard_models::{Grade, Model, Stat, bgnbd, clv, gamma_gamma, mbgnbd};
use regard_types::Day;

use super::LEVEL;
use super::counting::{History, units};
use super::learn::Learnt;
use crate::read::decimal;

/// Horizon of `no_purchase_13w`.
const LAPSE_WEEKS: f64 = 13.0;

/// One customer; None where a score is not defined.
#[derive(Debug, Clone)]
pub struct Scored {
    pub history: History,
    pub stat: Option<Stat>,
    pub outlook: Option<Outlook>,
    pub p_alive: Option<f64>,
    /// Revenue of the next 12 months, discounted, net of the usual refunds.
    pub residual_clv: Option<f64>,
    pub rfm: Option<Bins>,
    /// The worst grade among the models of this row's scores.
    pub grade: Grade,
    pub note: &'static str,
}

/// What BG/NBD says; equal for equal histories, so worked out once for each.
#[derive(Debug, Clone, Copy)]
pub struct Outlook {
    pub expected: f64,
    pub low: u64,
    pub high: u64,
    pub no_purchase_13w: f64,
    /// Σ expected purchases × discount over the steps of the residual value.
    discounted: f64,
}

/// Scores all customers; `net_factor` is the share of revenue that refunds leave.
#[must_use]
pub fn score(
    known: &[History],
    learnt: &Learnt,
    as_of: Day,
    horizon_weeks: f64,
    net_factor: f64,
) -> Vec<Scored> {
    let buyers: Vec<Buyer> = known.iter().filter_map(|h| buyer(h, as_of)).collect();
    let rfm = Rfm::new(&buyers);
    let mut keys: Vec<Key> = known.iter().filter_map(|h| key(h, as_of)).collect();
    keys.sort_unstable();
    keys.dedup();
    let outlooks: Vec<Outlook> = match &learnt.bgnbd {
        Ok(fit) => keys
            .par_iter()
            .map(|key| outlook(&fit.params, &stat_of(*key), horizon_weeks))
            .collect(),
        Err(_) => Vec::new(),
    };
    let grade = grade(learnt);
    known
        .par_iter()
        .map(|history| {
            let stat = history.stat(as_of);
            let found = key(history, as_of)
                .and_then(|key| keys.binary_search(&key).ok())
                .and_then(|at| outlooks.get(at))
                .copied();
            let value = learnt
                .gamma_gamma
                .as_ref()
                .ok()
                .and_then(|fit| gamma_gamma::expected_value(&fit.params, &history.spend()));
            let note = match (stat, found, value) {
                (None, ..) => "refunds but no purchase",
                (_, None, _) => "too little data for a purchase model",
                (.., None) => "no expected value of a purchase",
                _ => "",
            };
            Scored {
                history: *history,
                stat,
                outlook: found,
                p_alive: stat.and_then(|s| {
                    learnt
                        .mbgnbd
                        .as_ref()
                        .ok()
                        .map(|fit| mbgnbd::p_alive(&fit.params, &s))
                }),
                residual_clv: found
                    .zip(value)
                    .map(|(o, value)| o.discounted * value * net_factor)
                    .filter(|v| v.is_finite()),
                rfm: rfm
                    .as_ref()
                    .and_then(|rfm| buyer(history, as_of).map(|b| rfm.bins(&b))),
                grade: if found.is_some() && stat.is_some() {
                    grade
                } else {
                    Grade::E
                },
                note,
            }
        })
        .collect()
}

/// Repeat days, days from first to last purchase, days observed.
type Key = (u32, i32, i32);

fn key(history: &History, as_of: Day) -> Option<Key> {
    history
        .days
        .map(|(first, last)| (history.x, last.since(first), as_of.since(first)))
}

fn stat_of((x, t_x, t): Key) -> Stat {
    Stat::new(f64::from(x), f64::from(t_x) / 7.0, f64::from(t) / 7.0)
}

fn outlook(params: &bgnbd::Params, stat: &Stat, horizon_weeks: f64) -> Outlook {
    let future = Purchases::new(Model::BgNbd, params, stat, horizon_weeks);
    let (low, high) = future.interval(LEVEL);
    let posterior = regard_models::purchase::Posterior::new(Model::BgNbd, params, stat);
    let mut before = 0.0;
    let mut discounted = 0.0;
    for step in 1..=clv::STEPS {
        let until = posterior.expected(clv::STEP_WEEKS * f64::from(step));
        let discount = (1.0 + clv::ANNUAL_RATE).powf(-f64::from(step) / f64::from(clv::STEPS));
        discounted += (until - before).max(0.0) * discount;
        before = until;
    }
    Outlook {
        expected: future.mean(),
        low,
        high,
        no_purchase_13w: posterior.no_purchase(LAPSE_WEEKS),
        discounted,
    }
}

fn buyer(history: &History, as_of: Day) -> Option<Buyer> {
    let (_, last) = history.days?;
    Some(Buyer {
        days_since: f64::from(as_of.since(last)),
        purchase_days: f64::from(history.x) + 1.0,
        net_total: units(history.net()),
    })
}

fn grade(learnt: &Learnt) -> Grade {
    let of = |grade: Result<Grade, ()>| grade.unwrap_or(Grade::A);
    let purchase = learnt.bgnbd.as_ref().map(|f| f.grade).map_err(|_| ());
    let alive = learnt.mbgnbd.as_ref().map(|f| f.grade).map_err(|_| ());
    let value = learnt.gamma_gamma.as_ref().map(|f| f.grade).map_err(|_| ());
    of(purchase).max(of(alive)).max(of(value))
}

const HEADER: [&str; 19] = [
    "customer",
    "first_purchase",
    "last_purchase",
    "x",
    "t_x",
    "T",
    "m",
    "p_alive",
    "expected_purchases",
    "expected_purchases_low",
    "expected_purchases_high",
    "no_purchase_13w",
    "residual_clv",
    "historic_value",
    "rfm_r",
    "rfm_f",
    "rfm_m",
    "grade",
    "note",
];

/// Writes scored customers, the most valuable first.
///
/// # Errors
/// The output cannot be written.
pub fn write(out: impl Write, scored: &mut [Scored], names: &[Box<str>]) -> anyhow::Result<()> {
    let name = |s: &Scored| names.get(s.history.customer as usize).map_or("", |n| &**n);
    let worth = |s: &Scored| s.residual_clv.unwrap_or(f64::NEG_INFINITY);
    scored.par_sort_unstable_by(|a, b| {
        worth(b)
            .total_cmp(&worth(a))
            .then_with(|| name(a).cmp(name(b)))
    });
    let mut writer = csv::WriterBuilder::new()
        .buffer_capacity(1 << 18)
        .from_writer(out);
    let failed = "cannot write the scored customers";
    writer.write_record(HEADER).context(failed)?;
    let number = |v: Option<f64>| v.map(|v| v.to_string()).unwrap_or_default();
    for s in scored.iter() {
        let h = &s.history;
        let bin = |of: fn(&Bins) -> u8| {
            s.rfm
                .as_ref()
                .map(|b| of(b).to_string())
                .unwrap_or_default()
        };
        let fields = [
            name(s).to_owned(),
            h.days.map(|d| d.0.to_string()).unwrap_or_default(),
            h.days.map(|d| d.1.to_string()).unwrap_or_default(),
            s.stat.map(|s| s.x.to_string()).unwrap_or_default(),
            number(s.stat.map(|s| s.t_x)),
            number(s.stat.map(|s| s.t)),
            number((h.x > 0).then(|| h.spend().m)),
            number(s.p_alive),
            number(s.outlook.map(|o| o.expected)),
            s.outlook.map(|o| o.low.to_string()).unwrap_or_default(),
            s.outlook.map(|o| o.high.to_string()).unwrap_or_default(),
            number(s.outlook.map(|o| o.no_purchase_13w)),
            number(s.residual_clv),
            decimal(h.net()),
            bin(|b| b.r),
            bin(|b| b.f),
            bin(|b| b.m),
            s.grade.to_string(),
            s.note.to_owned(),
        ];
        writer.write_record(&fields).context(failed)?;
    }
    writer.flush().context(failed)
}
