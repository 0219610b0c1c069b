//! An order: what a customer bought, and what a repeated row or a correction does to it.

use regard_types::record::{Head, Turn, customer_fixed, turn};
use regard_types::{Channel, CustomerId, Fault, Micros, RecordId, SourceKey};

/// What can be corrected of an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Terms {
    /// When it was bought.
    pub order_time: Micros,
    /// What it cost, in the minor unit of the tenant's currency; not negative.
    pub gross: i64,
    /// How many units, 0 if not known.
    pub units: i64,
    /// Where it was sold.
    pub channel: Option<Channel>,
}

/// An order as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Follows from the key, if there is one.
    pub id: RecordId,
    /// Its key at its source.
    pub key: Option<SourceKey>,
    /// The arrival customer; fixed.
    pub customer: CustomerId,
    /// What can be corrected.
    pub terms: Terms,
    /// It counts nowhere.
    pub voided: bool,
    /// The revision of its source that was taken last, 0 for none.
    pub revision: i64,
    /// Version and times.
    pub head: Head,
}

/// An order as a caller gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewOrder {
    /// Follows from the key, if there is one; else random.
    pub id: RecordId,
    /// Its key at its source.
    pub key: Option<SourceKey>,
    /// Who bought.
    pub customer: CustomerId,
    /// The customer's key, where the caller named it so.
    pub customer_key: Option<SourceKey>,
    /// What was bought.
    pub terms: Terms,
    /// Of its source, 0 for none.
    pub revision: i64,
}

impl NewOrder {
    /// Its first version.
    pub fn first(&self, now: Micros) -> Order {
        Order {
            id: self.id,
            key: self.key.clone(),
            customer: self.customer,
            terms: self.terms,
            voided: false,
            revision: self.revision,
            head: Head::first(now),
        }
    }

    /// What it says of its record: rows of one batch that say the same are one row.
    pub fn says(&self) -> (CustomerId, Terms, i64) {
        (self.customer, self.terms, self.revision)
    }
}

/// What a row does to a stored order.
#[derive(Debug)]
pub enum Step {
    /// Nothing.
    Unchanged,
    /// It becomes the next version.
    Next(Order),
}

/// Decides what a row does to the stored order. `former` are the terms of all former versions (read only for orders whose
/// row differs from the current version), `refunded` is the sum of the refunds linked to the order.
///
/// # Errors
/// `CUSTOMER_FIXED`, `WRONG_STATE` (voided, or less than was refunded).
pub fn step(
    stored: &Order,
    row: &NewOrder,
    former: &[Terms],
    refunded: i64,
    now: Micros,
) -> Result<Step, Fault> {
    if stored.customer != row.customer {
        return Err(customer_fixed("order.customer", stored.id));
    }
    match turn(stored.revision, row.revision, stored.terms == row.terms) {
        Turn::Unchanged => return Ok(Step::Unchanged),
        Turn::UnlessFormer if former.contains(&row.terms) => return Ok(Step::Unchanged),
        Turn::Next | Turn::UnlessFormer => {}
    }
    let next = correct(stored, row.terms, refunded, now)?;
    Ok(Step::Next(Order {
        revision: stored.revision.max(row.revision),
        ..next
    }))
}

/// Whether deciding needs the former versions and the refunds.
pub fn differs(stored: &Order, row: &NewOrder) -> bool {
    turn(stored.revision, row.revision, stored.terms == row.terms) != Turn::Unchanged
}

/// The version after a correction.
///
/// # Errors
/// `WRONG_STATE`: the order is voided, or more was refunded than it would then have cost.
pub fn correct(stored: &Order, terms: Terms, refunded: i64, now: Micros) -> Result<Order, Fault> {
    if stored.voided {
        let fault = Fault::wrong_state(
            "voided",
            "a voided order cannot be corrected; record a new one",
        );
        return Err(of_order(fault, stored.id));
    }
    if terms.gross < refunded {
        let fault = Fault::wrong_state(
            "refunded",
            "more was refunded than the order would have cost",
        );
        return Err(of_order(fault, stored.id).meta("refunded_minor", refunded));
    }
    Ok(Order {
        terms,
        head: stored.head.next(now),
        ..stored.clone()
    })
}

/// The version after voiding.
///
/// # Errors
/// `WRONG_STATE`: it is voided already.
pub fn void(stored: &Order, now: Micros) -> Result<Order, Fault> {
    if stored.voided {
        let fault = Fault::wrong_state("voided", "the order is voided already");
        return Err(of_order(fault, stored.id));
    }
    Ok(Order {
        voided: true,
        head: stored.head.next(now),
        ..stored.clone()
    })
}

pub(crate) fn of_order(fault: Fault, id: RecordId) -> Fault {
    fault.meta("resource", "order").meta("id", id)
}
