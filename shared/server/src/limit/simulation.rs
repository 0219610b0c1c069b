//! The concurrency limit against a simulated store with fixed permits, on a simulated clock.
#![allow(clippy::unwrap_used)]

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;

use super::concurrency::{Bounds, Concurrency, Pace};

/// Microseconds.
const MS: u64 = 1_000;
const SECOND: u64 = 1_000 * MS;

/// A server whose store does `permits` calls at a time.
struct Stage {
    limit: Concurrency,
    pace: Arc<Pace>,
    permits: usize,
    service: u64,
    now: u64,
    busy: BinaryHeap<Reverse<(u64, u64)>>,
    waiting: VecDeque<u64>,
    /// Latencies of what was accepted and done.
    took: Vec<u64>,
    refused: u64,
}

impl Stage {
    fn new(permits: usize, least: usize) -> Self {
        let pace = Arc::<Pace>::default();
        let bounds = Bounds {
            least,
            most: 1_024,
            slack: 10 * MS,
        };
        Self {
            limit: Concurrency::new(bounds, vec![pace.clone()]),
            pace,
            permits,
            service: 10 * MS,
            now: 0,
            busy: BinaryHeap::new(),
            waiting: VecDeque::new(),
            took: Vec::new(),
            refused: 0,
        }
    }

    /// Lets calls come at an even rate for some time.
    fn run(&mut self, per_second: u64, seconds: u64) {
        let pause = SECOND / per_second;
        for _ in 0..per_second * seconds {
            self.until(self.now + pause);
            match self.limit.enter() {
                Err(_) => self.refused += 1,
                Ok(()) if self.busy.len() < self.permits => {
                    self.busy.push(Reverse((self.now + self.service, self.now)));
                }
                Ok(()) => self.waiting.push_back(self.now),
            }
        }
    }

    fn until(&mut self, end: u64) {
        while let Some(Reverse((done, began))) = self.busy.peek().copied() {
            if done > end {
                break;
            }
            self.busy.pop();
            self.now = done;
            self.took.push(done - began);
            self.limit.note(&self.pace, done - began, done);
            self.limit.leave();
            if let Some(next) = self.waiting.pop_front() {
                self.busy.push(Reverse((done + self.service, next)));
            }
        }
        self.now = end;
    }

    fn p99(&mut self) -> u64 {
        self.took.sort_unstable();
        let place = self.took.len() * 99 / 100;
        let p99 = self.took[place];
        self.took.clear();
        p99
    }
}

#[test]
fn ten_times_the_load_keeps_the_latency_and_the_throughput() {
    for permits in [4, 16, 50] {
        let mut stage = Stage::new(permits, 2);
        let sustained = 100 * u64::try_from(permits).unwrap();
        stage.run(sustained / 2, 10);
        let unloaded = stage.p99();
        assert_eq!(stage.refused, 0, "nothing is refused without need");
        stage.run(sustained * 10, 2); // to find the limit
        let first = stage.p99();
        stage.run(sustained * 10, 60);
        let done = u64::try_from(stage.took.len()).unwrap();
        let p99 = stage.p99();
        assert!(
            p99 <= 3 * unloaded,
            "{permits} permits: {p99} µs, {unloaded} µs before"
        );
        assert!(
            first <= 20 * unloaded,
            "{permits} permits: {first} µs at first"
        );
        assert!(
            done * 10 >= sustained * 60 * 8,
            "{permits} permits: {done} done of {}",
            sustained * 60
        );
        assert!(stage.limit.in_work() <= 4 * permits.max(16));
        // Back to half the load: all is taken again, at once.
        stage.run(sustained / 2, 1);
        stage.refused = 0;
        stage.took.clear();
        stage.run(sustained / 2, 10);
        assert!(
            stage.refused <= sustained / 20,
            "{} refused after",
            stage.refused
        );
        assert!(stage.p99() <= 2 * unloaded);
    }
}

#[test]
fn who_gives_up_tells_of_the_load_and_a_store_that_is_away_tells_nothing() {
    let pace = Arc::<Pace>::default();
    let bounds = Bounds {
        least: 16,
        most: 1_024,
        slack: 10 * MS,
    };
    let limit = Concurrency::new(bounds, vec![pace.clone()]);
    let mut now = 0;
    // As many calls at once as the limit allows, `took` each.
    let mut round = |took: u64, whole: bool| {
        now += took;
        let mut taken = 0;
        while limit.enter().is_ok() {
            taken += 1;
        }
        for _ in 0..taken {
            if whole {
                limit.note(&pace, took, now);
            } else {
                limit.note_at_least(&pace, took, now);
            }
            limit.leave();
        }
    };
    for _ in 0..200 {
        round(30 * MS, true);
    }
    let grown = limit.limit();
    assert!(grown > 500, "{grown}");
    // Deadlines of a millisecond, or answers that say that the store is away.
    for _ in 0..5_000 {
        round(MS, false);
    }
    for _ in 0..20 {
        round(30 * MS, true);
    }
    assert!(
        limit.limit() > 500,
        "{} after calls without work",
        limit.limit()
    );
    // Every call is given up after a second.
    for _ in 0..10 {
        round(SECOND, false);
    }
    assert!(
        limit.limit() < 32,
        "{} where nothing is done",
        limit.limit()
    );
}

#[test]
fn the_limit_is_looked_at_even_if_no_call_ends() {
    let pace = Arc::<Pace>::default();
    let bounds = Bounds {
        least: 2,
        most: 1_024,
        slack: 10 * MS,
    };
    let limit = Concurrency::new(bounds, vec![pace]);
    while limit.enter().is_ok() {}
    let before = limit.limit();
    for second in 1..60 {
        limit.look(second * SECOND);
    }
    assert!(limit.limit() <= before, "grown without an answer");
}

#[test]
fn a_store_that_becomes_slower_for_good_is_believed() {
    let mut stage = Stage::new(16, 2);
    stage.run(400, 10);
    stage.service = 40 * MS;
    stage.run(200, 30);
    stage.refused = 0;
    // Half of what it can do now: 16 permits at 40 ms.
    stage.run(200, 30);
    assert!(stage.refused < 60, "{} of 6,000 refused", stage.refused);
}

#[test]
fn the_bounds_hold_and_quick_calls_grow_the_limit() {
    let mut stage = Stage::new(2_000, 8);
    stage.run(90_000, 5);
    assert!(stage.limit.limit() > 500, "{}", stage.limit.limit());
    assert!(stage.limit.limit() <= 1_024);
    let mut stage = Stage::new(1, 8);
    stage.run(5_000, 5);
    assert_eq!(stage.limit.limit(), 8, "never under the least");
    assert!(stage.limit.in_work() <= 8);
}
