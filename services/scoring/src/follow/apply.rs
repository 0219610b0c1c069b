//! Applying changes: one transaction a batch, with the cursor's move last as the fence.

use std::collections::{BTreeMap, BTreeSet};

use regard_database::{Lease, StoreError, Tx};
use regard_types::{Fault, Service, TenantId, Uuid};

use super::gather::Gathered;
use super::puts::{Seen, seen};
use super::store;
use crate::core::Core;
use crate::erasure;
use crate::event::{self, Event, Kind, store::Loads};
use crate::group;
use crate::summary::app::{Refold, Scored, refresh};
use crate::summary::store as summaries;
use crate::tenant;

/// Why a batch was not applied. Nothing of it was.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The lease is another replica's, or the cursor was moved by one.
    #[error("the lease was lost")]
    Lost,
    /// Groups changed while rows were being locked.
    #[error("customer groups changed meanwhile")]
    Retry,
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The commit.
    #[error("commit failed: {0:?}")]
    Commit(Fault),
}

/// How often a batch is tried again when groups change or locks are lost.
const TRIES: u32 = 8;

/// Applies a batch; what was scored, and the positions that hold for it.
///
/// # Errors
/// [`ApplyError`]; the batch can be read and applied again.
pub async fn apply(
    core: &Core,
    feed: Service,
    load: i64,
    lease: (&Lease, i64),
    batch: &Gathered,
) -> Result<(Vec<Scored>, Seen), ApplyError> {
    let mut tries = 0;
    loop {
        tries += 1;
        match Box::pin(apply_once(core, feed, load, lease, batch)).await {
            Err(ApplyError::Retry | ApplyError::Store(StoreError::Busy(_))) if tries < TRIES => {
                tokio::time::sleep(std::time::Duration::from_millis(u64::from(tries) * 3)).await;
            }
            done => return done,
        }
    }
}

async fn apply_once(
    core: &Core,
    feed: Service,
    load: i64,
    lease: (&Lease, i64),
    batch: &Gathered,
) -> Result<(Vec<Scored>, Seen), ApplyError> {
    let tx = core.db.system().await?;
    if !batch.erased.is_empty() {
        erasure::alone(&tx).await?;
    }
    if !lease.0.holds(&tx, lease.1).await? {
        return Err(ApplyError::Lost);
    }
    let mut loads = store::loads(&tx).await?;
    match feed {
        Service::Customer => loads.customer = load,
        Service::Feedback => loads.feedback = load,
        Service::Scoring => {}
    }
    let mut scored = Vec::new();
    // First: what else the batch tells may name ids of before.
    for (tenant, erased) in &batch.erased {
        let moved = erasure::apply(core, &tx, (feed, loads), *tenant, erased, tx.now());
        scored.extend(Box::pin(moved).await?);
    }
    for (tenant, events) in &batch.events {
        let events = erasure::mapped(&tx, *tenant, events).await?;
        scored.extend(take(core, &tx, *tenant, loads, load, &events).await?);
    }
    for (tenant, change, version) in &batch.tenants {
        tenant::store::apply(&tx, *tenant, change, *version).await?;
    }
    for (lane, range) in &batch.lanes {
        if !store::move_cursor(&tx, load, *lane, range.from, range.to, range.nonce).await? {
            return Err(ApplyError::Lost);
        }
    }
    let seen = seen(core, &tx).await?;
    tx.commit().await.map_err(ApplyError::Commit)?;
    Ok((scored, seen))
}

/// Adds a tenant's events, regroups by its merge edges, and folds and scores the customers that are touched.
async fn take(
    core: &Core,
    tx: &Tx,
    tenant: TenantId,
    loads: Loads,
    load: i64,
    events: &[Event],
) -> Result<Vec<Scored>, ApplyError> {
    let arrivals = add(tx, tenant, load, events).await?;
    let merged: Vec<Uuid> = merged(events);
    let regrouping = group::store::regroup_if(tx, tenant, loads, &merged).await?;
    let known: Vec<Uuid> = regrouping.aliases.keys().copied().collect();
    if !known.is_empty() {
        group::store::ensure(tx, tenant, &known).await?;
        summaries::ensure(tx, tenant, &known).await?;
    }
    let before = group::store::canonical_of(tx, tenant, &arrivals).await?;
    let mut customers: BTreeSet<Uuid> = before.values().copied().collect();
    customers.extend(&regrouping.customers);
    let locked =
        summaries::lock(tx, tenant, &customers.iter().copied().collect::<Vec<_>>()).await?;
    // What was read before the locks may have changed until we held them.
    if group::store::canonical_of(tx, tenant, &arrivals).await? != before {
        return Err(ApplyError::Retry);
    }
    if !merged.is_empty()
        && group::store::regroup_if(tx, tenant, loads, &merged).await? != regrouping
    {
        return Err(ApplyError::Retry);
    }
    group::store::set(tx, tenant, &regrouping.aliases).await?;
    let versions: BTreeMap<Uuid, i64> = locked.into_iter().collect();
    let regrouped: Vec<Uuid> = regrouping.customers.iter().copied().collect();
    let least = regrouped
        .iter()
        .filter_map(|c| versions.get(c))
        .copied()
        .max()
        .unwrap_or(0);
    let others: Vec<Uuid> = customers
        .into_iter()
        .filter(|c| !regrouping.customers.contains(c))
        .collect();
    let mut scored = refresh(core, tx, tenant, loads, &regrouped, Refold::All, least).await?;
    scored.extend(refresh(core, tx, tenant, loads, &others, Refold::All, 0).await?);
    Ok(scored)
}

/// Adds events and the rows that their customers need; the arrival ids.
pub async fn add(
    tx: &Tx,
    tenant: TenantId,
    load: i64,
    events: &[Event],
) -> Result<Vec<Uuid>, StoreError> {
    tenant::store::ensure(tx, tenant).await?;
    event::store::insert(tx, tenant, load, events).await?;
    let mut arrivals: BTreeSet<Uuid> = events
        .iter()
        .filter(|e| !e.anonymous)
        .map(|e| e.customer.0)
        .collect();
    arrivals.extend(merged(events));
    let arrivals: Vec<Uuid> = arrivals.into_iter().collect();
    // Before any lock: these rows are never deleted, so that a lock finds them.
    group::store::ensure(tx, tenant, &arrivals).await?;
    summaries::ensure(tx, tenant, &arrivals).await?;
    Ok(arrivals)
}

/// Both ends of the merge edges among some events.
fn merged(events: &[Event]) -> Vec<Uuid> {
    let ends = events
        .iter()
        .filter(|e| e.kind == Kind::Merge)
        .flat_map(|e| [Some(e.customer.0), e.link]);
    let ends: BTreeSet<Uuid> = ends.flatten().collect();
    ends.into_iter().collect()
}
