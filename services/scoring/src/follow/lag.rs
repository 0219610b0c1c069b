//! How far applying is behind the feeds, as the replica knows that follows them.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use regard_types::Service;

use super::gather::Range;
use super::store::Cursor;
use super::watch::Message;

/// Where each lane of each feed stands.
#[derive(Debug, Default)]
pub struct Lag(Mutex<BTreeMap<(&'static str, u16), Standing>>);

#[derive(Debug, Clone, Copy)]
struct Standing {
    head: u64,
    applied: u64,
    /// When the lane was last known to be applied to its end.
    level: Instant,
}

impl Lag {
    fn with<T>(&self, work: impl FnOnce(&mut BTreeMap<(&'static str, u16), Standing>) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The feed is followed from these places on.
    pub fn begun(&self, feed: Service, cursors: &[Cursor]) {
        self.with(|lanes| {
            for cursor in cursors {
                let lane = lanes.entry((feed.as_str(), cursor.lane));
                let standing = lane.or_insert_with(|| Standing::at(cursor.position));
                standing.applied = cursor.position;
            }
        });
    }

    /// A message came: its service says where the lane ends.
    pub fn heard(&self, feed: Service, message: &Message) {
        self.with(|lanes| {
            let lane = lanes.entry((feed.as_str(), message.lane));
            let standing = lane.or_insert_with(|| Standing::at(message.range.from));
            standing.head = standing.head.max(message.head);
            standing.leveled();
        });
    }

    /// Ranges of lanes are applied.
    pub fn applied(&self, feed: Service, ranges: &BTreeMap<u16, Range>) {
        self.with(|lanes| {
            for (lane, range) in ranges {
                let standing = lanes
                    .entry((feed.as_str(), *lane))
                    .or_insert_with(|| Standing::at(range.to));
                standing.applied = range.to;
                standing.leveled();
            }
        });
    }

    /// The feed is another replica's to follow now.
    pub fn ended(&self, feed: &str) {
        self.with(|lanes| lanes.retain(|(of, _), _| *of != feed));
    }

    /// Changes and time that the lane furthest behind is behind: 0 where the feed is not followed here. The time grows
    /// whatever holds applying up: the feed's service away, the store away, too much to do. In a feed at rest it is the
    /// time since the last heartbeat.
    #[must_use]
    pub fn of(&self, feed: Service) -> (u64, Duration) {
        self.with(|lanes| {
            let now = Instant::now();
            let mut most = (0, Duration::ZERO);
            for ((_, _), standing) in lanes.iter().filter(|((of, _), _)| *of == feed.as_str()) {
                most.0 = most.0.max(standing.head.saturating_sub(standing.applied));
                most.1 = most.1.max(now.saturating_duration_since(standing.level));
            }
            most
        })
    }
}

impl Standing {
    fn at(position: u64) -> Self {
        Self {
            head: position,
            applied: position,
            level: Instant::now(),
        }
    }

    fn leveled(&mut self) {
        if self.applied >= self.head {
            self.level = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(lane: u16, (from, to): (u64, u64), head: u64) -> Message {
        Message {
            epoch: regard_types::Uuid::nil(),
            lane,
            range: Range { from, to, nonce: 1 },
            head,
            told: Vec::new(),
            traces: Vec::new(),
        }
    }

    #[test]
    fn the_lane_furthest_behind_counts_until_it_is_applied() {
        let lag = Lag::default();
        let feed = Service::Customer;
        assert_eq!(lag.of(feed), (0, Duration::ZERO));
        lag.heard(feed, &message(0, (0, 5), 5));
        lag.heard(feed, &message(1, (0, 10), 40));
        assert_eq!(lag.of(feed).0, 40);
        std::thread::sleep(Duration::from_millis(5));
        let range = |to| Range {
            from: 0,
            to,
            nonce: 1,
        };
        lag.applied(feed, &BTreeMap::from([(0, range(5)), (1, range(10))]));
        let (changes, time) = lag.of(feed);
        assert!(
            changes == 30 && time >= Duration::from_millis(5),
            "{changes} {time:?}"
        );
        lag.applied(feed, &BTreeMap::from([(1, range(40))]));
        assert_eq!(lag.of(feed).0, 0);
        assert_eq!(lag.of(Service::Feedback), (0, Duration::ZERO));
        lag.heard(feed, &message(1, (40, 41), 41));
        lag.ended(feed.as_str());
        assert_eq!(lag.of(feed), (0, Duration::ZERO));
    }
}
