//! Removes texts that are kept no longer, page by page, each in a transaction with its audit entry: whatever a crash leaves
//! is removed by the next round.

use std::time::Duration;

use regard_database::{Database, Lease};
use regard_server::{CancellationToken, Job, job_ran};
use regard_types::{Fault, TenantId};

use super::store::{due, horizon};
use crate::text;

/// Texts of one transaction.
const PAGE: i64 = 500;
/// Tenants of one look.
const TENANTS: i64 = 100;
/// How long a replica that died keeps the work from the others.
const KEEP: Duration = Duration::from_secs(6);
/// What the audit calls it.
const WORK: (&str, &str) = ("retention", "text.expire");

/// Looks for texts that are kept no longer now and then.
pub(crate) fn job(db: &Database, every: Duration) -> Job {
    let db = db.clone();
    Job::handing_back("text_retention", move |stop| {
        let db = db.clone();
        async move { work(&db, every, &stop).await }
    })
}

async fn work(db: &Database, every: Duration, stop: &CancellationToken) {
    let lease = db.lease("text_retention");
    while !stop.is_cancelled() {
        let done = round(db, &lease, stop).await;
        if let Err(fault) = &done {
            tracing::warn!(%fault, "texts that are kept no longer were not all removed, trying again later");
        }
        job_ran(db.service(), "text_retention", done.is_ok());
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(every) => {}
        }
    }
    if let Err(error) = lease.release().await {
        tracing::debug!(%error, "a lease was not given back; it runs out by itself");
    }
}

async fn round(db: &Database, lease: &Lease, stop: &CancellationToken) -> Result<(), Fault> {
    let mut last = None;
    loop {
        let tx = db.read_system().await?;
        let tenants = due(&tx, db.now(), last, TENANTS).await?;
        drop(tx);
        for tenant in &tenants {
            loop {
                if stop.is_cancelled() {
                    return Ok(());
                }
                let Some(term) = lease.take(KEEP).await? else {
                    return Ok(());
                };
                if page(db, (lease, term), *tenant).await? < PAGE.unsigned_abs() {
                    break;
                }
            }
        }
        last = tenants.last().copied();
        if last.is_none() {
            return Ok(());
        }
    }
}

/// Removes one page of a tenant's texts; how many.
async fn page(db: &Database, (lease, term): (&Lease, i64), tenant: TenantId) -> Result<u64, Fault> {
    let mut tx = db.system().await?;
    if !lease.holds(&tx, term).await? {
        return Err(Fault::busy());
    }
    // As it is now: what was asked for before may have been changed since.
    let Some(before) = horizon(&tx, tenant, tx.now()).await? else {
        return Ok(0);
    };
    let removed = text::expire(&tx, tenant, before, PAGE).await?;
    if removed == 0 {
        return Ok(0);
    }
    let what = [before.0.to_be_bytes(), removed.to_be_bytes()].concat();
    let digest = db.ids(tenant).digest("texts kept no longer", &what);
    tx.audit(tenant, WORK, Some(digest))?;
    tx.commit().await?;
    let store = db.service().as_str();
    metrics::counter!("regard_retention_removed_total", "store" => store, "kind" => "texts")
        .increment(removed);
    tracing::info!(%tenant, removed, "texts that are kept no longer were removed");
    Ok(removed)
}
