//! The process before Redis: how long local copies live, single flight, needs, and a Redis that comes and goes.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use regard_cache::{Cache, Entry, Key, Local, Mark, Redis, Settings, Slot, Tiered, Vector};
use regard_testkit::{RedisServer, redis};
use regard_types::Uuid;

const STALE: Duration = Duration::from_millis(500);

fn settings() -> Settings {
    Settings {
        ttl: Duration::from_secs(60),
        stale: STALE,
        capacity: 8 << 20,
        answer: Duration::from_secs(1),
    }
}

fn key(id: u128) -> Key {
    Slot::new("test", 1, 7).key(Uuid::from_u128(1), 1, Uuid::from_u128(id))
}

fn at(position: u64) -> Vector {
    Vector::new([Mark {
        feed: 1,
        epoch: 1,
        lane: 0,
        position,
    }])
}

fn entry(version: u64) -> Entry {
    Entry {
        version,
        vector: at(version),
        value: version.to_string().into(),
    }
}

async fn fill(cache: &Tiered, id: u128, version: u64) -> Entry {
    cache
        .get_or_fill(&key(id), None, || async { Ok::<_, ()>(entry(version)) })
        .await
        .unwrap()
}

async fn never(cache: &Tiered, id: u128, need: Option<&Vector>) -> Result<Entry, &'static str> {
    cache
        .get_or_fill(&key(id), need, || async { Err("asked the table") })
        .await
}

#[tokio::test]
async fn a_copy_that_others_may_outdate_lives_as_long_as_answers_may_be_stale() {
    let cache = Tiered::new(settings(), None);
    assert_eq!(fill(&cache, 1, 1).await, entry(1));
    assert!(cache.applied(&key(2), entry(1)).await);
    assert_eq!(never(&cache, 1, None).await, Ok(entry(1)));
    assert_eq!(never(&cache, 2, None).await, Ok(entry(1)));
    tokio::time::sleep(STALE * 2).await;
    assert!(never(&cache, 1, None).await.is_err());
    assert!(never(&cache, 2, None).await.is_err());
    assert_eq!(fill(&cache, 1, 2).await, entry(2));
}

#[tokio::test]
async fn a_replica_that_alone_applies_changes_keeps_what_it_holds_until_it_is_no_longer_alone() {
    let cache = Tiered::new(settings(), None);
    cache.alone_until(Instant::now() + Duration::from_secs(60));
    fill(&cache, 1, 1).await;
    cache.applied(&key(2), entry(1)).await;
    tokio::time::sleep(STALE * 2).await;
    assert_eq!(never(&cache, 1, None).await, Ok(entry(1)));
    assert_eq!(never(&cache, 2, None).await, Ok(entry(1)));
    cache.applied(&key(1), entry(2)).await;
    assert_eq!(never(&cache, 1, None).await, Ok(entry(2)));
    cache.not_alone();
    tokio::time::sleep(STALE * 2).await;
    assert!(never(&cache, 1, None).await.is_err());
    // Alone again: what another may have changed meanwhile does not come back to life.
    cache.alone_until(Instant::now() + Duration::from_secs(60));
    assert!(never(&cache, 1, None).await.is_err());
    assert!(never(&cache, 2, None).await.is_err());
}

#[tokio::test]
async fn a_lease_that_ran_out_ends_the_long_lives_by_itself() {
    let cache = Tiered::new(settings(), None);
    cache.alone_until(Instant::now() + STALE * 2);
    fill(&cache, 1, 1).await;
    tokio::time::sleep(STALE * 3 / 2).await;
    assert!(never(&cache, 1, None).await.is_ok());
    tokio::time::sleep(STALE).await;
    assert!(never(&cache, 1, None).await.is_err());
    cache.alone_until(Instant::now() + Duration::from_secs(60));
    assert!(never(&cache, 1, None).await.is_err());
}

#[tokio::test]
async fn a_fill_that_a_change_overtook_does_not_hide_it() {
    let cache = Tiered::new(settings(), None);
    cache.alone_until(Instant::now() + Duration::from_secs(60));
    let overtaken = async {
        cache.applied(&key(1), entry(2)).await;
        Ok::<_, ()>(entry(1))
    };
    assert_eq!(
        cache.get_or_fill(&key(1), None, || overtaken).await,
        Ok(entry(2))
    );
    assert_eq!(never(&cache, 1, None).await, Ok(entry(2)));
    // Even when the change's own entry was evicted before the fill came back, the old one dies soon.
    let evicted = async {
        cache.applied(&key(3), entry(2)).await;
        cache.remove(&key(3)).await;
        Ok::<_, ()>(entry(1))
    };
    assert_eq!(
        cache.get_or_fill(&key(3), None, || evicted).await,
        Ok(entry(1))
    );
    tokio::time::sleep(STALE * 2).await;
    assert!(never(&cache, 3, None).await.is_err());
}

#[tokio::test]
async fn an_entry_that_does_not_cover_the_need_is_not_taken() {
    let cache = Tiered::new(settings(), None);
    fill(&cache, 1, 5).await;
    assert_eq!(never(&cache, 1, Some(&at(5))).await, Ok(entry(5)));
    assert!(never(&cache, 1, Some(&at(6))).await.is_err());
    assert_eq!(cache.hit(&key(1), Some(&at(6))), None);
    // The same row, read again when more was applied: nothing but the vector is newer.
    let later = Entry {
        vector: at(6),
        ..entry(5)
    };
    let got = cache
        .get_or_fill(&key(1), Some(&at(6)), || async {
            Ok::<_, ()>(later.clone())
        })
        .await;
    assert_eq!(got, Ok(later.clone()));
    assert_eq!(never(&cache, 1, Some(&at(6))).await, Ok(later));
}

#[tokio::test]
async fn one_fill_runs_for_many_callers_and_failures_are_each_ones_own() {
    let cache = Arc::new(Tiered::new(settings(), None));
    let fills = Arc::new(AtomicU64::new(0));
    let ask = |fails_first: bool| {
        let (cache, fills) = (Arc::clone(&cache), Arc::clone(&fills));
        async move {
            let id = u128::from(fails_first);
            cache
                .get_or_fill(&key(id), None, || async {
                    let nth = fills.fetch_add(1, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    if fails_first && nth == 0 {
                        Err("first")
                    } else {
                        Ok(entry(1))
                    }
                })
                .await
        }
    };
    let all: Vec<_> = (0..64).map(|_| tokio::spawn(ask(false))).collect();
    for one in all {
        assert_eq!(one.await.unwrap(), Ok(entry(1)));
    }
    assert_eq!(fills.swap(0, Ordering::SeqCst), 1);

    let all: Vec<_> = (0..64).map(|_| tokio::spawn(ask(true))).collect();
    let mut failed = 0;
    for one in all {
        failed += usize::from(one.await.unwrap().is_err());
    }
    assert_eq!(failed, 1, "only the caller whose own fill failed");
}

#[tokio::test]
async fn when_the_caller_that_fills_is_cancelled_another_fills() {
    let cache = Arc::new(Tiered::new(settings(), None));
    let slow = tokio::spawn({
        let cache = Arc::clone(&cache);
        async move {
            let forever = || async {
                tokio::time::sleep(Duration::from_secs(3600)).await;
                Ok::<_, ()>(entry(1))
            };
            cache.get_or_fill(&key(1), None, forever).await
        }
    });
    tokio::time::sleep(Duration::from_millis(20)).await;
    let waiting = tokio::spawn({
        let cache = Arc::clone(&cache);
        async move { fill(&cache, 1, 2).await }
    });
    // A fill for positions that may take long holds nobody up who does not need them.
    let (key, at) = (key(1), at(3));
    let need = cache.get_or_fill(&key, Some(&at), || async { Ok::<_, ()>(entry(3)) });
    assert_eq!(
        tokio::time::timeout(Duration::from_secs(1), need)
            .await
            .unwrap(),
        Ok(entry(3))
    );
    slow.abort();
    let got = tokio::time::timeout(Duration::from_secs(1), waiting)
        .await
        .unwrap()
        .unwrap();
    assert!(got.version >= 2);
}

#[tokio::test]
async fn what_one_replica_applies_another_reads_through_redis() {
    let url = redis().url;
    let open = || Tiered::new(settings(), Some(Redis::open(&url, &settings()).unwrap()));
    let (one, two) = (open(), open());
    assert!(one.applied(&key(1), entry(1)).await);
    assert_eq!(never(&two, 1, None).await, Ok(entry(1)));
    assert!(one.applied(&key(1), entry(2)).await);
    // Its own copy may be a little stale, not for one who needs the change.
    assert_eq!(never(&two, 1, Some(&at(2))).await, Ok(entry(2)));
    // While what Redis holds lags, it is not asked.
    assert!(one.applied(&key(2), entry(1)).await);
    two.bypass_shared(true);
    assert!(two.bypassed() && never(&two, 2, None).await.is_err());
    assert_eq!(
        two.get_many(&[key(1), key(2)]).await,
        vec![Some(entry(2)), None]
    );
    two.bypass_shared(false);
    assert_eq!(
        two.get_many(&[key(1), key(2)]).await,
        vec![Some(entry(2)), Some(entry(1))]
    );
    // A fill reaches the other in the background.
    fill(&one, 3, 4).await;
    let limit = Instant::now() + Duration::from_secs(10);
    while never(&two, 3, None).await != Ok(entry(4)) {
        assert!(Instant::now() < limit);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_version_seen_here_is_newer_than_what_redis_still_holds() {
    let shared = || Redis::open(&redis_url(), &settings()).unwrap();
    fn redis_url() -> String {
        static URL: std::sync::OnceLock<String> = std::sync::OnceLock::new();
        URL.get_or_init(|| redis().url).clone()
    }
    let cache = Tiered::new(settings(), Some(shared()));
    cache.applied(&key(1), entry(2)).await;
    shared().remove(&key(1)).await;
    shared().put(&key(1), entry(1)).await;
    tokio::time::sleep(STALE * 2).await;
    assert!(
        never(&cache, 1, None).await.is_err(),
        "not the older one of Redis"
    );
}

#[tokio::test]
async fn values_too_large_for_redis_stay_local_and_keep_older_ones_out() {
    let shared = || Redis::open(&redis_url(), &settings()).unwrap();
    fn redis_url() -> String {
        static URL: std::sync::OnceLock<String> = std::sync::OnceLock::new();
        URL.get_or_init(|| redis().url).clone()
    }
    let cache = Tiered::new(settings(), Some(shared()));
    let large = Entry {
        value: vec![1; 100_000].into(),
        ..entry(2)
    };
    assert!(cache.put(&key(1), large.clone()).await);
    assert_eq!(cache.get(&key(1)).await, Some(large));
    assert!(shared().put(&key(1), entry(1)).await);
    assert_eq!(shared().get(&key(1)).await, None);
    assert!(shared().put(&key(1), entry(3)).await);
    assert_eq!(shared().get(&key(1)).await, Some(entry(3)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_reads_are_answered_while_redis_dies_and_comes_back() {
    let mut server = RedisServer::start().await;
    let short = Settings {
        stale: Duration::from_millis(1),
        ..settings()
    };
    let cache = Arc::new(Tiered::new(
        short,
        Some(Redis::open(&server.url(), &short).unwrap()),
    ));
    let filled = Arc::new(AtomicU64::new(0));
    let answered = Arc::new(AtomicU64::new(0));
    let readers: Vec<_> = (0..20u64)
        .map(|reader| {
            let (cache, filled, answered) = (
                Arc::clone(&cache),
                Arc::clone(&filled),
                Arc::clone(&answered),
            );
            tokio::spawn(async move {
                for i in 0..500u64 {
                    let id = u128::from((reader * 31 + i) % 50);
                    let version = u64::try_from(id).unwrap() + 1;
                    let key = key(id);
                    let got = cache.get_or_fill(&key, None, || async {
                        filled.fetch_add(1, Ordering::SeqCst);
                        Ok::<_, ()>(entry(version))
                    });
                    assert_eq!(got.await, Ok(entry(version)));
                    answered.fetch_add(1, Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            })
        })
        .collect();
    let wait_for = |n| {
        let answered = Arc::clone(&answered);
        async move {
            while answered.load(Ordering::SeqCst) < n {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    };
    wait_for(2_000).await;
    let before = filled.load(Ordering::SeqCst);
    assert!(before < 1_500, "Redis answers most reads: {before} fills");
    server.stop();
    assert!(
        !cache.applied(&key(99), entry(1)).await,
        "a lost put is told"
    );
    wait_for(10_000).await;
    for reader in readers {
        reader.await.unwrap();
    }
    assert!(filled.load(Ordering::SeqCst) > before);
    assert!(!cache.applied(&key(99), entry(1)).await);

    server.start_again().await;
    let limit = Instant::now() + Duration::from_secs(10);
    while !cache.applied(&key(99), entry(1)).await {
        assert!(Instant::now() < limit, "Redis is not used again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let fresh = Redis::open(&server.url(), &short).unwrap();
    assert_eq!(fresh.get(&key(99)).await, Some(entry(1)));
}

#[tokio::test]
async fn a_redis_that_accepts_and_never_answers_costs_little() {
    let deaf = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("redis://{}", deaf.local_addr().unwrap());
    let quick = Settings {
        answer: Duration::from_millis(100),
        ..settings()
    };
    let cache = Tiered::new(quick, Some(Redis::open(&url, &quick).unwrap()));
    let start = Instant::now();
    for id in 0..1000 {
        fill(&cache, id, 1).await;
    }
    // At most ten waits of 100 ms until it is left alone, and a probe a second.
    assert!(
        start.elapsed() < Duration::from_secs(3),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test]
async fn memory_is_bounded_in_bytes() {
    let cache = Local::new(&Settings {
        capacity: 1 << 20,
        ..settings()
    });
    for id in 0..10_000 {
        cache
            .put(
                &key(id),
                Entry {
                    value: vec![0; 1024].into(),
                    ..entry(1)
                },
            )
            .await;
    }
    assert!(!cache.is_empty() && cache.len() <= 1024, "{}", cache.len());
}

#[test]
fn a_url_is_read_or_refused_with_the_forms() {
    for url in [
        "redis://h:6379/3",
        "rediss://u:p@h:6379",
        "redis+sentinel://a:26379,b:26379/main/2",
        "rediss+sentinel://u:p@a:26379/main",
        "redis+cluster://u:p@a:7000,b:7000",
    ] {
        assert!(Redis::open(url, &settings()).is_ok(), "{url}");
    }
    for url in [
        "h:6379",
        "http://h",
        "redis+sentinel://a:26379",
        "redis+sentinel://a:26379/main/x",
        "redis+cluster://",
    ] {
        let refused = Redis::open(url, &settings())
            .err()
            .map(|e| e.to_string())
            .unwrap_or_default();
        assert!(refused.contains("expected redis://"), "{url}: {refused}");
    }
}
