//! The table `text_retention`: a tenant's days, as the customer service's feed told them last.

use regard_database::{StoreError, Tx};
use regard_types::{Micros, TenantId, Uuid};

/// How long a tenant keeps texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Terms {
    /// Whose.
    pub tenant: TenantId,
    /// The tenant's version that says so.
    pub version: i64,
    /// Days from when a text was recorded; 0 keeps them for good.
    pub days: i32,
}

/// A day in microseconds.
const DAY: i64 = 86_400_000_000;

/// Notes what the feed told, in any order: the highest version counts. Another epoch's word replaces that of the one before.
pub(crate) async fn note(tx: &Tx, epoch: Uuid, told: &[Terms]) -> Result<(), StoreError> {
    let sql = "INSERT INTO text_retention (tenant, epoch, version, days) VALUES ($1, $2, $3, $4) \
               ON CONFLICT (tenant) DO UPDATE SET epoch = excluded.epoch, version = excluded.version, days = excluded.days \
               WHERE text_retention.epoch <> excluded.epoch OR text_retention.version < excluded.version";
    for terms in told {
        let values = vec![
            terms.tenant.0.into(),
            epoch.into(),
            terms.version.into(),
            i64::from(terms.days).into(),
        ];
        tx.run(sql, values).await?;
    }
    Ok(())
}

/// Forgets the tenants that a new epoch does not know, once all of it was read.
pub(crate) async fn forget_former(tx: &Tx, epoch: Uuid) -> Result<(), StoreError> {
    let sql = "DELETE FROM text_retention WHERE epoch <> $1";
    tx.run(sql, vec![epoch.into()]).await?;
    Ok(())
}

/// The next tenants that have texts which are kept no longer, in the order of their ids.
pub(super) async fn due(
    tx: &Tx,
    now: Micros,
    after: Option<TenantId>,
    limit: i64,
) -> Result<Vec<TenantId>, StoreError> {
    let sql = "SELECT tenant FROM text_retention WHERE tenant > $1 AND days > 0 AND EXISTS \
               (SELECT 1 FROM record_text t WHERE t.tenant = text_retention.tenant AND t.recorded < $2 - days * $3) \
               ORDER BY tenant LIMIT $4";
    let after = after.map_or(Uuid::nil(), |tenant| tenant.0);
    let values = vec![after.into(), now.0.into(), DAY.into(), limit.into()];
    let rows = tx.fetch(sql, values).await?;
    rows.iter().map(|row| Ok(TenantId(row.get(0)?))).collect()
}

/// Texts that a tenant recorded before this are kept no longer; none while it keeps them for good.
pub(super) async fn horizon(
    tx: &Tx,
    tenant: TenantId,
    now: Micros,
) -> Result<Option<Micros>, StoreError> {
    let sql = "SELECT days FROM text_retention WHERE tenant = $1 AND days > 0";
    let row = tx.fetch_one(sql, vec![tenant.0.into()]).await?;
    let days: Option<i64> = row.map(|row| row.get(0)).transpose()?;
    Ok(days.map(|days| Micros(now.0.saturating_sub(days.saturating_mul(DAY)))))
}
