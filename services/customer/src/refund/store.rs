//! The tables of refunds.

use std::collections::HashMap;

use regard_database::feed::ChangeRow;
use regard_database::history::{self, Kept, Lock, Paged};
use regard_database::{ColumnData, Conflict, Place, StoreError, Tx};
use regard_types::record::Head;
use regard_types::{CustomerId, Micros, RecordId, SourceKey, TenantId, Uuid};
use sea_orm::entity::prelude::*;

use super::domain::Refund;
use crate::measures::change_row;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "refund")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
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

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Kept for Entity {
    const TABLE: &'static str = "refund";
    const HISTORY: &'static str = "refund_history";
}

impl From<Model> for Refund {
    fn from(row: Model) -> Self {
        Refund {
            id: RecordId(row.id),
            key: SourceKey::stored(row.key_source, row.key_external),
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
    let row = history::current::<Entity>(tx, tenant, id.0, Lock::No).await?;
    Ok(row.map(Refund::from))
}

/// The version with this number.
pub async fn version(
    tx: &Tx,
    tenant: TenantId,
    id: RecordId,
    version: i64,
) -> Result<Refund, StoreError> {
    let row = history::version::<Entity>(tx, tenant, id.0, version).await?;
    Ok(row.ok_or(StoreError::Missing)?.into())
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
pub fn change(row: Paged<Model>) -> Result<ChangeRow, StoreError> {
    change_row((row.tenant, row.place), &Refund::from(row.model))
}
