//! The tables of refunds.

use std::collections::HashMap;

use regard_database::feed::ChangeRow;
use regard_database::{ColumnData, Conflict, Place, Row, StoreError, Tx};
use regard_types::record::Head;
use regard_types::{CustomerId, Micros, RecordId, TenantId, Uuid};
use sea_orm::FromQueryResult;

use super::domain::Refund;
use crate::measures::change_row;
use crate::order::key;

#[derive(Debug, FromQueryResult)]
pub(super) struct Stored {
    pub tenant: Uuid,
    pub id: Uuid,
    pub version: i64,
    pub lane: i64,
    pub position: i64,
    pub created: i64,
    pub updated: i64,
    pub key_source: Option<String>,
    pub key_external: Option<String>,
    pub customer: Uuid,
    pub order_id: Option<Uuid>,
    pub refund_time: i64,
    pub amount: i64,
}

pub const COLUMNS: &str = "tenant, id, version, lane, position, created, updated, key_source, key_external, \
     customer, order_id, refund_time, amount";

impl From<Stored> for Refund {
    fn from(row: Stored) -> Self {
        Refund {
            id: RecordId(row.id),
            key: key(row.key_source, row.key_external),
            customer: CustomerId(row.customer),
            order: row.order_id.map(RecordId),
            refund_time: Micros(row.refund_time),
            amount: row.amount,
            head: Head {
                version: row.version,
                created: Micros(row.created),
                updated: Micros(row.updated),
            },
        }
    }
}

/// The current version.
pub async fn current(
    tx: &Tx,
    tenant: TenantId,
    id: RecordId,
) -> Result<Option<Refund>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM refund WHERE tenant = $1 AND id = $2");
    let row = tx
        .fetch_one(sql, vec![tenant.0.into(), id.0.into()])
        .await?;
    Ok(match row {
        Some(row) => Some(Stored::from_query_result(row.inner(), "")?.into()),
        None => None,
    })
}

/// The version with this number.
pub async fn version(
    tx: &Tx,
    tenant: TenantId,
    id: RecordId,
    version: i64,
) -> Result<Refund, StoreError> {
    match current(tx, tenant, id).await? {
        Some(refund) if refund.head.version == version => return Ok(refund),
        _ => {}
    }
    let sql = format!(
        "SELECT {COLUMNS} FROM refund_history WHERE tenant = $1 AND id = $2 AND version = $3"
    );
    let values = vec![tenant.0.into(), id.0.into(), version.into()];
    let row = tx.fetch_one(sql, values).await?;
    let row = row.ok_or(StoreError::Missing)?;
    Ok(Stored::from_query_result(row.inner(), "")?.into())
}

/// The sum of the refunds linked to each of these orders; orders without one are left out.
pub async fn sums(
    tx: &Tx,
    tenant: TenantId,
    orders: &[Uuid],
) -> Result<HashMap<RecordId, i64>, StoreError> {
    // The sum of a bigint is numeric on PostgreSQL; it is at most the order's value, a bigint.
    let sql = "SELECT order_id, CAST(SUM(amount) AS bigint) FROM refund \
         WHERE tenant = $1 AND order_id IS NOT NULL AND order_id {in} GROUP BY order_id";
    let mut out = HashMap::new();
    for row in tx.fetch_in(sql, vec![tenant.0.into()], orders).await? {
        out.insert(RecordId(row.get(0)?), row.get(1)?);
    }
    Ok(out)
}

/// Whether the tenant has any refund.
pub async fn any(tx: &Tx, tenant: TenantId) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM refund WHERE tenant = $1 LIMIT 1";
    Ok(tx.fetch_one(sql, vec![tenant.0.into()]).await?.is_some())
}

/// Inserts a first version.
pub async fn insert(
    tx: &Tx,
    tenant: TenantId,
    refund: &Refund,
    place: Place,
) -> Result<(), StoreError> {
    let key = refund.key.as_ref();
    let columns = [
        ("tenant", ColumnData::OneUuid(tenant.0)),
        ("id", vec![refund.id.0].into()),
        ("version", ColumnData::OneI64(refund.head.version)),
        ("lane", ColumnData::OneI64(i64::from(place.lane))),
        ("position", ColumnData::OneI64(place.position.cast_signed())),
        ("created", ColumnData::OneI64(refund.head.created.0)),
        ("updated", ColumnData::OneI64(refund.head.updated.0)),
        ("key_source", vec![key.map(|k| k.source.as_str())].into()),
        (
            "key_external",
            vec![key.map(|k| k.external_id.as_str())].into(),
        ),
        ("customer", ColumnData::OneUuid(refund.customer.0)),
        ("order_id", vec![refund.order.map(|o| o.0)].into()),
        ("refund_time", ColumnData::OneI64(refund.refund_time.0)),
        ("amount", ColumnData::OneI64(refund.amount)),
    ];
    tx.bulk_insert("refund", &columns, Conflict::Fail).await?;
    Ok(())
}

/// A row of the current table or the history, as the change that wrote it.
pub fn change(row: &Row) -> Result<ChangeRow, StoreError> {
    let row = Stored::from_query_result(row.inner(), "")?;
    let at = (row.tenant, row.lane, row.position);
    change_row(at, &Refund::from(row))
}
