//! What a batch of customer rows does to what is stored. Pure: the store reads before, and writes after.

use std::collections::{HashMap, HashSet};

use regard_erasure::customer_erased;
use regard_types::record::{Seen, Turn, turn};
use regard_types::{CustomerId, Fault, Micros, Uuid};

use super::domain::{Customer, NewCustomer};

/// What is stored of the customers that a batch names.
#[derive(Debug, Default)]
pub struct Stored {
    /// Their current versions.
    pub customers: HashMap<CustomerId, Customer>,
    /// Contents of former versions of those whose rows differ.
    pub former: HashSet<(CustomerId, [u8; 32])>,
    /// Those that were erased, each with its erasure.
    pub erased: HashMap<Uuid, Uuid>,
}

/// What becomes of a row.
#[derive(Debug)]
pub enum Outcome {
    /// The record's first or next version.
    Accepted,
    /// Nothing is written for it.
    Unchanged,
    /// It is not stored.
    Rejected(Fault),
    /// It was rejected before.
    Skipped,
}

/// What a batch writes, and what becomes of its rows.
#[derive(Debug, Default)]
pub struct Plan {
    /// First versions, by id.
    pub first: Vec<Customer>,
    /// Next versions, by id.
    pub next: Vec<Customer>,
    /// One a row.
    pub outcomes: Vec<Outcome>,
}

/// Whether deciding needs the former versions.
pub fn differs(stored: &Customer, row: &NewCustomer) -> bool {
    turn(stored.revision, row.revision, stored.content == row.content) != Turn::Unchanged
}

impl Plan {
    /// Decides for each row; those that are none were rejected before.
    pub fn of(rows: &[Option<NewCustomer>], stored: &Stored, now: Micros) -> Self {
        let mut plan = Self::default();
        let mut seen = Seen::default();
        for (index, row) in rows.iter().enumerate() {
            let outcome = match row {
                None => Outcome::Skipped,
                Some(row) => {
                    let says = (row.content, row.revision);
                    match seen.again("customer.key", &row.id, &says) {
                        Err(fault) => Outcome::Rejected(fault),
                        Ok(true) => Outcome::Unchanged,
                        Ok(false) => {
                            seen.note(row.id, index, says);
                            plan.row(stored, row, now)
                        }
                    }
                }
            };
            plan.outcomes.push(outcome);
        }
        plan.first.sort_unstable_by_key(|customer| customer.id);
        plan.next.sort_unstable_by_key(|customer| customer.id);
        plan
    }

    fn row(&mut self, stored: &Stored, row: &NewCustomer, now: Micros) -> Outcome {
        let Some(before) = stored.customers.get(&row.id) else {
            if stored.erased.contains_key(&row.id.0) {
                return Outcome::Rejected(customer_erased("customer.key", row.id));
            }
            self.first.push(row.first(now));
            return Outcome::Accepted;
        };
        let turn = turn(before.revision, row.revision, before.content == row.content);
        let former = turn == Turn::UnlessFormer && stored.former.contains(&(row.id, row.content));
        if turn == Turn::Unchanged || former {
            return Outcome::Unchanged;
        }
        self.next.push(Customer {
            profile: row.profile.clone(),
            content: row.content,
            revision: before.revision.max(row.revision),
            head: before.head.next(now),
            ..before.clone()
        });
        Outcome::Accepted
    }
}
