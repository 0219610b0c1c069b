//! Which customer an arrival id belongs to, from merge edges.

use std::collections::{BTreeSet, HashMap};

use regard_types::Uuid;

use crate::event::store::Edge;

/// The live edges by the customer that was merged: the latest version of each record, and of two live edges of one customer
/// (a passing state: the end of the older one is on its way) the one with the larger record id.
#[must_use]
pub fn live_edges(edges: &[Edge]) -> HashMap<Uuid, Uuid> {
    let mut latest: HashMap<Uuid, Edge> = HashMap::new();
    for e in edges {
        let known = latest.entry(e.record).or_insert(*e);
        if e.version > known.version {
            *known = *e;
        }
    }
    let mut out: HashMap<Uuid, (Uuid, Uuid)> = HashMap::new();
    for e in latest.values().filter(|e| e.live && e.from != e.into) {
        let known = out.entry(e.from).or_insert((e.record, e.into));
        if e.record > known.0 {
            *known = (e.record, e.into);
        }
    }
    out.into_iter()
        .map(|(from, (_, into))| (from, into))
        .collect()
}

/// The customer at the end of the edges; the smallest id of a cycle (another passing state).
#[must_use]
pub fn canonical(edges: &HashMap<Uuid, Uuid>, arrival: Uuid) -> Uuid {
    let mut seen = BTreeSet::new();
    let mut at = arrival;
    while let Some(&next) = edges.get(&at) {
        if !seen.insert(at) {
            return cycle_start(edges, at);
        }
        at = next;
    }
    at
}

fn cycle_start(edges: &HashMap<Uuid, Uuid>, on_cycle: Uuid) -> Uuid {
    let mut smallest = on_cycle;
    let mut at = on_cycle;
    while let Some(&next) = edges.get(&at) {
        smallest = smallest.min(next);
        at = next;
        if at == on_cycle {
            break;
        }
    }
    smallest
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn id(n: u128) -> Uuid {
        Uuid::from_u128(n)
    }

    fn edge(record: u128, from: u128, into: u128, version: i64, live: bool) -> Edge {
        Edge {
            from: id(from),
            into: id(into),
            record: id(record),
            version,
            live,
        }
    }

    #[test]
    fn chains_end_at_their_root_and_ended_edges_do_not_count() {
        let edges = live_edges(&[
            edge(1, 10, 20, 1, true),
            edge(2, 20, 30, 1, true),
            edge(3, 30, 40, 1, true),
            edge(3, 30, 40, 2, false),
        ]);
        for arrival in [10, 20, 30] {
            assert_eq!(canonical(&edges, id(arrival)), id(30));
        }
        assert_eq!(canonical(&edges, id(40)), id(40));
    }

    #[test]
    fn a_passing_cycle_is_its_smallest_id_for_everybody() {
        let edges = live_edges(&[
            edge(1, 10, 20, 1, true),
            edge(2, 20, 10, 1, true),
            edge(3, 5, 20, 1, true),
        ]);
        for arrival in [5, 10, 20] {
            assert_eq!(canonical(&edges, id(arrival)), id(10));
        }
    }
}
