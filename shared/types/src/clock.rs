//! The clock of the program, and points in time.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use uuid::Uuid;

use crate::RecordId;

/// A point in time: microseconds since 1970-01-01T00:00:00Z (negative before).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Micros(pub i64);

impl Micros {
    /// Microseconds of one second.
    pub const SECOND: i64 = 1_000_000;

    /// From whole seconds and nanoseconds (0 to 999,999,999; cut to microseconds); None on overflow or bad nanoseconds.
    #[must_use]
    pub fn from_seconds(seconds: i64, nanos: i32) -> Option<Self> {
        if !(0..1_000_000_000).contains(&nanos) {
            return None;
        }
        seconds
            .checked_mul(Self::SECOND)?
            .checked_add(i64::from(nanos) / 1_000)
            .map(Self)
    }

    /// Whole seconds (rounded down) and the nanoseconds within the second.
    #[must_use]
    pub fn seconds(self) -> (i64, i32) {
        let nanos = self.0.rem_euclid(Self::SECOND) * 1_000;
        (
            self.0.div_euclid(Self::SECOND),
            i32::try_from(nanos).unwrap_or(0),
        )
    }
}

/// Where the present comes from: the system, or a test's hand. Clones of a fixed clock move together.
#[derive(Debug, Clone)]
pub enum Clock {
    /// The system's clock.
    System,
    /// Microseconds set by hand.
    Fixed(Arc<AtomicI64>),
}

impl Clock {
    /// A clock that stands still until it is set.
    #[must_use]
    pub fn fixed(at: Micros) -> Self {
        Self::Fixed(Arc::new(AtomicI64::new(at.0)))
    }

    /// The present.
    #[must_use]
    pub fn now(&self) -> Micros {
        match self {
            Self::System => Micros(match SystemTime::now().duration_since(UNIX_EPOCH) {
                Ok(since) => i64::try_from(since.as_micros()).unwrap_or(i64::MAX),
                Err(before) => {
                    i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |us| -us)
                }
            }),
            Self::Fixed(at) => Micros(at.load(Ordering::SeqCst)),
        }
    }

    /// Moves a fixed clock; a system clock stays as it is.
    pub fn set(&self, to: Micros) {
        if let Self::Fixed(at) = self {
            at.store(to.0, Ordering::SeqCst);
        }
    }
}

/// A new id for a record without a source key: UUIDv7 (RFC 9562 section 5.7), in the clock's time order.
#[must_use]
pub fn new_record_id(clock: &Clock) -> RecordId {
    let (seconds, nanos) = Micros(clock.now().0.max(0)).seconds();
    let at = uuid::Timestamp::from_unix(
        uuid::NoContext,
        seconds.unsigned_abs(),
        nanos.unsigned_abs(),
    );
    RecordId(Uuid::new_v7(at))
}
