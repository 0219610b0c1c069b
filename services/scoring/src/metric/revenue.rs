//! Revenue: orders of the period less the refunds given in it.

use std::collections::{BTreeMap, HashMap};

use regard_models::special::normal_two_sided;
use regard_types::{Day, Uuid, Zone};

use super::behaviour::channel_code;
use super::domain::{LEVEL, Span, Value, count, number};
use crate::event::{Event, Kind};

#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    orders: usize,
    gross: i64,
    refunds: i64,
    people: usize,
    /// Sum of the squares of the customers' net values; whole, so that it is the same in any order of customers.
    squares: u128,
}

impl Sums {
    /// Where the total would lie with as many other customers of the same kind: normal, with the variance between customers
    /// (Cochran 1977, a total over independent units). None for fewer than two.
    fn interval(&self) -> Option<(f64, f64)> {
        if self.people < 2 {
            return None;
        }
        let n = number(self.people);
        let total = to_f64(self.gross.saturating_sub(self.refunds));
        let variance = (whole(self.squares) - total * total / n).max(0.0) / (n - 1.0);
        let half = normal_two_sided(LEVEL) * (n * variance).sqrt();
        half.is_finite().then_some((total - half, total + half))
    }
}

#[allow(clippy::cast_precision_loss)]
fn to_f64(minor: i64) -> f64 {
    minor as f64
}

#[allow(clippy::cast_precision_loss)]
fn whole(number: u128) -> f64 {
    number as f64
}

/// Sums customers, one after the other.
#[derive(Debug)]
pub struct Adder {
    span: Span,
    zone: Zone,
    by_channel: bool,
    groups: BTreeMap<String, Sums>,
}

impl Adder {
    /// Nothing yet.
    #[must_use]
    pub fn new(span: Span, zone: Zone, by_channel: bool) -> Self {
        let mut groups = BTreeMap::new();
        if !by_channel {
            groups.insert(String::new(), Sums::default());
        }
        Self {
            span,
            zone,
            by_channel,
            groups,
        }
    }

    /// Adds a customer's events.
    pub fn add(&mut self, events: &[Event]) {
        let mut latest: HashMap<(Kind, Uuid), &Event> = HashMap::with_capacity(events.len());
        for e in events
            .iter()
            .filter(|e| matches!(e.kind, Kind::Order | Kind::Refund))
        {
            let known = latest.entry((e.kind, e.record.0)).or_insert(e);
            if e.version > known.version {
                *known = e;
            }
        }
        let mut net: HashMap<String, i64> = HashMap::new();
        for e in latest
            .values()
            .filter(|e| e.live && within(e, self.span, &self.zone))
        {
            let order = match e.kind {
                Kind::Refund => e
                    .link
                    .and_then(|order| latest.get(&(Kind::Order, order)).copied()),
                _ => Some(*e),
            };
            // A voided order takes its refunds with it, as in the customer's own value.
            if e.kind == Kind::Refund && order.is_some_and(|order| !order.live) {
                continue;
            }
            let group = if self.by_channel {
                channel_code(order.unwrap_or(e).channel)
            } else {
                String::new()
            };
            let sums = self.groups.entry(group.clone()).or_default();
            let own = net.entry(group).or_default();
            if e.kind == Kind::Order {
                sums.orders += 1;
                sums.gross = sums.gross.saturating_add(e.value);
                *own = own.saturating_add(e.value);
            } else {
                sums.refunds = sums.refunds.saturating_add(e.value);
                *own = own.saturating_sub(e.value);
            }
        }
        for (group, own) in net {
            let sums = self.groups.entry(group).or_default();
            sums.people += 1;
            let own = u128::from(own.unsigned_abs());
            sums.squares = sums.squares.saturating_add(own * own);
        }
    }

    /// The sums, by group.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn values(self) -> Vec<Value> {
        let one = |(group, s): (String, Sums)| {
            if s.people == 0 {
                return Value::absent(&group, "no order and no refund within the period");
            }
            let mut parts = vec![("gross", s.gross as f64), ("refunds", s.refunds as f64)];
            if s.orders > 0 {
                parts.push(("average_order", s.gross as f64 / number(s.orders)));
            }
            parts.push(("people", number(s.people)));
            Value {
                group,
                value: Some(s.gross.saturating_sub(s.refunds) as f64),
                interval: s.interval(),
                n: count(s.orders),
                people: count(s.people),
                parts,
                ..Value::default()
            }
        };
        self.groups.into_iter().map(one).collect()
    }
}

fn within(e: &Event, span: Span, zone: &Zone) -> bool {
    let day = Day::of(e.occurred, zone);
    span.from.is_none_or(|from| day >= from) && day <= span.to
}
