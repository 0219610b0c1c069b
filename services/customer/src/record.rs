//! What is the same for every record: its version and times, and the rule by which a repeated row becomes a new version.

use regard_types::Micros;

/// Version and times of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// From 1; each change adds one.
    pub version: i64,
    /// When the first version was recorded.
    pub created: Micros,
    /// When this version was recorded.
    pub updated: Micros,
}

impl Head {
    /// Of a record that begins now.
    pub fn first(now: Micros) -> Self {
        Self {
            version: 1,
            created: now,
            updated: now,
        }
    }

    /// Of the next version. Time never runs backwards within a record.
    pub fn next(self, now: Micros) -> Self {
        Self {
            version: self.version + 1,
            created: self.created,
            updated: now.max(self.updated),
        }
    }
}

/// Where a version lies in the feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Lane.
    pub lane: u16,
    /// Position in the lane.
    pub position: u64,
}

/// What a row does to a record that is stored already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Nothing.
    Unchanged,
    /// It is the next version.
    Next,
    /// It differs from the current version: the next version, unless it equals a former one.
    UnlessFormer,
}

/// The rule for a repeated row (0 stands for a source that counts no revisions). With a revision, an equal or older one
/// changes nothing and a newer one always counts, so that a late row of a revision between is recognised. Without, a row
/// equal to any stored version is a resend.
pub fn turn(stored_revision: i64, revision: i64, equals_current: bool) -> Turn {
    match (revision > 0, equals_current) {
        (true, _) if revision <= stored_revision => Turn::Unchanged,
        (true, _) => Turn::Next,
        (false, true) => Turn::Unchanged,
        (false, false) => Turn::UnlessFormer,
    }
}

#[cfg(test)]
mod tests {
    use super::{Turn, turn};

    #[test]
    fn a_repeated_row() {
        for (stored, given, equal, expected) in [
            (0, 0, true, Turn::Unchanged),
            (0, 0, false, Turn::UnlessFormer),
            (5, 0, true, Turn::Unchanged),
            (5, 0, false, Turn::UnlessFormer),
            (5, 4, false, Turn::Unchanged),
            (5, 5, false, Turn::Unchanged),
            (5, 6, false, Turn::Next),
            (5, 6, true, Turn::Next),
            (0, 1, true, Turn::Next),
        ] {
            assert_eq!(
                turn(stored, given, equal),
                expected,
                "{stored} {given} {equal}"
            );
        }
    }
}
