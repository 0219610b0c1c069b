//! The tables of tenants.

use regard_database::feed::ChangeRow;
use regard_database::history::{self, Kept, Lock, Paged};
use regard_database::{ColumnData, Conflict, Place, StoreError, Tx};
use regard_types::record::Head;
use regard_types::{CallerLimits, Currency, Day, Micros, TenantId, Uuid, Zone};
use sea_orm::entity::prelude::*;

use super::domain::{Tenant, Terms};
use crate::measures::change_row;

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "tenant")]
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
    pub name: String,
    pub zone: String,
    pub currency: String,
    pub pinned_day: Option<i64>,
    pub history_start: Option<i64>,
    pub minimum_group_size: i64,
    pub day_version: i64,
    pub requests_per_second: i64,
    pub burst: i64,
    pub retention_days: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Kept for Entity {
    const TABLE: &'static str = "tenant";
    const HISTORY: &'static str = "tenant_history";
}

impl TryFrom<Model> for Tenant {
    type Error = StoreError;

    fn try_from(row: Model) -> Result<Self, StoreError> {
        let day = |value: Option<i64>| value.map(i32::try_from).transpose().map(|d| d.map(Day));
        let size = i32::try_from(row.minimum_group_size).map_err(StoreError::corrupt)?;
        let number = |value: i64| u32::try_from(value).map_err(StoreError::corrupt);
        Ok(Tenant {
            id: TenantId(row.id),
            name: row.name,
            terms: Terms {
                zone: Zone::parse(&row.zone).map_err(StoreError::corrupt)?,
                currency: Currency::parse(&row.currency).map_err(StoreError::corrupt)?,
                pinned_day: day(row.pinned_day).map_err(StoreError::corrupt)?,
                history_start: day(row.history_start).map_err(StoreError::corrupt)?,
                minimum_group_size: size,
                limits: CallerLimits {
                    per_second: number(row.requests_per_second)?,
                    burst: number(row.burst)?,
                },
                retention_days: i32::try_from(row.retention_days).map_err(StoreError::corrupt)?,
            },
            day_version: row.day_version,
            head: Head {
                version: row.version,
                created: Micros(row.created),
                updated: Micros(row.updated),
            },
        })
    }
}

/// The current version.
pub async fn current(tx: &Tx, tenant: TenantId, lock: Lock) -> Result<Option<Tenant>, StoreError> {
    let row = history::current::<Entity>(tx, tenant, tenant.0, lock).await?;
    row.map(Tenant::try_from).transpose()
}

/// The version with this number.
pub async fn version(tx: &Tx, tenant: TenantId, version: i64) -> Result<Tenant, StoreError> {
    let row = history::version::<Entity>(tx, tenant, tenant.0, version).await?;
    row.ok_or(StoreError::Missing)?.try_into()
}

/// Writes a version; the former one moves to the history.
pub async fn write(tx: &Tx, tenant: &Tenant, place: Place) -> Result<(), StoreError> {
    let terms = &tenant.terms;
    let columns = [
        ("tenant", ColumnData::OneUuid(tenant.id.0)),
        ("id", vec![tenant.id.0].into()),
        ("created", ColumnData::OneI64(tenant.head.created.0)),
        ("name", ColumnData::OneText(&tenant.name)),
    ];
    let set = [
        ("version", ColumnData::OneI64(tenant.head.version)),
        ("lane", ColumnData::OneI64(i64::from(place.lane))),
        ("position", ColumnData::OneI64(place.position.cast_signed())),
        ("updated", ColumnData::OneI64(tenant.head.updated.0)),
        ("zone", ColumnData::OneText(terms.zone.name())),
        ("currency", ColumnData::OneText(terms.currency.as_str())),
        (
            "pinned_day",
            vec![terms.pinned_day.map(|d| i64::from(d.0))].into(),
        ),
        (
            "history_start",
            vec![terms.history_start.map(|d| i64::from(d.0))].into(),
        ),
        (
            "minimum_group_size",
            ColumnData::OneI64(i64::from(terms.minimum_group_size)),
        ),
        ("day_version", ColumnData::OneI64(tenant.day_version)),
        (
            "requests_per_second",
            ColumnData::OneI64(i64::from(terms.limits.per_second)),
        ),
        ("burst", ColumnData::OneI64(i64::from(terms.limits.burst))),
        (
            "retention_days",
            ColumnData::OneI64(i64::from(terms.retention_days)),
        ),
    ];
    if tenant.head.version == 1 {
        let all: Vec<_> = columns.into_iter().chain(set).collect();
        tx.bulk_insert("tenant", &all, Conflict::Fail).await?;
        return Ok(());
    }
    history::keep::<Entity>(tx, tenant.id, &[tenant.id.0]).await?;
    let key = [
        ("tenant", ColumnData::OneUuid(tenant.id.0)),
        ("id", vec![tenant.id.0].into()),
        ("version", ColumnData::OneI64(tenant.head.version - 1)),
    ];
    match tx.bulk_update("tenant", &key, &set).await? {
        1 => Ok(()),
        _ => Err(StoreError::Stale),
    }
}

/// A row of the current table or the history, as the change that wrote it.
pub fn change(row: Paged<Model>) -> Result<ChangeRow, StoreError> {
    change_row((row.tenant, row.place), &Tenant::try_from(row.model)?)
}
