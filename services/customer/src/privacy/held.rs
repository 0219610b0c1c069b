//! What this service holds about a person, for its export.

use std::sync::Arc;

use async_trait::async_trait;
use regard_database::{StoreError, Tx};
use regard_server::privacy::{Field, Held, fields};
use regard_types::{Caller, CustomerId, Fault, Micros, RecordId, Uuid};

use crate::core::Core;
use crate::order::{Reader, View};
use crate::{customer, merge, order, refund};

/// Every kind of record, in the order of an export: only ever append.
pub fn all(core: &Arc<Core>) -> Vec<Box<dyn Held>> {
    vec![
        Box::new(Customers(core.clone())),
        Box::new(Merges),
        Box::new(Orders(core.clone())),
        Box::new(Refunds(core.clone())),
    ]
}

struct Customers(Arc<Core>);

#[async_trait]
impl Held for Customers {
    fn kind(&self) -> &'static str {
        "customer"
    }

    fn tables(&self) -> &'static [(&'static str, &'static str, &'static str)] {
        &[("customer", "customer_history", "id")]
    }

    async fn read(
        &self,
        tx: &Tx,
        caller: &Caller,
        (id, version): (Uuid, i64),
    ) -> Result<(Micros, Vec<Field>), Fault> {
        let id = CustomerId(id);
        let found = customer::version(tx, &self.0.vault, caller.tenant, id, version).await?;
        let roots = merge::roots(tx, caller.tenant, &[id]).await?;
        let wire = customer::to_wire(&found, roots.get(&id).copied().unwrap_or(id));
        Ok((
            found.head.updated,
            fields("regard.customer.v1.Customer", &wire)?,
        ))
    }
}

/// Merges that leave or reach the person, ended ones too.
struct Merges;

#[async_trait]
impl Held for Merges {
    fn kind(&self) -> &'static str {
        "merge"
    }

    fn tables(&self) -> &'static [(&'static str, &'static str, &'static str)] {
        &[
            ("merge_edge", "merge_edge_history", "id"),
            ("merge_edge", "merge_edge_history", "into_id"),
        ]
    }

    /// The contract has no message of an edge with its evidence.
    async fn read(
        &self,
        tx: &Tx,
        caller: &Caller,
        (id, version): (Uuid, i64),
    ) -> Result<(Micros, Vec<Field>), Fault> {
        let edge = merge::store::version(tx, caller.tenant, CustomerId(id), version).await?;
        let field = |path: &str, value: String| Field {
            path: path.to_owned(),
            value,
            personal: false,
        };
        let mut all = vec![
            field("from_id", edge.from.to_string()),
            field("into_id", edge.into.to_string()),
            field("ended", edge.ended.to_string()),
        ];
        if !edge.evidence.is_empty() {
            all.push(field("evidence", edge.evidence));
        }
        Ok((edge.head.updated, all))
    }
}

struct Orders(Arc<Core>);

#[async_trait]
impl Held for Orders {
    fn kind(&self) -> &'static str {
        "order"
    }

    fn tables(&self) -> &'static [(&'static str, &'static str, &'static str)] {
        &[("sales_order", "sales_order_history", "customer")]
    }

    async fn read(
        &self,
        tx: &Tx,
        caller: &Caller,
        (id, version): (Uuid, i64),
    ) -> Result<(Micros, Vec<Field>), Fault> {
        let id = RecordId(id);
        let found = order::store::versions(tx, caller.tenant, &[(id, version)]).await?;
        let order = found.into_iter().next().ok_or(StoreError::Missing)?;
        let sums = refund::sums(tx, caller.tenant, &[id.0]).await?;
        let view = View {
            refunded: sums.get(&id).copied().unwrap_or(0),
            order,
        };
        let tenant = self.0.tenants.of_in(tx, caller).await?;
        let wire = Reader::new(&self.0, &tenant).order_to_wire(&view);
        let recorded = view.order.head.updated;
        Ok((recorded, fields("regard.customer.v1.Order", &wire)?))
    }
}

struct Refunds(Arc<Core>);

#[async_trait]
impl Held for Refunds {
    fn kind(&self) -> &'static str {
        "refund"
    }

    fn tables(&self) -> &'static [(&'static str, &'static str, &'static str)] {
        &[("refund", "refund_history", "customer")]
    }

    async fn read(
        &self,
        tx: &Tx,
        caller: &Caller,
        (id, version): (Uuid, i64),
    ) -> Result<(Micros, Vec<Field>), Fault> {
        let found = refund::store::version(tx, caller.tenant, RecordId(id), version).await?;
        let tenant = self.0.tenants.of_in(tx, caller).await?;
        let wire = Reader::new(&self.0, &tenant).refund_to_wire(&found);
        Ok((
            found.head.updated,
            fields("regard.customer.v1.Refund", &wire)?,
        ))
    }
}
