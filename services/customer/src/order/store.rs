//! The tables of orders.

use std::collections::HashMap;

use regard_database::feed::ChangeRow;
use regard_database::history::{self, Kept, Lock, Paged, Part};
use regard_database::{ColumnData, Conflict, Place, StoreError, Tx};
use regard_types::record::Head;
use regard_types::{Channel, CustomerId, Micros, RecordId, SourceKey, TenantId, Uuid};
use sea_orm::entity::prelude::*;
use sea_orm::sea_query::Expr;
use sea_orm::{ExprTrait, QueryOrder, QuerySelect};

use super::domain::{Order, Terms};
use crate::measures::change_row;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "sales_order")]
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
    pub order_time: i64,
    pub gross: i64,
    pub units: i64,
    pub channel: Option<String>,
    pub voided: i16,
    pub revision: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Kept for Entity {
    const TABLE: &'static str = "sales_order";
    const HISTORY: &'static str = "sales_order_history";
}

impl TryFrom<Model> for Order {
    type Error = StoreError;

    fn try_from(row: Model) -> Result<Self, StoreError> {
        let channel = row.channel.as_deref().map(Channel::parse).transpose();
        Ok(Order {
            id: RecordId(row.id),
            key: SourceKey::stored(row.key_source, row.key_external),
            customer: CustomerId(row.customer),
            terms: Terms {
                order_time: Micros(row.order_time),
                gross: row.gross,
                units: row.units,
                channel: channel.map_err(StoreError::corrupt)?,
            },
            voided: row.voided != 0,
            revision: row.revision,
            head: Head {
                version: row.version,
                created: Micros(row.created),
                updated: Micros(row.updated),
            },
        })
    }
}

/// The current versions of these orders; unknown ones are left out.
pub async fn current(
    tx: &Tx,
    tenant: TenantId,
    ids: &[Uuid],
    lock: Lock,
) -> Result<HashMap<RecordId, Order>, StoreError> {
    let rows = history::several::<Entity>(tx, Part::Current, tenant, ids, lock).await?;
    let order = |row| Order::try_from(row).map(|order| (order.id, order));
    rows.into_iter().map(order).collect()
}

/// The terms of all former versions of these orders.
pub async fn former(
    tx: &Tx,
    tenant: TenantId,
    ids: &[Uuid],
) -> Result<HashMap<RecordId, Vec<Terms>>, StoreError> {
    let mut out: HashMap<RecordId, Vec<Terms>> = HashMap::new();
    for order in all_former(tx, tenant, ids).await? {
        out.entry(order.id).or_default().push(order.terms);
    }
    Ok(out)
}

async fn all_former(tx: &Tx, tenant: TenantId, ids: &[Uuid]) -> Result<Vec<Order>, StoreError> {
    let rows = history::several::<Entity>(tx, Part::Former, tenant, ids, Lock::No).await?;
    rows.into_iter().map(Order::try_from).collect()
}

/// These versions, in the order asked; one that is not stored is `Missing`.
pub async fn versions(
    tx: &Tx,
    tenant: TenantId,
    asked: &[(RecordId, i64)],
) -> Result<Vec<Order>, StoreError> {
    let ids: Vec<Uuid> = asked.iter().map(|(id, _)| id.0).collect();
    let mut found: HashMap<(RecordId, i64), Order> = HashMap::new();
    for order in current(tx, tenant, &ids, Lock::No).await?.into_values() {
        found.insert((order.id, order.head.version), order);
    }
    if asked.iter().any(|version| !found.contains_key(version)) {
        for order in all_former(tx, tenant, &ids).await? {
            found.insert((order.id, order.head.version), order);
        }
    }
    let take = |version| found.get(version).cloned().ok_or(StoreError::Missing);
    asked.iter().map(take).collect()
}

/// Inserts first versions; `orders` are sorted by id, their places follow one another from `place`.
pub async fn insert(
    tx: &Tx,
    tenant: TenantId,
    orders: &[Order],
    place: Place,
) -> Result<(), StoreError> {
    let mut columns = vec![
        ("tenant", ColumnData::OneUuid(tenant.0)),
        ("id", ids(orders)),
        ("lane", ColumnData::OneI64(i64::from(place.lane))),
        ("created", each(orders, |o| o.head.created.0)),
        (
            "key_source",
            text(orders, |o| o.key.as_ref().map(|k| k.source.as_str())),
        ),
        (
            "key_external",
            text(orders, |o| o.key.as_ref().map(|k| k.external_id.as_str())),
        ),
        (
            "customer",
            orders
                .iter()
                .map(|o| o.customer.0)
                .collect::<Vec<Uuid>>()
                .into(),
        ),
    ];
    columns.extend(changing(orders, place));
    tx.bulk_insert("sales_order", &columns, Conflict::Fail)
        .await?;
    Ok(())
}

/// Moves the stored versions to the history and writes the next ones; as [`insert`] otherwise.
pub async fn replace(
    tx: &Tx,
    tenant: TenantId,
    orders: &[Order],
    place: Place,
) -> Result<(), StoreError> {
    let changed: Vec<Uuid> = orders.iter().map(|o| o.id.0).collect();
    history::keep::<Entity>(tx, tenant, &changed).await?;
    let key = [
        ("tenant", ColumnData::OneUuid(tenant.0)),
        ("id", ColumnData::from(&changed)),
        ("version", each(orders, |o| o.head.version - 1)),
    ];
    let mut set = vec![("lane", ColumnData::OneI64(i64::from(place.lane)))];
    set.extend(changing(orders, place));
    let found = tx.bulk_update("sales_order", &key, &set).await?;
    if found == orders.len() as u64 {
        Ok(())
    } else {
        Err(StoreError::Stale)
    }
}

/// The columns that a version changes.
fn changing(orders: &[Order], place: Place) -> Vec<(&'static str, ColumnData<'_>)> {
    let positions: Vec<i64> = (place.position..)
        .take(orders.len())
        .map(u64::cast_signed)
        .collect();
    vec![
        ("position", positions.into()),
        ("version", each(orders, |o| o.head.version)),
        ("updated", each(orders, |o| o.head.updated.0)),
        ("order_time", each(orders, |o| o.terms.order_time.0)),
        ("gross", each(orders, |o| o.terms.gross)),
        ("units", each(orders, |o| o.terms.units)),
        (
            "channel",
            text(orders, |o| o.terms.channel.map(Channel::as_str)),
        ),
        (
            "voided",
            orders
                .iter()
                .map(|o| o.voided)
                .collect::<Vec<bool>>()
                .into(),
        ),
        ("revision", each(orders, |o| o.revision)),
    ]
}

fn ids(orders: &[Order]) -> ColumnData<'_> {
    orders.iter().map(|o| o.id.0).collect::<Vec<Uuid>>().into()
}

fn each(orders: &[Order], value: impl Fn(&Order) -> i64) -> ColumnData<'_> {
    orders.iter().map(value).collect::<Vec<i64>>().into()
}

fn text<'a>(orders: &'a [Order], value: impl Fn(&'a Order) -> Option<&'a str>) -> ColumnData<'a> {
    orders
        .iter()
        .map(value)
        .collect::<Vec<Option<&str>>>()
        .into()
}

/// A customer's orders, the newest first, after (order time, id).
pub async fn page(
    tx: &Tx,
    tenant: TenantId,
    customer: CustomerId,
    include_voided: bool,
    after: Option<(i64, Uuid)>,
    limit: u64,
) -> Result<Vec<Order>, StoreError> {
    let rows = page_query(tenant, customer, include_voided, after, limit)
        .all(tx)
        .await?;
    rows.into_iter().map(Order::try_from).collect()
}

pub(crate) fn page_query(
    tenant: TenantId,
    customer: CustomerId,
    include_voided: bool,
    after: Option<(i64, Uuid)>,
    limit: u64,
) -> sea_orm::Select<Entity> {
    let mut query = Entity::find()
        .filter(Column::Tenant.eq(tenant.0))
        .filter(Column::Customer.eq(customer.0))
        .order_by_desc(Column::OrderTime)
        .order_by_desc(Column::Id)
        .limit(limit);
    if !include_voided {
        query = query.filter(Column::Voided.eq(0_i16));
    }
    if let Some((at, id)) = after {
        let row = Expr::tuple([Expr::col(Column::OrderTime), Expr::col(Column::Id)]);
        query = query.filter(row.lt(Expr::tuple([Expr::value(at), Expr::value(id)])));
    }
    query
}

/// Whether the tenant has any order.
pub async fn any(tx: &Tx, tenant: TenantId) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM sales_order WHERE tenant = $1 LIMIT 1";
    Ok(tx.fetch_one(sql, vec![tenant.0.into()]).await?.is_some())
}

/// A row of the current table or the history, as the change that wrote it.
pub fn change(row: Paged<Model>) -> Result<ChangeRow, StoreError> {
    change_row((row.tenant, row.place), &Order::try_from(row.model)?)
}
