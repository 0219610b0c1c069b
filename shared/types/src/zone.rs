//! Time zones. All offset changes of 1850 to 2200 are tabled once, so that a conversion is a binary search.

use std::fmt;
use std::sync::Arc;

use crate::Micros;

/// An IANA time zone such as `Europe/Berlin`. Cheap to clone.
#[derive(Clone)]
pub struct Zone(Arc<Table>);

/// A name that is no IANA time zone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no such time zone: {0:?}; expected an IANA name such as UTC or Europe/Berlin")]
pub struct ZoneError(pub String);

struct Table {
    name: String,
    /// Offset before the first change, microseconds east of UTC.
    first: i64,
    /// (from this instant on, offset in microseconds), ascending.
    changes: Vec<(i64, i64)>,
}

const FROM: i64 = -3_786_912_000; // 1850-01-01
const TO: i64 = 7_258_118_400; // 2200-01-01

impl Zone {
    /// UTC.
    #[must_use]
    pub fn utc() -> Self {
        Self(Arc::new(Table {
            name: "UTC".to_owned(),
            first: 0,
            changes: Vec::new(),
        }))
    }

    /// The zone with this IANA name. Offsets after 2199 are those of its end.
    ///
    /// # Errors
    /// [`ZoneError`] if the name is unknown.
    pub fn parse(name: &str) -> Result<Self, ZoneError> {
        if name == "UTC" {
            return Ok(Self::utc());
        }
        let unknown = || ZoneError(name.chars().take(64).collect());
        let zone = jiff::tz::TimeZone::get(name).map_err(|_| unknown())?;
        let from = jiff::Timestamp::from_second(FROM).map_err(|_| unknown())?;
        let micros = |offset: jiff::tz::Offset| i64::from(offset.seconds()) * Micros::SECOND;
        let changes = zone
            .following(from)
            .take_while(|change| change.timestamp().as_second() < TO)
            .map(|change| (change.timestamp().as_microsecond(), micros(change.offset())))
            .collect();
        let first = micros(zone.to_offset(from));
        Ok(Self(Arc::new(Table {
            name: zone.iana_name().unwrap_or(name).to_owned(),
            first,
            changes,
        })))
    }

    /// The IANA name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Microseconds east of UTC at an instant.
    #[must_use]
    pub fn offset(&self, at: Micros) -> i64 {
        let changes = &self.0.changes;
        let next = changes.partition_point(|(from, _)| *from <= at.0);
        match next.checked_sub(1).and_then(|i| changes.get(i)) {
            Some((_, offset)) => *offset,
            None => self.0.first,
        }
    }

    /// The first instant whose local reading is `local` (microseconds as if UTC) or, where clocks skip it, the skip.
    pub(crate) fn first_instant(&self, local: i64) -> i64 {
        let changes = &self.0.changes;
        // Offsets stay within a day: only changes near the reading matter.
        let near =
            changes.partition_point(|(from, _)| *from < local.saturating_sub(2 * crate::day::DAY));
        let mut offset = match near.checked_sub(1).and_then(|i| changes.get(i)) {
            Some((_, offset)) => *offset,
            None => self.0.first,
        };
        for (from, next) in changes.iter().skip(near) {
            let instant = local.saturating_sub(offset);
            if instant < *from {
                return instant;
            }
            if from.saturating_add(*next) >= local {
                return *from; // the clocks jump over the reading here
            }
            offset = *next;
        }
        local.saturating_sub(offset)
    }
}

impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        self.0.name == other.0.name
    }
}

impl Eq for Zone {}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Zone({})", self.0.name)
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.name)
    }
}
