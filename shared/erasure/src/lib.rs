//! regard-erasure: what the erasure of a person is in every service: ids that are replaced by random ones, tombstones of those that are
//! gone, and a signed account of what was done, which is told to the customer service until it has it. It knows no service's own tables.

mod receipt;
mod relabel;
mod report;
mod task;
mod tombstone;

use regard_database::Engine;

// What is signed, announced and kept is these messages as they are encoded: they are the values.
pub use regard_proto::common::v1::{ErasureMeasures, ErasurePart, FeedCursor};

pub use receipt::{ALGORITHM, public_key, sign, text, verify};
pub use relabel::{Pair, fresh, of_wire, parts, to_wire};

/// The kind of an erasure in a feed.
pub const KIND: &str = "erasure";
pub use report::report;
pub use task::{Counts, Feeds, job, note};
pub use tombstone::{bury, customer_erased, erased, record_erased};

/// The tables that every service with records of persons has: statements for one engine.
#[must_use]
pub fn tables(engine: Engine) -> Vec<String> {
    [tombstone::table(), task::table()]
        .iter()
        .flat_map(|table| table.create(engine))
        .collect()
}
