//! The tables in the order of a snapshot: current rows of every kind, then the history.

use std::sync::Arc;

use async_trait::async_trait;
use regard_database::feed::ChangeRow;
use regard_database::feed::snapshot::{Key, Source};
use regard_database::{Row, StoreError, Tx, Value};
use regard_types::{TenantId, Uuid};

use crate::erasure::Erasures;
use crate::{customer, merge, order, refund, tenant};

/// A table of versions, read by its key.
struct Rows {
    table: &'static str,
    columns: &'static str,
    /// The history has several versions of a record.
    history: bool,
    read: fn(&Row) -> Result<ChangeRow, StoreError>,
}

/// All tables of the kinds asked for (of all if none is named), current ones first. The order is part of resume tokens: only
/// ever append.
pub fn sources(kinds: &[String]) -> Vec<Arc<dyn Source>> {
    let mut all: Vec<(&str, Arc<dyn Source>)> = Vec::new();
    for history in [false, true] {
        let of = |names: [&'static str; 2], columns, read| Rows {
            table: names[usize::from(history)],
            columns,
            history,
            read,
        };
        all.push((
            "tenant",
            Arc::new(of(
                ["tenant", "tenant_history"],
                tenant::store::COLUMNS,
                tenant::store::change,
            )),
        ));
        all.push((
            "customer",
            Arc::new(of(
                ["customer", "customer_history"],
                customer::store::COLUMNS,
                customer::store::change,
            )),
        ));
        all.push((
            "merge",
            Arc::new(of(
                ["merge_edge", "merge_edge_history"],
                merge::store::COLUMNS,
                merge::store::change,
            )),
        ));
        all.push((
            "order",
            Arc::new(of(
                ["sales_order", "sales_order_history"],
                order::store::COLUMNS,
                order::store::change,
            )),
        ));
        all.push((
            "refund",
            Arc::new(of(
                ["refund", "refund_history"],
                refund::store::COLUMNS,
                refund::store::change,
            )),
        ));
    }
    all.push(("erasure", Arc::new(Erasures)));
    let wanted = |kind: &str| kinds.is_empty() || kinds.iter().any(|wanted| wanted == kind);
    let all = all.into_iter().filter(|(kind, _)| wanted(kind));
    all.map(|(_, source)| source).collect()
}

/// Tenant, id and version of the last row: 16, 16 and 8 bytes.
struct After {
    tenant: Uuid,
    id: Uuid,
    version: i64,
}

impl After {
    fn key(change: &ChangeRow) -> Key {
        let mut key = Vec::with_capacity(40);
        key.extend_from_slice(change.tenant.0.as_bytes());
        key.extend_from_slice(change.record.0.as_bytes());
        key.extend_from_slice(&change.version.to_be_bytes());
        key
    }

    fn read(key: &Key) -> Result<Self, StoreError> {
        let read = || {
            let (tenant, rest) = key.split_first_chunk::<16>()?;
            let (id, version) = rest.split_first_chunk::<16>()?;
            Some(Self {
                tenant: Uuid::from_bytes(*tenant),
                id: Uuid::from_bytes(*id),
                version: i64::from_be_bytes(version.try_into().ok()?),
            })
        };
        // The token was made by this process or a twin of it.
        read().ok_or_else(|| StoreError::corrupt("a resume token with a key that is none"))
    }
}

#[async_trait]
impl Source for Rows {
    async fn page(
        &self,
        tx: &Tx,
        tenant: Option<TenantId>,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<(Key, ChangeRow)>, StoreError> {
        let (sql, values) = self.query(tenant, after, limit)?;
        let mut out = Vec::new();
        for row in tx.fetch(sql, values).await? {
            let change = (self.read)(&row)?;
            out.push((After::key(&change), change));
        }
        Ok(out)
    }
}

impl Rows {
    fn query(
        &self,
        tenant: Option<TenantId>,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<(String, Vec<Value>), StoreError> {
        let mut values: Vec<Value> = Vec::new();
        let mut tests: Vec<String> = Vec::new();
        if let Some(tenant) = tenant {
            values.push(tenant.0.into());
            tests.push("tenant = $1".to_owned());
        }
        if let Some(after) = after {
            let After {
                tenant,
                id,
                version,
            } = After::read(after)?;
            let n = values.len() + 1;
            values.extend([Value::from(tenant), Value::from(id)]);
            if self.history {
                values.push(version.into());
                tests.push(format!(
                    "(tenant, id, version) > (${n}, ${}, ${})",
                    n + 1,
                    n + 2
                ));
            } else {
                tests.push(format!("(tenant, id) > (${n}, ${})", n + 1));
            }
        }
        let test = if tests.is_empty() {
            String::new()
        } else {
            format!(" WHERE {}", tests.join(" AND "))
        };
        let order = if self.history {
            "tenant, id, version"
        } else {
            "tenant, id"
        };
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let n = values.len() + 1;
        values.push(limit.into());
        let sql = format!(
            "SELECT {} FROM {}{test} ORDER BY {order} LIMIT ${n}",
            self.columns, self.table
        );
        Ok((sql, values))
    }
}
