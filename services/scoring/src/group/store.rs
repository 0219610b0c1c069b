//! The alias table.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use regard_database::{ColumnData, Conflict, StoreError, Tx};
use regard_types::{TenantId, Uuid};

use super::domain::{canonical, live_edges};
use crate::event::store::{Loads, merges_of};

/// Makes missing alias rows, each arrival its own customer at first. They are never deleted.
///
/// # Errors
/// What the engine answers.
pub async fn ensure(tx: &Tx, tenant: TenantId, arrivals: &[Uuid]) -> Result<(), StoreError> {
    if arrivals.is_empty() {
        return Ok(());
    }
    let columns = [
        ("tenant", ColumnData::OneUuid(tenant.0)),
        ("arrival", arrivals.into()),
        ("canonical", arrivals.into()),
    ];
    tx.bulk_insert(
        "alias",
        &columns,
        Conflict::Ignore {
            key: &["tenant", "arrival"],
        },
    )
    .await?;
    Ok(())
}

/// The customers that arrivals belong to; an arrival without a row is left out.
///
/// # Errors
/// What the engine answers.
pub async fn canonical_of(
    tx: &Tx,
    tenant: TenantId,
    arrivals: &[Uuid],
) -> Result<HashMap<Uuid, Uuid>, StoreError> {
    let rows = tx
        .fetch_in(
            "SELECT arrival, canonical FROM alias WHERE tenant = $1 AND arrival {in}",
            vec![tenant.0.into()],
            arrivals,
        )
        .await?;
    rows.iter()
        .map(|row| Ok((row.get(0)?, row.get(1)?)))
        .collect()
}

/// The arrivals of customers: (arrival, customer).
///
/// # Errors
/// What the engine answers.
pub async fn members(
    tx: &Tx,
    tenant: TenantId,
    customers: &[Uuid],
) -> Result<Vec<(Uuid, Uuid)>, StoreError> {
    let rows = tx
        .fetch_in(
            "SELECT arrival, canonical FROM alias WHERE tenant = $1 AND canonical {in}",
            vec![tenant.0.into()],
            customers,
        )
        .await?;
    rows.iter()
        .map(|row| Ok((row.get(0)?, row.get(1)?)))
        .collect()
}

/// All arrivals of a tenant that are not their own customer.
///
/// # Errors
/// What the engine answers.
pub async fn merged(tx: &Tx, tenant: TenantId) -> Result<HashMap<Uuid, Uuid>, StoreError> {
    let rows = tx
        .fetch(
            "SELECT arrival, canonical FROM alias WHERE tenant = $1 AND arrival <> canonical",
            vec![tenant.0.into()],
        )
        .await?;
    rows.iter()
        .map(|row| Ok((row.get(0)?, row.get(1)?)))
        .collect()
}

/// Sets aliases.
///
/// # Errors
/// What the engine answers.
pub async fn set(
    tx: &Tx,
    tenant: TenantId,
    aliases: &BTreeMap<Uuid, Uuid>,
) -> Result<(), StoreError> {
    if aliases.is_empty() {
        return Ok(());
    }
    let key = [
        ("tenant", ColumnData::OneUuid(tenant.0)),
        (
            "arrival",
            aliases.keys().copied().collect::<Vec<_>>().into(),
        ),
    ];
    let set = [(
        "canonical",
        aliases.values().copied().collect::<Vec<_>>().into(),
    )];
    tx.bulk_update("alias", &key, &set).await?;
    Ok(())
}

/// What new merge edges mean for aliases.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Regrouping {
    /// The new customer of every arrival of the groups that are touched.
    pub aliases: BTreeMap<Uuid, Uuid>,
    /// The customers before and after: all of them must be folded again.
    pub customers: BTreeSet<Uuid>,
}

/// [`regroup`], or nothing where there is nothing to start from.
///
/// # Errors
/// What the engine answers.
pub async fn regroup_if(
    tx: &Tx,
    tenant: TenantId,
    loads: Loads,
    around: &[Uuid],
) -> Result<Regrouping, StoreError> {
    if around.is_empty() {
        return Ok(Regrouping::default());
    }
    regroup(tx, tenant, loads, around).await
}

/// Works out the groups around some customers anew, from the edges that are stored. The alias rows of all of them must exist.
///
/// # Errors
/// What the engine answers.
pub async fn regroup(
    tx: &Tx,
    tenant: TenantId,
    loads: Loads,
    around: &[Uuid],
) -> Result<Regrouping, StoreError> {
    // The closure over edges in both directions: ended ones too, since the groups of before need folding as well.
    let mut known: BTreeSet<Uuid> = around.iter().copied().collect();
    let mut frontier: Vec<Uuid> = around.to_vec();
    let mut edges = Vec::new();
    while !frontier.is_empty() {
        let found = merges_of(tx, tenant, loads, &frontier).await?;
        frontier = found
            .iter()
            .flat_map(|e| [e.from, e.into])
            .filter(|id| known.insert(*id))
            .collect();
        edges.extend(found);
    }
    let live = live_edges(&edges);
    let ids: Vec<Uuid> = known.iter().copied().collect();
    let before = canonical_of(tx, tenant, &ids).await?;
    let mut out = Regrouping::default();
    for id in known {
        let now = canonical(&live, id);
        out.customers.insert(now);
        out.customers.extend(before.get(&id));
        out.aliases.insert(id, now);
    }
    Ok(out)
}

/// Lets every customer of all tenants stand for itself.
///
/// # Errors
/// What the engine answers.
pub async fn part_all(tx: &Tx) -> Result<(), StoreError> {
    let sql = "UPDATE alias SET canonical = arrival WHERE canonical <> arrival";
    tx.run(sql, vec![]).await?;
    Ok(())
}
