//! The change feed as other services see it: 32 writers at once, watched from before, during and after. Each change comes
//! exactly once and in order within its lane. The twin one level below (`shared/database/tests/feed.rs`) delays writers
//! between taking positions and committing, and shows that it fails without the lock on the lane's counter.
//!
//! Long form: `REGARD_LONG=1 cargo test -p regard-tests --test feed`.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::Rng as _;
use regard_client::{Client, Options};
use regard_proto::common::v1::FeedCursor;
use regard_proto::customer::v1 as customer;
use regard_server::service_caller;
use regard_testkit::TestStore;
use regard_tests::plan::{Plan, ids};
use regard_tests::sized;
use regard_tests::values::{order, row, try_record};
use regard_types::Clock;

regard_testkit::on_both_engines!(writers_at_once_are_seen_once_in_order);

const WRITERS: usize = 32;

/// What a watcher saw: positions and records of each lane, in order.
#[derive(Debug, Default)]
struct Seen {
    epoch: String,
    cursors: BTreeMap<u32, FeedCursor>,
    changes: BTreeMap<u32, Vec<(u64, String, i64)>>,
}

impl Seen {
    fn count(&self) -> usize {
        self.changes.values().map(Vec::len).sum()
    }

    /// Watches on from where it stands until so many changes were seen in all.
    async fn watch(&mut self, client: &Client, count: usize) {
        let request = customer::WatchChangesRequest {
            epoch: self.epoch.clone(),
            cursors: self.cursors.values().copied().collect(),
            ..Default::default()
        };
        let mut batches = client
            .customer_changes()
            .watch_changes(request)
            .await
            .unwrap()
            .into_inner();
        while self.count() < count {
            let batch = tokio::time::timeout(Duration::from_secs(30), batches.message()).await;
            let batch = batch
                .unwrap_or_else(|_| panic!("{} of {count} changes after 30 s", self.count()))
                .unwrap()
                .unwrap();
            self.epoch.clone_from(&batch.epoch);
            let stands = self.cursors.get(&batch.lane).map_or(0, |c| c.position);
            assert_eq!(
                batch.from_position, stands,
                "lane {} goes on where it stood",
                batch.lane
            );
            let cursor = FeedCursor {
                lane: batch.lane,
                position: batch.to_position,
                nonce: batch.to_nonce,
            };
            self.cursors.insert(batch.lane, cursor);
            let seen = self.changes.entry(batch.lane).or_default();
            for change in batch.changes {
                let header = change.header.unwrap();
                assert!(header.position > stands && header.position <= batch.to_position);
                seen.push((header.position, header.record_id, header.version));
            }
        }
    }

    fn check(&self, expected: &BTreeSet<(String, i64)>) {
        let mut all = BTreeSet::new();
        for (lane, changes) in &self.changes {
            assert!(
                changes.windows(2).all(|w| w[0].0 < w[1].0),
                "lane {lane} is out of order"
            );
            for (_, record, version) in changes {
                assert!(
                    all.insert((record.clone(), *version)),
                    "{record} {version} came twice"
                );
            }
        }
        assert!(
            expected.is_subset(&all),
            "{} changes are missing",
            expected.difference(&all).count()
        );
    }
}

async fn writers_at_once_are_seen_once_in_order(store: TestStore) {
    let plan = Plan {
        customer: store.url.clone(),
        ..Plan::default()
    };
    let open = plan.open(&Clock::System).await.unwrap();
    let client = |name: &str| {
        let channel = open.pipe.channel_of(service_caller(name, &ids()));
        Client::over(channel, &Options::default()).unwrap()
    };
    let per_writer = sized(8, 100);
    // One change a tenant at start; one customer and one order a record.
    let total = WRITERS * per_writer * 2 + 1;

    let before = client("before");
    let before = tokio::spawn(async move {
        let mut seen = Seen::default();
        seen.watch(&before, total).await;
        seen
    });
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..WRITERS {
        let client = client("writer");
        writers.spawn(async move {
            let mut written = Vec::new();
            for n in 0..per_writer {
                let pause = rand::rng().random_range(0..4);
                tokio::time::sleep(Duration::from_millis(pause)).await;
                let id = format!("{writer}-{n}");
                if n % 3 == 2 {
                    let rows = vec![row(&id, &id, 100, "2026-01-01")];
                    let request = customer::BatchRecordOrdersRequest {
                        rows,
                        create_missing: true,
                        ..Default::default()
                    };
                    let done = client
                        .orders()
                        .batch_record_orders(request)
                        .await
                        .unwrap()
                        .into_inner();
                    written.extend(done.orders);
                } else {
                    written.extend(
                        try_record(&client, order(&id, &id, 100, "2026-01-01"))
                            .await
                            .unwrap()
                            .order,
                    );
                }
            }
            written
        });
    }
    let during = client("during");
    let during = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(60)).await;
        let mut seen = Seen::default();
        // Leaves in the middle, and comes back.
        seen.watch(&during, total / 3).await;
        tokio::time::sleep(Duration::from_millis(30)).await;
        seen.watch(&during, total).await;
        seen
    });
    let mut expected = BTreeSet::new();
    while let Some(written) = writers.join_next().await {
        expected.extend(
            written
                .unwrap()
                .into_iter()
                .map(|order| (order.id, order.version)),
        );
    }
    assert_eq!(expected.len(), WRITERS * per_writer);
    let after = client("after");
    let mut late = Seen::default();
    late.watch(&after, total).await;
    for seen in [before.await.unwrap(), during.await.unwrap(), late] {
        assert_eq!(seen.count(), total);
        seen.check(&expected);
    }
}
