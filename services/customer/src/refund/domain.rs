//! A refund: money given back, with a day of its own.

use regard_types::record::{Head, customer_fixed};
use regard_types::{CustomerId, Fault, Micros, RecordId, SourceKey};

use crate::order::Order;

/// A refund as stored, or as a caller gives it (then its head is that of a first version).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refund {
    /// Follows from the key, if there is one.
    pub id: RecordId,
    /// Its key at its source.
    pub key: Option<SourceKey>,
    /// The arrival customer.
    pub customer: CustomerId,
    /// The order that it belongs to.
    pub order: Option<RecordId>,
    /// When it was given.
    pub refund_time: Micros,
    /// In the minor unit of the tenant's currency; not negative.
    pub amount: i64,
    /// Version and times.
    pub head: Head,
}

impl Refund {
    /// Says the same as another one.
    pub fn same_as(&self, other: &Self) -> bool {
        (self.customer, self.order, self.refund_time, self.amount)
            == (other.customer, other.order, other.refund_time, other.amount)
    }
}

/// Whether the order takes this refund, when `refunded` was given back before.
///
/// # Errors
/// `CUSTOMER_FIXED` (another customer's order), `WRONG_STATE` (voided, or more than is left of the order's value).
pub fn check(order: &Order, refund: &Refund, refunded: i64) -> Result<(), Fault> {
    if order.customer != refund.customer {
        return Err(customer_fixed("refund.order", order.id));
    }
    let wrong = |state, message| {
        let fault = Fault::wrong_state(state, message);
        fault.meta("resource", "order").meta("id", order.id)
    };
    if order.voided {
        return Err(wrong("voided", "a voided order takes no refund"));
    }
    let left = order.terms.gross.saturating_sub(refunded);
    if refund.amount > left {
        let state = if refunded > 0 { "refunded" } else { "recorded" };
        let fault = wrong(
            state,
            "the refund is more than what is left of the order's value",
        );
        return Err(fault
            .meta("gross_minor", order.terms.gross)
            .meta("refunded_minor", refunded)
            .meta("left_minor", left));
    }
    Ok(())
}
