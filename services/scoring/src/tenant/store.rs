//! The tenant_state table.

use regard_database::{Engine, Row, StoreError, Tx};
use regard_types::{Clock, Currency, Day, Micros, TenantId, Zone};

use crate::event::wire::TenantChange;
use crate::score::domain::Basis;

/// A tenant as scoring knows it.
#[derive(Debug, Clone)]
pub struct TenantState {
    /// The tenant.
    pub tenant: TenantId,
    /// The zone whose days count.
    pub zone: Zone,
    /// The currency of all money.
    pub currency: Currency,
    /// The day that counts as today, if it is pinned.
    pub pinned_day: Option<Day>,
    /// First day of complete records.
    pub history_start: Option<Day>,
    /// The smallest group that metrics show.
    pub minimum_group_size: i64,
    /// Version of the tenant record that this was read from; 0 before the first.
    pub record_version: i64,
    /// Raised whenever all summaries must be folded again.
    pub stamp: i64,
    /// Raised whenever another model serves.
    pub models: i64,
    /// Day, stamp and models that the last complete roll was for.
    pub rolled: (Option<Day>, i64, i64),
}

impl TenantState {
    /// The tenant's today.
    #[must_use]
    pub fn today(&self, clock: &Clock) -> Day {
        self.pinned_day
            .unwrap_or_else(|| Day::of(clock.now(), &self.zone))
    }

    /// What scores of a day depend on.
    #[must_use]
    #[allow(clippy::cast_precision_loss)]
    pub fn basis(&self, day: Day) -> Basis {
        Basis {
            day,
            history_start: self.history_start,
            minor_per_unit: self.currency.scale() as f64,
        }
    }

    /// Until when scores of a day hold: its end, or for good while the day is pinned.
    #[must_use]
    pub fn valid_until(&self, day: Day) -> Option<Micros> {
        self.pinned_day
            .is_none()
            .then(|| day.plus(1).start(&self.zone))
    }
}

const COLUMNS: &str = "tenant, zone, currency, pinned_day, history_start, minimum_group_size, record_version, stamp, models, rolled_day, rolled_stamp, rolled_models";

/// Makes the row of a tenant that no change has told of yet: UTC, US dollars, the clock's day.
///
/// # Errors
/// What the engine answers.
pub async fn ensure(tx: &Tx, tenant: TenantId) -> Result<(), StoreError> {
    let sql = "INSERT INTO tenant_state (tenant, name, zone, currency, minimum_group_size, record_version, stamp, models, rolled_stamp, rolled_models) \
               VALUES ($1, '', 'UTC', 'USD', 0, 0, 1, 0, 0, -1) ON CONFLICT (tenant) DO NOTHING";
    tx.run(sql, vec![tenant.0.into()]).await?;
    Ok(())
}

/// A tenant's state.
///
/// # Errors
/// What the engine answers.
pub async fn get(tx: &Tx, tenant: TenantId) -> Result<Option<TenantState>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM tenant_state WHERE tenant = $1");
    tx.fetch_one(sql, vec![tenant.0.into()])
        .await?
        .as_ref()
        .map(read)
        .transpose()
}

/// All tenants' states.
///
/// # Errors
/// What the engine answers.
pub async fn all(tx: &Tx) -> Result<Vec<TenantState>, StoreError> {
    let rows = tx
        .fetch(
            format!("SELECT {COLUMNS} FROM tenant_state ORDER BY tenant"),
            vec![],
        )
        .await?;
    // One row that cannot be read must not stop the others.
    let readable = rows.iter().filter_map(|row| {
        read(row)
            .inspect_err(|error| tracing::error!(%error, "a tenant's state cannot be read"))
            .ok()
    });
    Ok(readable.collect())
}

/// A tenant's state, which stays as it is until the transaction ends.
///
/// # Errors
/// What the engine answers.
pub async fn hold(tx: &Tx, tenant: TenantId) -> Result<Option<TenantState>, StoreError> {
    let lock = match tx.engine() {
        Engine::Postgres => " FOR SHARE",
        Engine::Sqlite => "",
    };
    let sql = format!("SELECT {COLUMNS} FROM tenant_state WHERE tenant = $1{lock}");
    tx.fetch_one(sql, vec![tenant.0.into()])
        .await?
        .as_ref()
        .map(read)
        .transpose()
}

/// Takes a change of the tenant record, unless a newer one is known. What moves days raises the stamp.
///
/// # Errors
/// What the engine answers.
pub async fn apply(
    tx: &Tx,
    tenant: TenantId,
    change: &TenantChange,
    version: i64,
) -> Result<(), StoreError> {
    ensure(tx, tenant).await?;
    let day = |d: Option<i32>| d.map(i64::from);
    // The zone data of hosts differ: an unknown zone must not stop the feed, so the days stay those of before.
    let zone = Zone::parse(&change.zone).ok().map(|_| change.zone.clone());
    if zone.is_none() {
        tracing::error!(%tenant, zone = change.zone, "this host does not know the tenant's zone: days stay in the zone of before");
    }
    let sql = "UPDATE tenant_state SET name = $2, currency = $4, minimum_group_size = $7, record_version = $8, \
               stamp = stamp + CASE WHEN zone <> coalesce(CAST($3 AS text), zone) OR currency <> $4 OR coalesce(pinned_day, -9999999) <> coalesce(CAST($5 AS bigint), -9999999) \
               OR coalesce(history_start, -9999999) <> coalesce(CAST($6 AS bigint), -9999999) THEN 1 ELSE 0 END, \
               zone = coalesce(CAST($3 AS text), zone), pinned_day = CAST($5 AS bigint), history_start = CAST($6 AS bigint) \
               WHERE tenant = $1 AND record_version < $8";
    let values = vec![
        tenant.0.into(),
        change.name.clone().into(),
        zone.into(),
        change.currency.clone().into(),
        day(change.pinned_day).into(),
        day(change.history_start).into(),
        i64::from(change.minimum_group_size).into(),
        version.into(),
    ];
    tx.run(sql, values).await?;
    Ok(())
}

/// Raises the stamp of every tenant: all summaries are folded again.
///
/// # Errors
/// What the engine answers.
pub async fn raise_stamps(tx: &Tx) -> Result<(), StoreError> {
    tx.run("UPDATE tenant_state SET stamp = stamp + 1", vec![])
        .await?;
    Ok(())
}

/// Raises the model version of a tenant: all scores are computed again.
///
/// # Errors
/// What the engine answers.
pub async fn raise_models(tx: &Tx, tenant: TenantId) -> Result<(), StoreError> {
    tx.run(
        "UPDATE tenant_state SET models = models + 1 WHERE tenant = $1",
        vec![tenant.0.into()],
    )
    .await?;
    Ok(())
}

/// Notes a complete roll.
///
/// # Errors
/// What the engine answers.
pub async fn rolled(
    tx: &Tx,
    tenant: TenantId,
    day: Day,
    stamp: i64,
    models: i64,
) -> Result<(), StoreError> {
    let sql = "UPDATE tenant_state SET rolled_day = $2, rolled_stamp = $3, rolled_models = $4 WHERE tenant = $1";
    tx.run(
        sql,
        vec![
            tenant.0.into(),
            i64::from(day.0).into(),
            stamp.into(),
            models.into(),
        ],
    )
    .await?;
    Ok(())
}

fn read(row: &Row) -> Result<TenantState, StoreError> {
    let day = |column| -> Result<Option<Day>, StoreError> {
        let number: Option<i64> = row.get(column)?;
        Ok(number.and_then(|n| i32::try_from(n).ok()).map(Day))
    };
    let zone: String = row.get(1)?;
    let currency: String = row.get(2)?;
    Ok(TenantState {
        tenant: TenantId(row.get(0)?),
        zone: Zone::parse(&zone).map_err(StoreError::corrupt)?,
        currency: Currency::parse(&currency).map_err(StoreError::corrupt)?,
        pinned_day: day(3)?,
        history_start: day(4)?,
        minimum_group_size: row.get(5)?,
        record_version: row.get(6)?,
        stamp: row.get(7)?,
        models: row.get(8)?,
        rolled: (day(9)?, row.get(10)?, row.get(11)?),
    })
}

/// Takes whatever version of each tenant's record comes next, older ones too.
///
/// # Errors
/// What the engine answers.
pub async fn forget_versions(tx: &Tx) -> Result<(), StoreError> {
    let sql = "UPDATE tenant_state SET record_version = 0";
    tx.run(sql, vec![]).await?;
    Ok(())
}
