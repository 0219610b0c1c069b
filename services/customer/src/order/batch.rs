//! What a batch of order rows does to what is stored. Pure: the store reads before, and writes after.

use std::collections::{BTreeMap, HashMap, HashSet};

use regard_erasure::{customer_erased, record_erased};
use regard_types::record::Seen;
use regard_types::{CustomerId, Fault, Micros, RecordId, SourceKey, Uuid};

use super::domain::{NewOrder, Order, Step, Terms, step};

/// What is stored of the records that a batch names.
#[derive(Debug, Default)]
pub struct Stored {
    /// The orders' current versions.
    pub orders: HashMap<RecordId, Order>,
    /// The customers that exist.
    pub customers: HashSet<CustomerId>,
    /// Former versions of the orders whose rows differ.
    pub former: HashMap<RecordId, Vec<Terms>>,
    /// Refunds of the orders whose rows differ.
    pub refunded: HashMap<RecordId, i64>,
    /// Customers and orders among those not stored that were erased, each with its erasure.
    pub erased: HashMap<Uuid, Uuid>,
}

/// What becomes of a row.
#[derive(Debug)]
pub enum Outcome {
    /// The record's first or next version.
    Accepted(RecordId),
    /// Nothing is written for it.
    Unchanged(RecordId),
    /// It is not stored.
    Rejected(Fault),
    /// It was rejected before.
    Skipped,
}

/// What a batch writes, and what becomes of its rows.
#[derive(Debug, Default)]
pub struct Plan {
    /// Customers to create.
    pub customers: BTreeMap<CustomerId, SourceKey>,
    /// First versions, by id.
    pub first: Vec<Order>,
    /// Next versions, by id.
    pub next: Vec<Order>,
    /// One a row.
    pub outcomes: Vec<Outcome>,
}

impl Plan {
    /// How many records it writes.
    pub fn writes(&self) -> usize {
        self.customers.len() + self.first.len() + self.next.len()
    }

    /// Decides for each row; those that are none were rejected before.
    pub fn of(
        rows: &[Option<NewOrder>],
        stored: &Stored,
        create_missing: bool,
        now: Micros,
    ) -> Self {
        let mut plan = Self {
            outcomes: Vec::with_capacity(rows.len()),
            ..Self::default()
        };
        let mut seen = Seen::default();
        for (index, row) in rows.iter().enumerate() {
            let outcome = match row {
                None => Outcome::Skipped,
                Some(row) => plan
                    .row(stored, &mut seen, (index, row), create_missing, now)
                    .unwrap_or_else(Outcome::Rejected),
            };
            plan.outcomes.push(outcome);
        }
        plan.first.sort_unstable_by_key(|order| order.id);
        plan.next.sort_unstable_by_key(|order| order.id);
        plan
    }

    fn row(
        &mut self,
        stored: &Stored,
        seen: &mut Seen<RecordId, (CustomerId, Terms, i64)>,
        (index, row): (usize, &NewOrder),
        create_missing: bool,
        now: Micros,
    ) -> Result<Outcome, Fault> {
        if seen.again("order.key", &row.id, &row.says())? {
            return Ok(Outcome::Unchanged(row.id));
        }
        let outcome = match stored.orders.get(&row.id) {
            Some(order) => {
                let none = Vec::new();
                let former = stored.former.get(&row.id).unwrap_or(&none);
                let refunded = stored.refunded.get(&row.id).copied().unwrap_or(0);
                match step(order, row, former, refunded, now)? {
                    Step::Unchanged => Outcome::Unchanged(row.id),
                    Step::Next(next) => {
                        self.next.push(next);
                        Outcome::Accepted(row.id)
                    }
                }
            }
            None => {
                if stored.erased.contains_key(&row.customer.0) {
                    return Err(customer_erased("order.customer", row.customer));
                }
                if stored.erased.contains_key(&row.id.0) {
                    return Err(record_erased("order", row.id));
                }
                self.customer(stored, row, create_missing)?;
                self.first.push(row.first(now));
                Outcome::Accepted(row.id)
            }
        };
        seen.note(row.id, index, row.says());
        Ok(outcome)
    }

    fn customer(
        &mut self,
        stored: &Stored,
        row: &NewOrder,
        create_missing: bool,
    ) -> Result<(), Fault> {
        if stored.customers.contains(&row.customer) || self.customers.contains_key(&row.customer) {
            return Ok(());
        }
        match &row.customer_key {
            Some(key) if create_missing => {
                self.customers.insert(row.customer, key.clone());
                Ok(())
            }
            _ => Err(unknown_customer(
                "order.customer",
                row.customer,
                row.customer_key.as_ref(),
            )),
        }
    }
}

/// No such customer; the metadata names it as the caller did.
pub fn unknown_customer(field: &str, id: CustomerId, key: Option<&SourceKey>) -> Fault {
    let mut fault = match key {
        None => Fault::not_found("customer", id),
        Some(key) => {
            let message = "no customer with this key in this tenant";
            Fault::new(regard_types::Kind::NotFound, "CUSTOMER_UNKNOWN", message)
                .meta("resource", "customer")
                .meta("source", &key.source)
                .meta("external_id", &key.external_id)
        }
    };
    fault.violations.push((
        field.to_owned(),
        "must be a known customer; create it first, or set create_missing and name it by key"
            .to_owned(),
    ));
    fault
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Micros = Micros(1_000);

    fn row(id: u128, customer: u128, gross: i64, revision: i64) -> NewOrder {
        NewOrder {
            id: RecordId(Uuid::from_u128(id)),
            key: Some(SourceKey::new("shop", id.to_string())),
            customer: CustomerId(Uuid::from_u128(customer)),
            customer_key: Some(SourceKey::new("shop", customer.to_string())),
            terms: Terms {
                order_time: Micros(7),
                gross,
                units: 1,
                channel: None,
            },
            revision,
        }
    }

    /// Applies batch after batch, as the store would keep them.
    #[derive(Default)]
    struct Memory(Stored);

    impl Memory {
        fn take(&mut self, rows: Vec<NewOrder>) -> Plan {
            let rows: Vec<_> = rows.into_iter().map(Some).collect();
            let plan = Plan::of(&rows, &self.0, true, NOW);
            self.0.customers.extend(plan.customers.keys());
            for order in plan.first.iter().chain(&plan.next) {
                if let Some(before) = self.0.orders.insert(order.id, order.clone()) {
                    assert_eq!(before.head.version + 1, order.head.version);
                    self.0
                        .former
                        .entry(order.id)
                        .or_default()
                        .push(before.terms);
                }
            }
            plan
        }

        fn gross(&self, id: u128) -> i64 {
            self.0.orders[&RecordId(Uuid::from_u128(id))].terms.gross
        }
    }

    fn accepted(plan: &Plan) -> usize {
        plan.outcomes
            .iter()
            .filter(|o| matches!(o, Outcome::Accepted(_)))
            .count()
    }

    #[test]
    fn a_rejected_row_does_not_take_its_key() {
        let stored = Stored::default();
        let unknown = NewOrder {
            customer_key: None,
            ..row(1, 1, 5, 0)
        };
        let rows = [Some(unknown), Some(row(1, 2, 6, 0)), None];
        let plan = Plan::of(&rows, &stored, true, NOW);
        assert!(matches!(plan.outcomes[0], Outcome::Rejected(_)));
        assert!(matches!(plan.outcomes[1], Outcome::Accepted(_)));
        assert!(matches!(plan.outcomes[2], Outcome::Skipped));
        assert_eq!(
            (plan.customers.len(), plan.first.len(), plan.writes()),
            (1, 1, 2)
        );
    }

    proptest! {
        #[test]
        fn the_newest_revision_wins_in_any_order(
            sent in prop::collection::vec((0_u128..3, 1_i64..6), 1..40),
            size in 1_usize..7,
        ) {
            let mut memory = Memory::default();
            let rows: Vec<_> = sent.iter().map(|(id, revision)| row(*id, 1, revision * 10, *revision)).collect();
            for batch in rows.chunks(size) {
                // one row a key and batch: others are rejected, and tested elsewhere
                let mut batch = batch.to_vec();
                batch.sort_by_key(|row| (row.id, -row.revision));
                batch.dedup_by_key(|row| row.id);
                memory.take(batch);
            }
            for (id, _) in &sent {
                let newest = sent.iter().filter(|(other, _)| other == id).map(|(_, r)| *r).max().unwrap();
                prop_assert_eq!(memory.gross(*id), newest * 10);
            }
            // the whole file again changes nothing
            for row in rows {
                prop_assert_eq!(memory.take(vec![row]).writes(), 0);
            }
        }

        #[test]
        fn without_revisions_every_content_counts_once(sent in prop::collection::vec((0_u128..3, 0_i64..5), 1..40)) {
            let mut memory = Memory::default();
            let mut seen = HashSet::new();
            let mut last: HashMap<u128, i64> = HashMap::new();
            for (id, gross) in sent {
                let new = seen.insert((id, gross));
                prop_assert_eq!(accepted(&memory.take(vec![row(id, 1, gross, 0)])), usize::from(new));
                if new {
                    last.insert(id, gross);
                }
                prop_assert_eq!(memory.gross(id), last[&id]);
            }
        }
    }
}
