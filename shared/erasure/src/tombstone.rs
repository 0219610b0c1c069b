//! Tombstones: keyed digests of ids that are gone for good.

use std::collections::HashMap;

use regard_database::{ColumnData, Conflict, StoreError, Table, Tx};
use regard_types::{Fault, IdKey, TenantId, Uuid};

pub(super) fn table() -> Table {
    Table::new("tombstone")
        .uuid("tenant")
        .uuid("digest")
        .uuid("erasure")
        .primary(&["tenant", "digest"])
        .clustered()
}

/// More ids than this are only looked for where the tenant has a tombstone at all.
const FEW: usize = 8;

/// The digest of an id, cut to the size of one: nobody without the secret can tell which id it is of.
fn digest(ids: &IdKey, id: Uuid) -> Uuid {
    let digest = ids.digest("tombstone", id.as_bytes());
    let mut bytes = [0_u8; 16];
    for (to, from) in bytes.iter_mut().zip(digest) {
        *to = from;
    }
    Uuid::from_bytes(bytes)
}

/// Lays tombstones; those that lie there already stay.
///
/// # Errors
/// What the engine answers.
pub async fn bury(
    tx: &Tx,
    tenant: TenantId,
    ids: &IdKey,
    erasure: Uuid,
    gone: &[Uuid],
) -> Result<(), StoreError> {
    let mut digests: Vec<Uuid> = gone.iter().map(|id| digest(ids, *id)).collect();
    digests.sort_unstable();
    digests.dedup();
    if digests.is_empty() {
        return Ok(());
    }
    let columns = [
        ("tenant", ColumnData::OneUuid(tenant.0)),
        ("digest", digests.into()),
        ("erasure", ColumnData::OneUuid(erasure)),
    ];
    let conflict = Conflict::Ignore {
        key: &["tenant", "digest"],
    };
    tx.bulk_insert("tombstone", &columns, conflict).await?;
    Ok(())
}

/// Those of the ids that are gone, each with its erasure.
///
/// # Errors
/// What the engine answers.
pub async fn erased(
    tx: &Tx,
    tenant: TenantId,
    ids: &IdKey,
    asked: &[Uuid],
) -> Result<HashMap<Uuid, Uuid>, StoreError> {
    if asked.is_empty() {
        return Ok(HashMap::new());
    }
    if asked.len() > FEW {
        let sql = "SELECT 1 FROM tombstone WHERE tenant = $1 LIMIT 1";
        if tx.fetch_one(sql, vec![tenant.0.into()]).await?.is_none() {
            return Ok(HashMap::new());
        }
    }
    let of: HashMap<Uuid, Uuid> = asked.iter().map(|id| (digest(ids, *id), *id)).collect();
    let digests: Vec<Uuid> = of.keys().copied().collect();
    let sql = "SELECT digest, erasure FROM tombstone WHERE tenant = $1 AND digest {in}";
    let mut out = HashMap::new();
    for row in tx.fetch_in(sql, vec![tenant.0.into()], &digests).await? {
        if let Some(id) = of.get(&row.get::<Uuid>(0)?) {
            out.insert(*id, row.get(1)?);
        }
    }
    Ok(out)
}

/// The customer was erased, and the field names it.
#[must_use]
pub fn customer_erased(field: &str, id: impl std::fmt::Display) -> Fault {
    let message = "the customer was erased and stays so";
    Fault::refused("CUSTOMER_ERASED", message)
        .meta("id", id)
        .and_invalid(field, "names a customer that was erased; drop the row")
}

/// The record was erased.
#[must_use]
pub fn record_erased(kind: &str, id: impl std::fmt::Display) -> Fault {
    let message = format!("the {kind} belonged to a person who was erased, and stays so");
    Fault::refused("RECORD_ERASED", message)
        .meta("resource", kind)
        .meta("id", id)
}
