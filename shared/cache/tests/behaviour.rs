//! What every cache does, from one source: in the process, in Redis, and one before the other.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;
use std::time::Duration;

use regard_cache::{Cache, Entry, Key, Local, Mark, Redis, Settings, Slot, Tiered, Vector};
use regard_testkit::{CacheKind, RedisServer, TestCache, run};
use regard_types::Uuid;

const TTL: Duration = Duration::from_secs(2);

fn settings(ttl: Duration) -> Settings {
    Settings {
        ttl,
        stale: ttl,
        ..Settings::default()
    }
}

fn key(id: u128) -> Key {
    Slot::new("test", 1, 7).key(Uuid::from_u128(1), 1, Uuid::from_u128(id))
}

fn vector(positions: &[u64]) -> Vector {
    Vector::new(positions.iter().zip(0..).map(|(&position, lane)| Mark {
        feed: 1,
        epoch: u64::MAX - 1,
        lane,
        position,
    }))
}

fn entry(version: u64, positions: &[u64]) -> Entry {
    Entry {
        version,
        vector: vector(positions),
        value: format!("value {version}").into(),
    }
}

async fn nothing_is_there_at_first(cache: impl Cache) {
    assert_eq!(cache.get(&key(1)).await, None);
    assert_eq!(cache.get_many(&[key(1), key(2)]).await, vec![None, None]);
    assert!(cache.remove(&key(1)).await);
}

async fn what_is_put_is_got(cache: impl Cache) {
    let it = entry(u64::MAX, &[u64::MAX, 0, 3]);
    assert!(cache.put(&key(1), it.clone()).await);
    assert_eq!(cache.get(&key(1)).await, Some(it));
    let empty = Entry {
        version: 0,
        vector: Vector::default(),
        value: vec![0, 255, 0].into(),
    };
    assert!(cache.put(&key(2), empty.clone()).await);
    assert_eq!(cache.get(&key(2)).await, Some(empty));
    let other_day = Slot::new("test", 1, 7).key(Uuid::from_u128(1), 2, Uuid::from_u128(1));
    let other_tenant = Slot::new("test", 1, 7).key(Uuid::from_u128(2), 1, Uuid::from_u128(1));
    let other_slot = Slot::new("tests", 1, 7).key(Uuid::from_u128(1), 1, Uuid::from_u128(1));
    let other_schema = Slot::new("test", 2, 7).key(Uuid::from_u128(1), 1, Uuid::from_u128(1));
    let other_store = Slot::new("test", 1, 8).key(Uuid::from_u128(1), 1, Uuid::from_u128(1));
    for other in [
        other_day,
        other_tenant,
        other_slot,
        other_schema,
        other_store,
    ] {
        assert_eq!(cache.get(&other).await, None, "{}", other.text());
    }
}

async fn an_older_version_never_replaces_a_newer(cache: impl Cache) {
    // Around the limits of 32 and 53 bits, where a careless comparison breaks.
    for (id, version) in [2, 1 << 31, 1 << 32, (1 << 53) + 1, u64::MAX]
        .into_iter()
        .enumerate()
    {
        let key = key(id as u128);
        assert!(cache.put(&key, entry(version, &[5])).await);
        assert!(cache.put(&key, entry(version - 1, &[9, 9])).await);
        assert_eq!(cache.get(&key).await, Some(entry(version, &[5])));
        if version < u64::MAX {
            assert!(cache.put(&key, entry(version + 1, &[1])).await);
            assert_eq!(cache.get(&key).await, Some(entry(version + 1, &[1])));
        }
    }
}

async fn the_same_version_joins_vectors(cache: impl Cache) {
    assert!(cache.put(&key(1), entry(3, &[5, 1 << 53, 0])).await);
    assert!(
        cache
            .put(&key(1), entry(3, &[4, (1 << 53) + 1, 7, 2]))
            .await
    );
    assert_eq!(
        cache.get(&key(1)).await,
        Some(entry(3, &[5, (1 << 53) + 1, 7, 2]))
    );
    assert!(cache.put(&key(1), entry(3, &[])).await);
    assert_eq!(
        cache.get(&key(1)).await,
        Some(entry(3, &[5, (1 << 53) + 1, 7, 2]))
    );
}

async fn many_are_put_and_got_in_order(cache: impl Cache) {
    let entries: Vec<(Key, Entry)> = (0..1000)
        .map(|i| (key(i), entry(u64::try_from(i).unwrap() + 1, &[1])))
        .collect();
    assert!(cache.put(&key(3), entry(5000, &[])).await);
    assert!(cache.put_many(&entries).await);
    let keys: Vec<Key> = (0..1001).rev().map(key).collect();
    let found = cache.get_many(&keys).await;
    assert_eq!(found.len(), 1001);
    assert_eq!(found[0], None);
    for (i, found) in found.iter().rev().enumerate().take(1000) {
        let expected = if i == 3 {
            entry(5000, &[])
        } else {
            entries[i].1.clone()
        };
        assert_eq!(found.as_ref(), Some(&expected));
    }
    assert!(cache.put_many(&[]).await);
    assert!(cache.get_many(&[]).await.is_empty());
}

async fn a_removed_entry_is_gone_and_may_come_back_older(cache: impl Cache) {
    assert!(cache.put(&key(1), entry(5, &[])).await);
    assert!(cache.remove(&key(1)).await);
    assert_eq!(cache.get(&key(1)).await, None);
    assert!(cache.put(&key(1), entry(4, &[])).await);
    assert_eq!(cache.get(&key(1)).await, Some(entry(4, &[])));
}

async fn an_entry_ends_after_its_life_and_the_same_version_renews_it(cache: impl Cache) {
    assert!(cache.put(&key(1), entry(5, &[])).await);
    assert!(cache.put(&key(2), entry(5, &[])).await);
    tokio::time::sleep(TTL * 6 / 10).await;
    assert!(cache.get(&key(1)).await.is_some());
    assert!(cache.put(&key(2), entry(5, &[])).await);
    tokio::time::sleep(TTL * 6 / 10).await;
    assert_eq!(cache.get(&key(1)).await, None);
    assert_eq!(cache.get(&key(2)).await, Some(entry(5, &[])));
}

async fn thirty_two_writers_leave_the_newest(cache: impl Cache + 'static) {
    let cache = Arc::new(cache);
    let rounds = 60;
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..32u64 {
        let cache = Arc::clone(&cache);
        writers.spawn(async move {
            for round in 0..rounds {
                let version = 1 + (writer * 7919 + round * 104_729) % 500;
                let lane = u16::try_from(writer).unwrap();
                let mark = Mark {
                    feed: 1,
                    epoch: 1,
                    lane,
                    position: round + 1,
                };
                let one = Entry {
                    version,
                    vector: Vector::new([mark]),
                    value: version.to_string().into(),
                };
                cache.put(&key(1), one).await;
                // Whoever reads back sees nothing older, and a value that belongs to its version.
                if let Some(seen) = cache.get(&key(1)).await {
                    assert!(seen.version >= version, "{} after {version}", seen.version);
                    assert_eq!(seen.value, seen.version.to_string());
                }
            }
        });
    }
    while let Some(done) = writers.join_next().await {
        done.unwrap();
    }
    let newest = (0..32u64)
        .flat_map(|w| (0..rounds).map(move |r| 1 + (w * 7919 + r * 104_729) % 500))
        .max()
        .unwrap();
    let last = cache.get(&key(1)).await.unwrap();
    assert_eq!(last.version, newest);
    // Every writer of the newest version has its mark in the joined vector.
    for writer in 0..32u64 {
        let best = (0..rounds)
            .filter(|r| 1 + (writer * 7919 + r * 104_729) % 500 == newest)
            .max();
        let mark = last
            .vector
            .marks()
            .iter()
            .find(|m| u64::from(m.lane) == writer);
        assert_eq!(mark.map(|m| m.position), best.map(|r| r + 1));
    }
}

async fn local() -> Local {
    Local::new(&settings(TTL))
}

async fn in_redis() -> Redis {
    let url = TestCache::new(CacheKind::Redis).await.redis_url.unwrap();
    Redis::open(&url, &settings(TTL)).unwrap()
}

async fn tiered() -> Tiered {
    Tiered::new(settings(TTL), Some(in_redis().await))
}

async fn tiered_alone() -> Tiered {
    Tiered::new(settings(TTL), None)
}

macro_rules! on_all_caches {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            #[test]
            fn memory() {
                super::run(async { super::$name(super::local().await).await });
            }
            #[test]
            fn redis() {
                super::run(async { super::$name(super::in_redis().await).await });
            }
            #[test]
            fn tiered() {
                super::run(async { super::$name(super::tiered().await).await });
            }
            #[test]
            fn tiered_without_redis() {
                super::run(async { super::$name(super::tiered_alone().await).await });
            }
        }
    )+

        /// One server for the whole suite: a cluster and a Sentinel take seconds to start.
        async fn all_of_it(server: &RedisServer, url: &str) {
            $(
                let node = redis::Client::open(format!("redis://127.0.0.1:{}", server.port())).unwrap();
                let mut node = node.get_connection().unwrap();
                redis::cmd("FLUSHALL").exec(&mut node).unwrap();
                $name(Redis::open(url, &settings(TTL)).unwrap()).await;
            )+
        }
    };
}

on_all_caches!(
    nothing_is_there_at_first,
    what_is_put_is_got,
    an_older_version_never_replaces_a_newer,
    the_same_version_joins_vectors,
    many_are_put_and_got_in_order,
    a_removed_entry_is_gone_and_may_come_back_older,
    an_entry_ends_after_its_life_and_the_same_version_renews_it,
    thirty_two_writers_leave_the_newest,
);

/// A cluster refuses requests that name keys of several slots.
#[test]
fn a_cluster_does_all_of_it() {
    run(async {
        let server = RedisServer::start_cluster().await;
        all_of_it(&server, &server.url()).await;
    });
}

#[test]
fn a_server_found_by_sentinel_does_all_of_it() {
    run(async {
        let server = RedisServer::start().await;
        let sentinel = server.start_sentinel().await;
        all_of_it(&server, &sentinel.url()).await;
    });
}
