//! The three doors.

mod frame;
mod hold;
mod read;
mod system;
mod write;

use regard_types::{ChangeToken, CustomerId, Fault, Micros, RecordId};
use uuid::Uuid;

pub(crate) use hold::ALONE;
pub use read::Read;
pub use system::System;
pub use write::Write;

/// What a caller asks for, as far as the door must know it.
#[derive(Debug, Clone, Copy)]
pub struct Command<'a> {
    /// The RPC's name.
    pub method: &'static str,
    /// The caller's idempotency key; empty for none.
    pub request_id: &'a str,
    /// Digest of the request's body, to tell a repeat from a reuse. Kept keyed.
    pub digest: [u8; 32],
    /// Whether to do all but keep nothing.
    pub validate_only: bool,
}

/// What a repeated request was answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// (kind, id, version) of the records in the answer.
    pub records: Vec<(String, RecordId, i64)>,
    /// The change token; empty if nothing had changed.
    pub token: ChangeToken,
}

impl Answer {
    /// The record of this kind in the answer, and its version then.
    ///
    /// # Errors
    /// INTERNAL if there is none.
    pub fn record(&self, kind: &str) -> Result<(RecordId, i64), Fault> {
        let found = self.records.iter().find(|(of, ..)| of == kind);
        found
            .map(|(_, id, version)| (*id, *version))
            .ok_or_else(|| Fault::bug(format!("a repeated request without its {kind}")))
    }
}

/// Positions that a transaction took: `first` to `first + n - 1` of its lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Positions {
    /// The lane.
    pub lane: u16,
    /// The first position.
    pub first: u64,
    /// How many.
    pub n: u32,
    /// The transaction's nonce.
    pub nonce: u64,
    /// The feed's epoch.
    pub epoch: Uuid,
}

/// Where a version lies in the feed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Lane.
    pub lane: u16,
    /// Position in the lane.
    pub position: u64,
}

impl Positions {
    /// The i-th place, from 0.
    #[must_use]
    pub fn place(&self, i: usize) -> Place {
        Place {
            lane: self.lane,
            position: self.at(i),
        }
    }

    /// The i-th position, from 0.
    #[must_use]
    pub fn at(&self, i: usize) -> u64 {
        self.first + i as u64
    }

    /// The i-th position as it is stored.
    #[must_use]
    pub fn stored(&self, i: usize) -> i64 {
        i64::try_from(self.at(i)).unwrap_or(i64::MAX)
    }
}

/// One change: a record reached a version.
#[derive(Debug, Clone)]
pub struct Change {
    /// What kind of record.
    pub kind: &'static str,
    /// Which.
    pub record: RecordId,
    /// The version that it reached.
    pub version: i64,
    /// The customer as first written with it.
    pub customer: Option<CustomerId>,
    /// When it happened.
    pub occurred_at: Micros,
    /// The record's measures after the change, as a protobuf message.
    pub measures: Vec<u8>,
    /// One of the reserved positions.
    pub position: u64,
}
