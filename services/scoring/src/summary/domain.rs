//! The fold. Integers only, so that two folds of the same events are equal to the bit.

use std::collections::{BTreeMap, HashMap};

use regard_types::{Day, RecordId, Uuid, Zone};

use crate::event::{Event, Kind};

/// A customer's sufficient statistics as known on a day. Counting rules: "Counting" in the mathematics document —
/// a purchase day is a day in the tenant's zone with at least one order that is not fully refunded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// First purchase day.
    pub first_day: Option<Day>,
    /// Last purchase day.
    pub last_day: Option<Day>,
    /// Purchase days, the first included.
    pub purchase_days: i64,
    /// Orders that count.
    pub orders: i64,
    /// Units of the orders that count.
    pub units: i64,
    /// Gross value of the orders that count, in minor units.
    pub gross: i64,
    /// Refunds linked to orders that count, in minor units.
    pub refunded: i64,
    /// Refunds without an order, in minor units.
    pub refunded_unlinked: i64,
    /// Net value (gross less linked refunds) of all purchase days but the first, in minor units.
    pub repeat_net: i64,
    /// Complaints raised.
    pub complaints: i64,
    /// Of those, not resolved yet.
    pub complaints_open: i64,
    /// The day of becoming a customer, where it is known.
    pub since: Option<Day>,
    /// The latest answer to each question, by survey and question.
    pub answers: Vec<AnswerFact>,
    /// The first day after the as-of day on which an event lies: the summary must be folded again by then.
    pub next_day: Option<Day>,
}

/// The latest answer of a customer to a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnswerFact {
    /// The survey.
    pub survey: Uuid,
    /// The question's code.
    pub question: String,
    /// The metric that it measures.
    pub metric: String,
    /// The dimension that it is about.
    pub dimension: String,
    /// When it was given: the day in the tenant's zone.
    pub day: Day,
    /// The answer.
    pub value: i32,
    /// Lowest answer of the scale.
    pub scale_min: i32,
    /// Highest answer of the scale.
    pub scale_max: i32,
}

impl AnswerFact {
    /// The answer rescaled to 0..100; None on an empty scale.
    #[must_use]
    pub fn rescaled(&self) -> Option<f64> {
        let width = f64::from(self.scale_max) - f64::from(self.scale_min);
        (width > 0.0).then(|| (f64::from(self.value) - f64::from(self.scale_min)) / width * 100.0)
    }
}

impl Summary {
    /// Further purchase days after the first.
    #[must_use]
    pub fn x(&self) -> i64 {
        (self.purchase_days - 1).max(0)
    }

    /// Net value: gross less all refunds, in minor units. Negative only by refunds.
    #[must_use]
    pub fn net(&self) -> i64 {
        self.gross
            .saturating_sub(self.refunded)
            .saturating_sub(self.refunded_unlinked)
    }

    /// The share of value that unlinked refunds leave, 0 to 1.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn net_factor(&self) -> f64 {
        if self.gross <= 0 {
            return 1.0;
        }
        (1.0 - self.refunded_unlinked as f64 / self.gross as f64).clamp(0.0, 1.0)
    }

    /// Mean net value of the repeat days in minor units; None without one.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn mean_repeat(&self) -> Option<f64> {
        (self.x() > 0).then(|| self.repeat_net as f64 / self.x() as f64 * self.net_factor())
    }

    /// Frequency, recency and observation time in weeks at the end of `day`; None without a purchase by then.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn stat(&self, day: Day) -> Option<regard_models::summary::Stat> {
        let (first, last) = (self.first_day?, self.last_day?);
        (first <= day && last <= day).then(|| regard_models::summary::Stat {
            x: self.x() as f64,
            t_x: f64::from(last.since(first)) / 7.0,
            t: f64::from(day.since(first)) / 7.0,
            weight: 1.0,
        })
    }
}

#[derive(Default)]
struct DayTotal {
    /// Orders that are not fully refunded.
    counting: i64,
    net: i64,
}

/// Folds a customer's events, of all its arrival ids, in any order and with old versions and repeats among them, into
/// what was so at the end of `day`.
#[must_use]
pub fn fold(events: &[Event], zone: &Zone, day: Day) -> Summary {
    let mut s = Summary::default();
    let current = known(events, zone, day, &mut s);
    purchases(&current, zone, &mut s);
    said(&current, zone, day, &mut s);
    s
}

/// The purchase days of a customer as known at the end of `day`, each with its net value (gross less linked refunds) in minor
/// units, ascending. What [`fold`] counts.
#[must_use]
pub fn purchase_days(events: &[Event], zone: &Zone, day: Day) -> Vec<(Day, i64)> {
    let mut s = Summary::default();
    let current = known(events, zone, day, &mut s);
    let days = purchases(&current, zone, &mut s);
    days.into_iter()
        .map(|(day, total)| (day, total.net))
        .collect()
}

/// The latest versions that count and that lie up to `day`, each once; notes who the customer is, and the first day after it.
fn known<'a>(events: &'a [Event], zone: &Zone, day: Day, s: &mut Summary) -> Vec<&'a Event> {
    let mut latest: HashMap<(Kind, RecordId), i64> = HashMap::with_capacity(events.len());
    for e in events {
        let v = latest.entry((e.kind, e.record)).or_insert(e.version);
        *v = (*v).max(e.version);
    }
    let mut current: Vec<&Event> = Vec::with_capacity(events.len());
    for e in events {
        if e.anonymous || !e.live || latest.get(&(e.kind, e.record)) != Some(&e.version) {
            continue;
        }
        if e.kind == Kind::Customer {
            // Who became a customer when is not an event of that day.
            let since = i32::try_from(e.aux).ok().map(Day);
            s.since = [s.since, since].into_iter().flatten().min();
            continue;
        }
        if e.kind == Kind::Merge {
            continue;
        }
        let on = Day::of(e.occurred, zone);
        if on > day {
            s.next_day = Some(s.next_day.map_or(on, |d| d.min(on)));
        } else {
            current.push(e);
        }
    }
    // The same version can lie in the store once only, but a caller may hand it over twice.
    current.sort_unstable_by_key(|e| (e.kind, e.record, e.part));
    current.dedup_by_key(|e| (e.kind, e.record, e.part));
    current
}

fn purchases(current: &[&Event], zone: &Zone, s: &mut Summary) -> BTreeMap<Day, DayTotal> {
    let mut refunds: HashMap<Uuid, i64> = HashMap::new();
    for e in current.iter().filter(|e| e.kind == Kind::Refund) {
        match e.link {
            Some(order) => {
                let sum = refunds.entry(order).or_default();
                *sum = sum.saturating_add(e.value);
            }
            None => s.refunded_unlinked = s.refunded_unlinked.saturating_add(e.value),
        }
    }
    let mut days: BTreeMap<Day, DayTotal> = BTreeMap::new();
    for e in current.iter().filter(|e| e.kind == Kind::Order) {
        let back = refunds.get(&e.record.0).copied().unwrap_or(0);
        s.orders += 1;
        s.units = s.units.saturating_add(e.aux);
        s.gross = s.gross.saturating_add(e.value);
        s.refunded = s.refunded.saturating_add(back);
        let total = days.entry(Day::of(e.occurred, zone)).or_default();
        total.net = total.net.saturating_add(e.value.saturating_sub(back));
        if !(back > 0 && back >= e.value) {
            total.counting += 1;
        }
    }
    days.retain(|_, t| t.counting > 0);
    s.purchase_days = i64::try_from(days.len()).unwrap_or(i64::MAX);
    s.first_day = days.keys().next().copied();
    s.last_day = days.keys().next_back().copied();
    s.repeat_net = days
        .values()
        .skip(1)
        .fold(0, |sum, t| sum.saturating_add(t.net));
    days
}

fn said(current: &[&Event], zone: &Zone, day: Day, s: &mut Summary) {
    let mut latest: BTreeMap<(Uuid, &str), &Event> = BTreeMap::new();
    for e in current {
        match e.kind {
            Kind::Complaint => {
                s.complaints += 1;
                let on = (e.aux != Event::NONE).then(|| Day::of(regard_types::Micros(e.aux), zone));
                s.complaints_open += i64::from(on.is_none_or(|on| on > day));
                if let Some(on) = on.filter(|on| *on > day) {
                    s.next_day = Some(s.next_day.map_or(on, |d| d.min(on)));
                }
            }
            Kind::Answer => {
                let Some(survey) = e.link else { continue };
                let known = latest.entry((survey, &e.question)).or_insert(e);
                // Two answers of one instant: the larger record id, so that order of arrival does not matter.
                if (e.occurred, e.record) > (known.occurred, known.record) {
                    *known = e;
                }
            }
            Kind::Customer | Kind::Order | Kind::Refund | Kind::Merge | Kind::Item => {}
        }
    }
    s.answers = latest
        .into_iter()
        .map(|((survey, question), e)| AnswerFact {
            survey,
            question: question.to_owned(),
            metric: e.metric.clone(),
            dimension: e.dimension.clone(),
            day: Day::of(e.occurred, zone),
            value: i32::try_from(e.value).unwrap_or(0),
            scale_min: e.scale().0,
            scale_max: e.scale().1,
        })
        .collect();
}
