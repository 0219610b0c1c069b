//! Rolling and rescoring, page by page in short transactions.

use std::sync::Arc;
use std::time::{Duration, Instant};

use regard_database::{Lease, StoreError};
use regard_server::CancellationToken;
use regard_types::{Fault, TenantId, Uuid};

use crate::core::Core;
use crate::follow;
use crate::model;
use crate::summary::app::{Refold, refresh};
use crate::summary::store as summaries;
use crate::tenant::{self, TenantState};

const LEASE: Duration = Duration::from_secs(6);
/// How often tenants are looked at: a pinned day that moves is rolled this soon.
const LOOK: Duration = Duration::from_millis(250);
/// Customers a transaction.
const PAGE: i64 = 500;

/// Rolls until told to stop. Several replicas may: one holds the lease, and gives it back in the end.
pub async fn run(core: Arc<Core>, stop: CancellationToken) {
    let lease = core.db.lease("roll");
    let mut known = None;
    while !stop.is_cancelled() {
        let asked = Instant::now();
        match lease.take(LEASE).await {
            Ok(Some(term)) => {
                core.held("roll", asked + LEASE);
                if known != Some(term) && core.shared_cache {
                    // Whoever rolled before may have stopped between a commit and its puts.
                    if let Err(error) = follow::abandon(&core).await {
                        tracing::warn!(?error, "what Redis holds could not be abandoned");
                    }
                }
                known = Some(term);
                let done = tokio::select! {
                    done = round(&core, (&lease, term)) => done,
                    // The page in hand is rolled back; the next holder begins with it.
                    () = stop.cancelled() => {
                        core.interrupted();
                        break;
                    }
                };
                regard_server::job_ran(core.db.service(), "roll", done.is_ok());
                if let Err(error) = done {
                    core.interrupted();
                    tracing::warn!(?error, "a roll was interrupted");
                }
            }
            Ok(None) => core.lost("roll"),
            Err(error) => tracing::warn!(%error, "the lease of the roll could not be taken"),
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = stop.cancelled() => {}
        }
    }
    core.lost("roll");
    if let Err(error) = lease.release().await {
        tracing::warn!(%error, "the lease of the roll was not given back: it runs out");
    }
}

/// One look at all tenants, and at what no longer counts.
async fn round(core: &Core, lease: (&Lease, i64)) -> Result<(), Fault> {
    let tx = core.db.read_system().await?;
    let tenants = tenant::store::all(&tx).await?;
    let old = follow::store::an_old_one(&tx).await?;
    drop(tx);
    for state in &tenants {
        let today = state.today(core.clock());
        if state.rolled != (Some(today), state.stamp, state.models) {
            roll(core, lease, state).await?;
        }
    }
    match old {
        Some(load) => remove(core, lease, load, &tenants).await,
        None => Ok(()),
    }
}

/// Removes a load that counts no more, in steps that hold up nobody for long.
async fn remove(
    core: &Core,
    lease: (&Lease, i64),
    load: i64,
    tenants: &[TenantState],
) -> Result<(), Fault> {
    let mut renewed = Instant::now();
    for state in tenants {
        let mut after = Some(Uuid::nil());
        while let Some(from) = after {
            renew(core, lease, &mut renewed).await?;
            let tx = core.db.system().await?;
            after = follow::store::remove_some(&tx, load, state.tenant, from).await?;
            tx.commit().await?;
        }
    }
    let tx = core.db.system().await?;
    follow::store::remove(&tx, load).await?;
    tx.commit().await?;
    Ok(())
}

/// Renews the lease in good time.
async fn renew(core: &Core, lease: (&Lease, i64), renewed: &mut Instant) -> Result<(), Fault> {
    if renewed.elapsed() <= LEASE / 3 {
        return Ok(());
    }
    *renewed = Instant::now();
    if lease.0.take(LEASE).await? != Some(lease.1) {
        core.lost("roll");
        return Err(Fault::busy());
    }
    core.held("roll", *renewed + LEASE);
    Ok(())
}

/// Brings all customers of a tenant to its today. The quintiles of a new day are fitted once all summaries are there.
async fn roll(core: &Core, lease: (&Lease, i64), state: &TenantState) -> Result<(), Fault> {
    let tenant = state.tenant;
    let today = state.today(core.clock());
    let moved = state.rolled.0 != Some(today) || state.rolled.1 != state.stamp;
    pass(core, lease, tenant).await?;
    let mut models = state.models;
    if moved && model::app::refit_rfm(core, tenant).await? {
        pass(core, lease, tenant).await?;
        models += 1;
    }
    let tx = core.db.system().await?;
    // If anything moved meanwhile, the next look finds it.
    tenant::store::rolled(&tx, tenant, today, state.stamp, models).await?;
    tx.commit().await?;
    Ok(())
}

async fn pass(core: &Core, lease: (&Lease, i64), tenant: TenantId) -> Result<(), Fault> {
    let mut after = Uuid::nil();
    let mut renewed = Instant::now();
    loop {
        renew(core, lease, &mut renewed).await?;
        match rescore_page(core, tenant, after, false).await? {
            (Some(last), _) => after = last,
            (None, _) => return Ok(()),
        }
    }
}

/// Scores a page of customers after an id, with refolding where it is due; all of them, or only those that are not at the
/// tenant's day, stamp and models. The last id of the page, None at the end; and how many were scored.
///
/// # Errors
/// What the engine answers.
pub async fn rescore_page(
    core: &Core,
    tenant: TenantId,
    after: Uuid,
    all: bool,
) -> Result<(Option<Uuid>, usize), Fault> {
    let mut tries = 0;
    loop {
        match page(core, tenant, after, all).await {
            Err(StoreError::Busy(_)) if tries < 5 => {
                tries += 1;
                tokio::time::sleep(Duration::from_millis(5 * tries)).await;
            }
            done => return done.map_err(Fault::from),
        }
    }
}

async fn page(
    core: &Core,
    tenant: TenantId,
    after: Uuid,
    all: bool,
) -> Result<(Option<Uuid>, usize), StoreError> {
    let tx = core.db.system().await?;
    let Some(state) = tenant::store::get(&tx, tenant).await? else {
        return Ok((None, 0));
    };
    let at = (state.stamp, state.models, state.today(core.clock()));
    let behind = (!all).then_some(at);
    let customers = summaries::customers(&tx, tenant, after, behind, PAGE).await?;
    let Some(last) = customers.last().copied() else {
        return Ok((None, 0));
    };
    summaries::lock(&tx, tenant, &customers).await?;
    let loads = follow::store::loads(&tx).await?;
    let scored = refresh(core, &tx, tenant, loads, &customers, Refold::Due, 0).await?;
    let seen = follow::seen(core, &tx).await?;
    tx.commit()
        .await
        .map_err(|fault| StoreError::Corrupt(format!("{fault:?}").into()))?;
    if !follow::put(core, &scored, &seen).await {
        core.cache.bypass_shared(true);
        follow::abandon(core)
            .await
            .map_err(|fault| StoreError::Corrupt(format!("{fault:?}").into()))?;
    }
    Ok((Some(last), customers.len()))
}
