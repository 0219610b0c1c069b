//! How many unary calls are in work at once: a limit that follows the latency, so that a server with more calls than it
//! can do answers some in good time and refuses the rest at once, instead of answering all too late.
//!
//! Every tenth of a second the shortest latency of each RPC is compared with the shortest that it has when nothing waits.
//! Where it is more than [`TOLERANCE`] times that (and more than the slack above it) calls wait for each other: the limit
//! falls in proportion. Where it is well below, and the limit was reached, it grows by a quarter. The shortest, since
//! that of a mixture of cheap and dear calls moves with waiting alone; RPCs are weighed by the time that they took.
//! Under lasting load the limit is halved for two tenths of a second now and then, to see the latency without waiting
//! (as the gradient controllers of Netflix's concurrency-limits and of Envoy do).

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// Microseconds between two looks.
const WINDOW: u64 = 100_000;
/// Fewest answers in a window; else it goes on, up to [`LONGEST`].
const FEWEST: u64 = 10;
const LONGEST: u64 = 1_000_000;
/// How many times the calm latency is fine.
const TOLERANCE: f64 = 1.6;
/// Below this share of the tolerated latency the limit may grow.
const EASY: f64 = 0.8;
/// The limit after a time of little use, and before anything is known, where the bounds allow.
const START: usize = 32;
const UNKNOWN: usize = 128;
/// By which share of itself the limit grows in a window, and falls while little of it is used: what was fine long ago says
/// little about a sudden rush.
const GROWTH: f64 = 0.25;
const DECAY: f64 = 0.02;
/// Microseconds of lasting load between two probes.
const PROBE: u64 = 10_000_000;
/// How many windows an RPC without answers is remembered by: none, its calm latency stays.
const NEVER: u64 = u64::MAX;

/// The latencies of one RPC, in microseconds.
#[derive(Debug)]
pub(crate) struct Pace {
    shortest: AtomicU64,
    answers: AtomicU64,
    total: AtomicU64,
    /// Without waiting; 0 while unknown.
    calm: AtomicU64,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            shortest: AtomicU64::new(NEVER),
            answers: AtomicU64::new(0),
            total: AtomicU64::new(0),
            calm: AtomicU64::new(0),
        }
    }
}

impl Pace {
    fn add(&self, took: u64) {
        if took < self.shortest.load(Ordering::Relaxed) {
            self.shortest.fetch_min(took, Ordering::Relaxed);
        }
        self.answers.fetch_add(1, Ordering::Relaxed);
        self.total.fetch_add(took, Ordering::Relaxed);
    }
}

/// Bounds of the limit, and the microseconds above the calm latency that are always fine.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) least: usize,
    pub(crate) most: usize,
    pub(crate) slack: u64,
}

pub(crate) struct Concurrency {
    bounds: Bounds,
    in_work: AtomicUsize,
    /// Most in work in this window.
    peak: AtomicUsize,
    limit: AtomicUsize,
    /// When the window may end; microseconds, as all times here, since any fixed moment.
    look: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Normal,
    /// Half the limit, while what was begun before is answered.
    Draining,
    /// Half the limit: what is seen now is calm.
    Probing,
}

struct State {
    paces: Vec<Arc<Pace>>,
    /// The limit without the fraction lost, and without a probe.
    limit: f64,
    phase: Phase,
    /// When the window began.
    began: u64,
    /// When the latency was last seen without waiting.
    calm: u64,
    /// Whether calls were answered yet.
    known: bool,
}

impl Concurrency {
    pub(crate) fn new(bounds: Bounds, paces: Vec<Arc<Pace>>) -> Self {
        let start = UNKNOWN.clamp(bounds.least, bounds.most);
        Self {
            bounds,
            in_work: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
            limit: AtomicUsize::new(start),
            look: AtomicU64::new(WINDOW),
            state: Mutex::new(State {
                paces,
                limit: as_f64(start),
                phase: Phase::Normal,
                began: 0,
                calm: 0,
                known: false,
            }),
        }
    }

    /// Takes a place; or else the limit that is reached. [`Concurrency::leave`] gives it back.
    pub(crate) fn enter(&self) -> Result<(), usize> {
        let before = self.in_work.fetch_add(1, Ordering::Relaxed);
        let limit = self.limit.load(Ordering::Relaxed);
        if before >= limit {
            self.in_work.fetch_sub(1, Ordering::Relaxed);
            self.peak.fetch_max(limit, Ordering::Relaxed);
            return Err(limit);
        }
        if before >= self.peak.load(Ordering::Relaxed) {
            self.peak.fetch_max(before + 1, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Gives the place back.
    pub(crate) fn leave(&self) {
        self.in_work.fetch_sub(1, Ordering::Relaxed);
    }

    /// Notes how long an RPC took that was done in full, and adjusts the limit when it is time.
    pub(crate) fn note(&self, pace: &Pace, took: u64, now: u64) {
        pace.add(took.max(1));
        self.look(now);
    }

    /// Notes an RPC that was given up after some time. Within the tolerated time that tells nothing: whoever waits for a
    /// millisecond only, or whom a store that is away answers at once, must not look like a quick server.
    pub(crate) fn note_at_least(&self, pace: &Pace, took: u64, now: u64) {
        let calm = pace.calm.load(Ordering::Relaxed);
        if calm > 0 && as_f64(took) > fine(calm, self.bounds.slack) {
            pace.add(took);
        }
        self.look(now);
    }

    /// Adjusts the limit when it is time.
    pub(crate) fn look(&self, now: u64) {
        if now >= self.look.load(Ordering::Relaxed)
            && let Ok(mut state) = self.state.try_lock()
            && now >= self.look.load(Ordering::Relaxed)
        {
            self.adjust(&mut state, now);
        }
    }

    /// The limit in force.
    pub(crate) fn limit(&self) -> usize {
        self.limit.load(Ordering::Relaxed)
    }

    /// In work now.
    pub(crate) fn in_work(&self) -> usize {
        self.in_work.load(Ordering::Relaxed)
    }

    fn adjust(&self, state: &mut State, now: u64) {
        let answers: u64 = state
            .paces
            .iter()
            .map(|pace| pace.answers.load(Ordering::Relaxed))
            .sum();
        if answers < FEWEST && now < state.began.saturating_add(LONGEST) {
            self.look.store(now + WINDOW / 4, Ordering::Relaxed);
            return;
        }
        let peak = self.peak.swap(self.in_work(), Ordering::Relaxed);
        let calm = state.phase == Phase::Probing || peak <= (self.limit() / 4).max(2);
        let Pressure {
            shortest: pressure,
            mean,
            calm: alone,
        } = state.pressure(calm, self.bounds.slack);
        if calm {
            state.calm = now;
        }
        state.began = now;
        if answers >= FEWEST && !std::mem::replace(&mut state.known, true) {
            state.limit = as_f64(peak.saturating_mul(4).max(START)).min(state.limit);
        }
        match state.phase {
            Phase::Draining => state.phase = Phase::Probing,
            Phase::Probing => state.phase = Phase::Normal,
            Phase::Normal => {
                if pressure > 1.0 {
                    state.limit *= (1.0 / pressure).clamp(0.4, 0.98);
                } else if answers > 0
                    && pressure.max(mean / 2.0) < EASY
                    && as_f64(peak) >= 0.8 * state.limit
                {
                    state.limit += (state.limit * GROWTH).max(1.0);
                } else if as_f64(peak) < state.limit / 4.0 {
                    let used = as_f64(peak.saturating_mul(4).max(START));
                    state.limit = (state.limit * (1.0 - DECAY)).max(used).min(state.limit);
                }
                let (least, most) = (as_f64(self.bounds.least), as_f64(self.bounds.most));
                // So many calls, even one after the other, are answered within the slack.
                let quick = if alone > 0.0 {
                    as_f64(self.bounds.slack) / alone
                } else {
                    0.0
                };
                state.limit = state.limit.max(quick).clamp(least, most);
                if now > state.calm.saturating_add(PROBE) {
                    // Where nothing waits there is nothing to find out, and nobody is refused for it.
                    if pressure.max(mean / 2.0) < EASY {
                        state.calm = now;
                    } else {
                        state.phase = Phase::Draining;
                    }
                }
            }
        }
        let limit = match state.phase {
            Phase::Normal => state.limit,
            Phase::Draining | Phase::Probing => (state.limit / 2.0).max(as_f64(self.bounds.least)),
        };
        self.limit.store(whole(limit), Ordering::Relaxed);
        self.look.store(now + WINDOW, Ordering::Relaxed);
    }
}

/// What a window saw, each RPC weighed by its time.
struct Pressure {
    /// The shortest and the mean latency as a share of the tolerated one.
    shortest: f64,
    mean: f64,
    /// The calm latency in microseconds; 0 where nothing was answered.
    calm: f64,
}

impl State {
    /// What the window saw; ends it.
    fn pressure(&self, calm: bool, slack: u64) -> Pressure {
        let (mut sum, mut means, mut alone, mut weight) = (0.0, 0.0, 0.0, 0.0);
        for pace in &self.paces {
            let answers = pace.answers.swap(0, Ordering::Relaxed);
            let total = pace.total.swap(0, Ordering::Relaxed);
            let shortest = pace.shortest.swap(NEVER, Ordering::Relaxed);
            if answers == 0 || shortest == NEVER {
                continue;
            }
            let known = pace.calm.load(Ordering::Relaxed);
            let next = if known == 0 {
                shortest
            } else if shortest < known {
                // Half the way: one answer that was quicker than all others moves little.
                shortest.midpoint(known)
            } else if calm {
                known + (shortest - known) / 4
            } else {
                known
            };
            pace.calm.store(next.max(1), Ordering::Relaxed);
            let fine = fine(next, slack);
            sum += as_f64(total) * as_f64(shortest) / fine.max(1.0);
            means += as_f64(total) * as_f64(total / answers) / fine.max(1.0);
            alone += as_f64(total) * as_f64(next.max(1));
            weight += as_f64(total);
        }
        let share = |sum: f64| if weight > 0.0 { sum / weight } else { 0.0 };
        Pressure {
            shortest: share(sum),
            mean: share(means),
            calm: share(alone),
        }
    }
}

/// The latency that is tolerated, where it is `calm` without waiting.
fn fine(calm: u64, slack: u64) -> f64 {
    (as_f64(calm) * TOLERANCE).max(as_f64(calm.saturating_add(slack)))
}

/// Exact for all numbers that occur here.
#[allow(clippy::cast_precision_loss)]
fn as_f64<N: TryInto<u64>>(number: N) -> f64 {
    number.try_into().unwrap_or(u64::MAX) as f64
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn whole(limit: f64) -> usize {
    limit.round().max(1.0) as usize
}
