//! Metrics of who buys. Definitions: "Shipped definitions" in the mathematics document.

use std::collections::BTreeMap;

use regard_models::attitude::share_from_counts;
use regard_types::{Channel, Day, Micros, Zone};

use super::domain::{LEVEL, Span, Value, count, ends, number};
use crate::event::{Event, Kind};
use crate::summary::domain::purchase_days;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// Active at the start and not at the end, of those active at the start.
    Churn,
    /// No purchase in the window, of all who bought.
    Lapsed,
    /// A second purchase day within the window after the first, of those first seen a window ago.
    Repeat,
}

/// Counts of a group.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    base: usize,
    hits: usize,
    /// With a second purchase day ever, and all who bought.
    repeaters: usize,
    buyers: usize,
    left_out: usize,
}

/// Counts customers, one after the other.
#[derive(Debug)]
pub struct Counter {
    measure: Measure,
    window: i32,
    span: Span,
    zone: Zone,
    history_start: Option<Day>,
    by_channel: bool,
    groups: BTreeMap<String, Counts>,
}

impl Counter {
    /// Nobody yet.
    #[must_use]
    pub fn new(
        measure: Measure,
        window: i32,
        span: Span,
        zone: Zone,
        history_start: Option<Day>,
        by_channel: bool,
    ) -> Self {
        let mut groups = BTreeMap::new();
        if !by_channel {
            groups.insert(String::new(), Counts::default());
        }
        Self {
            measure,
            window,
            span,
            zone,
            history_start,
            by_channel,
            groups,
        }
    }

    /// Counts a customer by its events.
    pub fn add(&mut self, events: &[Event]) {
        let known = purchase_days(events, &self.zone, self.span.as_of);
        let days: Vec<Day> = known
            .into_iter()
            .map(|(day, _)| day)
            .filter(|day| *day <= self.span.to)
            .collect();
        let Some(first) = days.first().copied() else {
            return;
        };
        let group = if self.by_channel {
            channel_code(first_channel(events, &self.zone, first))
        } else {
            String::new()
        };
        let between = |after: Day, until: Day| days.iter().any(|day| *day > after && *day <= until);
        let Span { from, to, .. } = self.span;
        let window = self.window;
        let counts = self.groups.entry(group).or_default();
        counts.buyers += 1;
        counts.repeaters += usize::from(days.len() > 1);
        match self.measure {
            Measure::Churn => {
                let start = from.unwrap_or(to.plus(1 - window)).plus(-1);
                if between(start.plus(-window), start) {
                    counts.base += 1;
                    counts.hits += usize::from(!between(to.plus(-window), to));
                }
            }
            Measure::Lapsed => {
                if from.is_none_or(|from| days.last().is_some_and(|last| *last >= from)) {
                    counts.base += 1;
                    counts.hits += usize::from(!between(to.plus(-window), to));
                }
            }
            Measure::Repeat => {
                if self
                    .history_start
                    .is_some_and(|start| since(events).is_none_or(|since| since < start))
                {
                    // The first purchase that is known need not be the first.
                    counts.left_out += 1;
                } else if first <= to.plus(-window) && from.is_none_or(|from| first >= from) {
                    counts.base += 1;
                    counts.hits += usize::from(between(first, first.plus(window)));
                }
            }
        }
    }

    /// The shares, by group.
    #[must_use]
    pub fn values(self) -> Vec<Value> {
        let measure = self.measure;
        self.groups
            .into_iter()
            .map(|(group, counts)| value(measure, &group, counts))
            .collect()
    }
}

fn value(measure: Measure, group: &str, c: Counts) -> Value {
    let (hits, nobody) = match measure {
        Measure::Churn => ("churned", "nobody was active at the period's start"),
        Measure::Lapsed => ("lapsed", "nobody has bought"),
        Measure::Repeat => (
            "repeated",
            "nobody was first seen a window before the period's end",
        ),
    };
    let mut out = match share_from_counts(c.hits, c.base, LEVEL) {
        Ok(share) => Value {
            group: group.to_owned(),
            value: Some(share.share),
            interval: Some(ends(share.interval)),
            ..Value::default()
        },
        Err(_) => Value::absent(group, nobody),
    };
    out.n = count(c.base);
    out.people = out.n;
    out.parts.push((hits, number(c.hits)));
    if measure == Measure::Repeat {
        if let Ok(lifetime) = share_from_counts(c.repeaters, c.buyers, LEVEL) {
            out.parts.push(("lifetime_rate", lifetime.share));
        }
        out.parts.push(("buyers", number(c.buyers)));
        if c.left_out > 0 {
            out.parts.push(("left_out", number(c.left_out)));
        }
    }
    out
}

/// When the customer became one, as the latest version of each of its arrivals says.
fn since(events: &[Event]) -> Option<Day> {
    let latest = |e: &&Event| {
        !events
            .iter()
            .any(|o| o.kind == Kind::Customer && o.record == e.record && o.version > e.version)
    };
    let arrivals = events
        .iter()
        .filter(|e| e.kind == Kind::Customer && e.live)
        .filter(latest);
    arrivals
        .filter_map(|e| i32::try_from(e.aux).ok().map(Day))
        .min()
}

/// The channel of the first order of a day.
fn first_channel(events: &[Event], zone: &Zone, day: Day) -> Option<Channel> {
    let on_day = events
        .iter()
        .filter(|e| e.kind == Kind::Order && e.live && Day::of(e.occurred, zone) == day);
    let first = on_day.min_by_key(|e| (e.occurred, e.record, -e.version));
    first.and_then(|e| e.channel)
}

/// The code of a channel in groups.
#[must_use]
pub fn channel_code(channel: Option<Channel>) -> String {
    channel.map_or("unknown", Channel::as_str).to_owned()
}

/// The last instant of a day, excluded.
#[must_use]
pub fn end(day: Day, zone: &Zone) -> Micros {
    day.plus(1).start(zone)
}
