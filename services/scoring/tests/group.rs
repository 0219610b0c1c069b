//! Groups by merge edges: the same for everybody, in whatever order edges come.
#![allow(clippy::unwrap_used)]

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;
use regard_scoring::event::store::Edge;
use regard_scoring::group::domain::{canonical, live_edges};
use regard_types::Uuid;

fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

/// Edges among eight customers, each record with up to three versions; an edge's ends never change.
fn edges() -> impl Strategy<Value = Vec<Edge>> {
    let one = (0u128..10, 1i64..4, any::<bool>());
    (
        proptest::collection::vec((1u128..9, 1u128..9), 10),
        proptest::collection::vec(one, 0..24),
    )
        .prop_map(|(ends, versions)| {
            let mut unique: HashMap<(u128, i64), Edge> = HashMap::new();
            for (record, version, live) in versions {
                let (from, into) = ends[usize::try_from(record).unwrap()];
                let edge = Edge {
                    from: id(from),
                    into: id(into),
                    record: id(100 + record),
                    version,
                    live,
                };
                unique.entry((record, version)).or_insert(edge);
            }
            let mut edges: Vec<Edge> = unique.into_values().collect();
            edges.sort_unstable_by_key(|e| (e.record, e.version));
            edges
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn groups_do_not_depend_on_the_order_of_edges(edges in edges()) {
        let live = live_edges(&edges);
        let mut turned = edges.clone();
        turned.reverse();
        turned.extend(edges.iter().copied());
        prop_assert_eq!(&live_edges(&turned), &live);
        for n in 1..9 {
            let root = canonical(&live, id(n));
            // The end of an end is itself, and everybody on the way agrees.
            prop_assert_eq!(canonical(&live, root), root);
            if let Some(next) = live.get(&id(n)) {
                prop_assert_eq!(canonical(&live, *next), root);
            } else {
                prop_assert_eq!(root, id(n));
            }
        }
    }

    #[test]
    fn without_a_cycle_the_customer_is_where_no_edge_leaves(edges in edges()) {
        // Towards larger ids only: no cycle can arise.
        let edges: Vec<Edge> = edges.into_iter().filter(|e| e.from < e.into).collect();
        let live = live_edges(&edges);
        for n in 1..9 {
            prop_assert!(!live.contains_key(&canonical(&live, id(n))));
        }
    }

    #[test]
    fn undoing_every_merge_leaves_everybody_alone(edges in edges()) {
        let mut undone = edges.clone();
        let records: HashSet<Uuid> = edges.iter().map(|e| e.record).collect();
        for record in records {
            let last = edges.iter().filter(|e| e.record == record).max_by_key(|e| e.version).unwrap();
            undone.push(Edge { version: last.version + 1, live: false, ..*last });
        }
        prop_assert!(live_edges(&undone).is_empty());
    }
}
