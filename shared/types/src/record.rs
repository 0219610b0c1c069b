//! What is the same for every record: its version and times, and what a row that comes again does to it.

use std::collections::HashMap;
use std::hash::Hash;

use crate::{Fault, Kind, Micros, RecordId};

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
    #[must_use]
    pub fn first(now: Micros) -> Self {
        Self {
            version: 1,
            created: now,
            updated: now,
        }
    }

    /// Of the next version. Time never runs backwards within a record.
    #[must_use]
    pub fn next(self, now: Micros) -> Self {
        Self {
            version: self.version + 1,
            created: self.created,
            updated: now.max(self.updated),
        }
    }
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
#[must_use]
pub fn turn(stored_revision: i64, revision: i64, equals_current: bool) -> Turn {
    match (revision > 0, equals_current) {
        (true, _) if revision <= stored_revision => Turn::Unchanged,
        (true, _) => Turn::Next,
        (false, true) => Turn::Unchanged,
        (false, false) => Turn::UnlessFormer,
    }
}

/// The rows of one batch that were taken, by record: where a key comes again, an equal row is a resend and another one is
/// rejected.
#[derive(Debug)]
pub struct Seen<K, C>(HashMap<K, (usize, C)>);

impl<K, C> Default for Seen<K, C> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash, C: PartialEq> Seen<K, C> {
    /// Whether a row says again what a row taken before says; false for the first one of its record.
    ///
    /// # Errors
    /// `DUPLICATE_IN_BATCH` naming the field, if it says something else.
    pub fn again(&self, field: &str, record: &K, content: &C) -> Result<bool, Fault> {
        match self.0.get(record) {
            None => Ok(false),
            Some((_, taken)) if taken == content => Ok(true),
            Some((first, _)) => Err(duplicate(field, *first)),
        }
    }

    /// Notes a row that was taken.
    pub fn note(&mut self, record: K, index: usize, content: C) {
        self.0.insert(record, (index, content));
    }
}

/// Two different rows of one batch carry the same key.
fn duplicate(field: &str, first: usize) -> Fault {
    let message = "two different rows of the batch carry the same key";
    let expected = format!(
        "row {first} has the same key and other content; send the second one in the next batch"
    );
    Fault::new(Kind::Invalid, "DUPLICATE_IN_BATCH", message)
        .meta("first_index", first)
        .and_invalid(field, expected)
}

/// The record belongs to another customer than the row says.
#[must_use]
pub fn customer_fixed(field: &str, record: RecordId) -> Fault {
    let message = "the record belongs to another customer, and that never changes";
    let expected =
        "the record is stored with another customer; correct the row, or merge the two customers";
    Fault::refused("CUSTOMER_FIXED", message)
        .meta("id", record)
        .and_invalid(field, expected)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::{Seen, Turn, turn};

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

    #[test]
    fn a_key_that_comes_again_in_a_batch() {
        let mut seen = Seen::default();
        assert!(!seen.again("order.key", &7, &"a").unwrap());
        seen.note(7, 3, "a");
        assert!(seen.again("order.key", &7, &"a").unwrap());
        assert!(!seen.again("order.key", &8, &"b").unwrap());
        let fault = seen.again("order.key", &7, &"b").unwrap_err();
        assert_eq!(fault.reason, "DUPLICATE_IN_BATCH");
        assert_eq!(fault.meta, [("first_index".to_owned(), "3".to_owned())]);
        assert_eq!(fault.violations[0].0, "order.key");
    }
}
