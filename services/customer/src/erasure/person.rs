//! What this service holds of a person, and how it loses its name. The transaction is alone with the tenant.

use std::collections::{BTreeSet, HashMap};

use regard_database::{ColumnData, StoreError, Tx};
use regard_erasure::{Counts, Pair, fresh};
use regard_types::{IdKey, TenantId, Uuid};

use crate::customer;

/// A record and whose it is.
struct Owned {
    id: Uuid,
    customer: Uuid,
    /// Of a refund.
    order: Option<Uuid>,
}

/// The rows of a person.
pub struct Person {
    tenant: TenantId,
    orders: Vec<Owned>,
    refunds: Vec<Owned>,
    /// New ids of the customers, by old one.
    pub customers: Vec<Pair>,
    /// New ids of orders and refunds.
    pub records: Vec<Pair>,
    new: HashMap<Uuid, Uuid>,
}

/// All customers that are merged into one with this one; none if it is not known.
pub(crate) async fn group(tx: &Tx, tenant: TenantId, id: Uuid) -> Result<Vec<Uuid>, StoreError> {
    if customer::known(tx, tenant, &[id]).await?.is_empty() {
        return Ok(Vec::new());
    }
    let mut all = BTreeSet::from([id]);
    let mut ask = vec![id];
    while !ask.is_empty() {
        let mut next = Vec::new();
        for sql in [
            "SELECT into_id FROM merge_edge WHERE tenant = $1 AND ended = 0 AND id {in}",
            "SELECT id FROM merge_edge WHERE tenant = $1 AND ended = 0 AND into_id {in}",
        ] {
            for row in tx.fetch_in(sql, vec![tenant.0.into()], &ask).await? {
                let found: Uuid = row.get(0)?;
                if all.insert(found) {
                    next.push(found);
                }
            }
        }
        ask = next;
    }
    Ok(all.into_iter().collect())
}

impl Person {
    /// Reads what there is. A customer that is not known is a person of whom nothing is held, where that is asked for.
    pub async fn read(
        tx: &Tx,
        tenant: TenantId,
        id: Uuid,
        include_unknown: bool,
    ) -> Result<Option<Self>, StoreError> {
        let mut customers = group(tx, tenant, id).await?;
        if customers.is_empty() {
            if !include_unknown {
                return Ok(None);
            }
            customers.push(id);
        }
        let sql = "SELECT id, customer, NULL FROM sales_order WHERE tenant = $1 AND customer {in}";
        let orders = owned(tx, tenant, sql, &customers, false).await?;
        let sql = "SELECT id, customer, order_id FROM refund WHERE tenant = $1 AND customer {in}";
        let refunds = owned(tx, tenant, sql, &customers, true).await?;
        let ids = |records: &[Owned]| records.iter().map(|r| r.id).collect::<Vec<_>>();
        let customers = fresh(&customers)?;
        let mut records = fresh(&ids(&orders))?;
        records.extend(fresh(&ids(&refunds))?);
        let all = customers.iter().chain(&records);
        Ok(Some(Self {
            tenant,
            orders,
            refunds,
            new: all.map(|pair| (pair.old, pair.new)).collect(),
            customers,
            records,
        }))
    }

    /// Removes who the person is, and replaces the ids.
    pub async fn erase(&self, tx: &Tx, ids: &IdKey, counts: &mut Counts) -> Result<(), StoreError> {
        let old: Vec<Uuid> = self.customers.iter().map(|pair| pair.old).collect();
        for (table, column) in [("customer_identity", "id"), ("customer_key", "customer")] {
            let sql = format!("DELETE FROM {table} WHERE tenant = $1 AND {column} {{in}}");
            let gone = tx.run_in(&sql, vec![self.tenant.0.into()], &old).await?;
            counts.removed(table, gone);
        }
        self.customers(tx, ids, counts).await?;
        self.edges(tx, counts).await?;
        for table in ["sales_order", "sales_order_history"] {
            self.owned(tx, table, &self.orders, false, counts).await?;
        }
        for table in ["refund", "refund_history"] {
            self.owned(tx, table, &self.refunds, true, counts).await?;
        }
        Ok(())
    }

    async fn customers(&self, tx: &Tx, ids: &IdKey, counts: &mut Counts) -> Result<(), StoreError> {
        let none = || ColumnData::from(vec![None::<&str>; self.customers.len()]);
        // The digest of a content holds the name: that of nothing takes its place.
        let content = |pair: &Pair| ids.digest("erased content", pair.new.as_bytes()).to_vec();
        for table in ["customer", "customer_history"] {
            let set = [
                ("id", news(&self.customers)),
                ("key_source", none()),
                ("key_external", none()),
                (
                    "content",
                    self.customers
                        .iter()
                        .map(content)
                        .collect::<Vec<_>>()
                        .into(),
                ),
            ];
            let key = [self.tenant(), ("id", olds(&self.customers))];
            counts.relabelled(table, tx.bulk_update(table, &key, &set).await?);
        }
        Ok(())
    }

    /// Merge edges that leave or reach the person, ended ones too. Rows of before the contract asked for a code may hold
    /// a name as their evidence.
    async fn edges(&self, tx: &Tx, counts: &mut Counts) -> Result<(), StoreError> {
        for table in ["merge_edge", "merge_edge_history"] {
            for column in ["id", "into_id"] {
                let key = [self.tenant(), (column, olds(&self.customers))];
                let set = [
                    (column, news(&self.customers)),
                    ("evidence", ColumnData::OneText("")),
                ];
                counts.relabelled(table, tx.bulk_update(table, &key, &set).await?);
            }
        }
        Ok(())
    }

    async fn owned(
        &self,
        tx: &Tx,
        table: &'static str,
        records: &[Owned],
        refunds: bool,
        counts: &mut Counts,
    ) -> Result<(), StoreError> {
        if records.is_empty() {
            return Ok(());
        }
        let none = || ColumnData::from(vec![None::<&str>; records.len()]);
        let new = |id: Uuid| self.new.get(&id).copied().unwrap_or(id);
        let each = |of: fn(&Owned) -> Uuid| {
            ColumnData::from(records.iter().map(|r| new(of(r))).collect::<Vec<Uuid>>())
        };
        let mut set = vec![
            ("id", each(|r| r.id)),
            ("customer", each(|r| r.customer)),
            ("key_source", none()),
            ("key_external", none()),
        ];
        if refunds {
            let orders: Vec<Option<Uuid>> = records.iter().map(|r| r.order.map(new)).collect();
            set.push(("order_id", orders.into()));
        }
        let old: Vec<Uuid> = records.iter().map(|r| r.id).collect();
        let key = [self.tenant(), ("id", old.into())];
        counts.relabelled(table, tx.bulk_update(table, &key, &set).await?);
        Ok(())
    }

    fn tenant(&self) -> (&'static str, ColumnData<'static>) {
        ("tenant", ColumnData::OneUuid(self.tenant.0))
    }

    /// The ids that are gone, and the customers' new ones, of which nothing is ever to be learned again.
    pub fn graves(&self) -> Vec<Uuid> {
        let old = self
            .customers
            .iter()
            .chain(&self.records)
            .map(|pair| pair.old);
        old.chain(self.customers.iter().map(|pair| pair.new))
            .collect()
    }
}

fn olds(pairs: &[Pair]) -> ColumnData<'static> {
    pairs
        .iter()
        .map(|pair| pair.old)
        .collect::<Vec<Uuid>>()
        .into()
}

fn news(pairs: &[Pair]) -> ColumnData<'static> {
    pairs
        .iter()
        .map(|pair| pair.new)
        .collect::<Vec<Uuid>>()
        .into()
}

async fn owned(
    tx: &Tx,
    tenant: TenantId,
    sql: &str,
    customers: &[Uuid],
    refunds: bool,
) -> Result<Vec<Owned>, StoreError> {
    let one = |row: &regard_database::Row| {
        Ok(Owned {
            id: row.get(0)?,
            customer: row.get(1)?,
            order: if refunds { row.get(2)? } else { None },
        })
    };
    let rows = tx.fetch_in(sql, vec![tenant.0.into()], customers).await?;
    rows.iter().map(one).collect()
}
