use std::sync::Arc;

use bytes::Bytes;
use regard_types::{ChangeToken, Service, TokenPart, Uuid};

/// A position in one lane of one feed's epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark {
    /// The feed, by a number that the caller keeps stable ([`Mark::feed_of`] for the services).
    pub feed: u8,
    /// The feed's epoch, as [`Mark::epoch_of`] folds it.
    pub epoch: u64,
    /// Lane.
    pub lane: u16,
    /// Position in the lane, from 1; 0 stands for "nothing yet".
    pub position: u64,
}

impl Mark {
    /// The number of a service's feed.
    #[must_use]
    pub const fn feed_of(service: Service) -> u8 {
        match service {
            Service::Customer => 1,
            Service::Feedback => 2,
            Service::Scoring => 3,
        }
    }

    /// A feed epoch in eight bytes.
    #[must_use]
    pub const fn epoch_of(epoch: Uuid) -> u64 {
        let (high, low) = epoch.as_u64_pair();
        high ^ low
    }

    const fn lane_id(&self) -> (u8, u64, u16) {
        (self.feed, self.epoch, self.lane)
    }
}

impl From<&TokenPart> for Mark {
    fn from(part: &TokenPart) -> Self {
        Self {
            feed: Self::feed_of(part.service),
            epoch: Self::epoch_of(part.epoch),
            lane: part.lane,
            position: part.position,
        }
    }
}

/// Applied positions, at most one a lane, sorted. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Vector(Arc<[Mark]>);

impl Vector {
    /// Sorts, and takes the larger position where a lane comes twice.
    #[must_use]
    pub fn new(marks: impl IntoIterator<Item = Mark>) -> Self {
        let mut marks: Vec<Mark> = marks.into_iter().collect();
        marks.sort_unstable();
        // The larger position comes later: it overwrites the one that is kept.
        marks.dedup_by(|later, kept| {
            let same = later.lane_id() == kept.lane_id();
            if same {
                kept.position = later.position;
            }
            same
        });
        Self(marks.into())
    }

    /// The positions, sorted by feed, epoch and lane.
    #[must_use]
    pub fn marks(&self) -> &[Mark] {
        &self.0
    }

    /// True when no position of `other` lies beyond ours. A lane that we do not name is at position 0.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let mut ours = self.0.iter();
        other.0.iter().filter(|need| need.position > 0).all(|need| {
            // Both are sorted: the search goes on where the last one ended.
            ours.find(|have| have.lane_id() >= need.lane_id())
                .is_some_and(|have| {
                    have.lane_id() == need.lane_id() && have.position >= need.position
                })
        })
    }

    /// The larger position of each lane.
    #[must_use]
    pub fn join(&self, other: &Self) -> Self {
        if self.covers(other) {
            return self.clone();
        }
        if other.covers(self) {
            return other.clone();
        }
        Self::new(self.0.iter().chain(other.0.iter()).copied())
    }
}

impl From<&ChangeToken> for Vector {
    fn from(token: &ChangeToken) -> Self {
        Self::new(token.0.iter().map(Mark::from))
    }
}

/// A cached value with what is known about its age. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Version of the row that the value was made from; a newer row has a larger one.
    pub version: u64,
    /// Feed positions applied before the row was read.
    pub vector: Vector,
    /// The value.
    pub value: Bytes,
}

impl Entry {
    /// True when a reader that needs these positions may take the entry.
    #[must_use]
    pub fn covers(&self, need: Option<&Vector>) -> bool {
        need.is_none_or(|need| self.vector.covers(need))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn marks() -> impl Strategy<Value = Vec<Mark>> {
        let mark =
            (0u8..3, 0u64..2, 0u16..4, 0u64..5).prop_map(|(feed, epoch, lane, position)| Mark {
                feed,
                epoch,
                lane,
                position,
            });
        proptest::collection::vec(mark, 0..12)
    }

    fn position(vector: &Vector, lane: (u8, u64, u16)) -> u64 {
        vector
            .marks()
            .iter()
            .find(|m| m.lane_id() == lane)
            .map_or(0, |m| m.position)
    }

    proptest! {
        #[test]
        fn cover_and_join_are_the_order_and_its_least_upper_bound(a in marks(), b in marks()) {
            let (a, b) = (Vector::new(a), Vector::new(b));
            let joined = a.join(&b);
            let mut covers = true;
            for feed in 0..3 { for epoch in 0..2 { for lane in 0..4 {
                let lane = (feed, epoch, lane);
                let (pa, pb) = (position(&a, lane), position(&b, lane));
                covers &= pa >= pb;
                prop_assert_eq!(position(&joined, lane), pa.max(pb));
            }}}
            prop_assert_eq!(a.covers(&b), covers);
            prop_assert!(joined.covers(&a) && joined.covers(&b));
            prop_assert!(joined.marks().windows(2).all(|w| w[0].lane_id() < w[1].lane_id()));
        }
    }
}
