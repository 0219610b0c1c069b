//! A merge: an edge from a customer to the one that it is part of. Nothing is rewritten; un-merging ends the edge.

use regard_types::record::Head;
use regard_types::{CustomerId, Fault};

/// The edge of a customer that is, or was, merged. There is at most one a customer, and it has the customer's id: its
/// versions say how the customer was merged and stood alone again, in an order that no lane can turn round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edge {
    /// The customer that is part of another one.
    pub from: CustomerId,
    /// The customer that it is part of.
    pub into: CustomerId,
    /// Why, coded; may be empty.
    pub evidence: String,
    /// The merge was undone.
    pub ended: bool,
    /// Version and times.
    pub head: Head,
}

/// One of two customers to merge is itself merged.
pub fn not_canonical(customer: CustomerId, canonical: CustomerId) -> Fault {
    let message = "a customer that is merged into another one cannot be merged again; use the customer that it stands for now";
    Fault::refused("MERGE_NOT_CANONICAL", message)
        .meta("id", customer)
        .meta("canonical_id", canonical)
}

/// A customer cannot be merged into itself.
pub fn same() -> Fault {
    Fault::invalid("from", "must be another customer than `into`")
}

/// The customer stands alone.
pub fn not_merged(customer: CustomerId) -> Fault {
    let fault = Fault::wrong_state("canonical", "the customer is not merged into another one");
    fault.meta("resource", "customer").meta("id", customer)
}
