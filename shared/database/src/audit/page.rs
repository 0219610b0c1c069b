//! Reading entries: one tenant's, the newest first, by an index whatever the filter.

use std::fmt::Write as _;

use regard_types::{Micros, RecordId, TenantId, Uuid};
use sea_orm::Value;

use super::{COLUMNS, Entry, entry};
use crate::error::StoreError;
use crate::tx::Tx;

/// Which entries; none of these: all.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of this record.
    pub record: Option<RecordId>,
    /// By this caller.
    pub caller: Option<String>,
    /// At this time or later.
    pub from: Option<Micros>,
    /// Before this time.
    pub to: Option<Micros>,
}

/// The smallest id of an entry of this millisecond.
fn first_id(at: Micros, millis: i64) -> Uuid {
    let millis = at.0.div_euclid(1_000).saturating_add(millis).max(0);
    Uuid::from_u128(u128::from(millis.unsigned_abs()) << 80)
}

impl Filter {
    /// Up to `limit` entries older than `after`.
    ///
    /// # Errors
    /// As the store answers.
    pub async fn page(
        &self,
        tx: &Tx,
        tenant: TenantId,
        after: Option<Uuid>,
        limit: usize,
    ) -> Result<Vec<Entry>, StoreError> {
        let mut sql = format!("SELECT {COLUMNS} FROM audit WHERE tenant = $1");
        let mut values: Vec<Value> = vec![tenant.0.into()];
        let mut add = |test: &str, value: Value| {
            values.push(value);
            let _ = write!(sql, " AND {test} ${}", values.len());
        };
        if let Some(record) = self.record {
            add("record =", record.0.into());
        }
        if let Some(caller) = &self.caller {
            add("caller =", caller.clone().into());
        }
        if let Some(from) = self.from {
            add("id >=", first_id(from, 0).into());
            add("at >=", from.0.into());
        }
        if let Some(to) = self.to {
            add("id <", first_id(to, 1).into());
            add("at <", to.0.into());
        }
        if let Some(after) = after {
            add("id <", after.into());
        }
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        values.push(limit.into());
        let _ = write!(sql, " ORDER BY id DESC LIMIT ${}", values.len());
        let rows = tx.fetch(sql, values).await?;
        rows.iter().map(|row| Ok(entry(row)?.0)).collect()
    }
}
