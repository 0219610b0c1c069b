//! Applying an erasure, in the transaction of its batch.

use std::collections::{BTreeMap, BTreeSet};

use regard_database::{StoreError, Tx};
use regard_erasure::{Counts, Feeds, bury, note};
use regard_types::{Micros, Service, TenantId, Uuid};

use super::GONE;
use super::store::{self, Erased, move_events};
use crate::core::Core;
use crate::event::store::Loads;
use crate::group;
use crate::operation;
use crate::summary::app::{Refold, Scored, refresh};
use crate::summary::store as summaries;
use crate::tenant;

/// Keeps the other feed's applier, and the one that reads its snapshot, out until the transaction ends: a row that it is
/// adding under an old id would stay there. Every one of them holds its lease's row; both are taken in one order, before
/// anything is read.
///
/// # Errors
/// What the engine answers.
pub async fn alone(tx: &Tx) -> Result<(), StoreError> {
    for name in ["feed:customer", "feed:feedback"] {
        let sql = "UPDATE lease SET holder = holder WHERE name = $1";
        tx.run(sql, vec![name.into()]).await?;
    }
    Ok(())
}

/// Moves all that scoring keeps of a person to the new ids; what was scored anew, and, for the cache, what counts no more.
///
/// # Errors
/// What the engine answers.
pub async fn apply(
    core: &Core,
    tx: &Tx,
    (feed, loads): (Service, Loads),
    tenant: TenantId,
    erased: &Erased,
    now: Micros,
) -> Result<Vec<Scored>, StoreError> {
    tenant::store::ensure(tx, tenant).await?;
    store::note(tx, feed, tenant, erased).await?;
    let old: Vec<Uuid> = erased.customers.iter().map(|pair| pair.old).collect();
    let both: Vec<Uuid> = old
        .iter()
        .copied()
        .chain(erased.customers.iter().map(|pair| pair.new))
        .collect();
    let mut counts = Counts::default();
    let mut scored = Vec::new();
    if !both.is_empty() {
        let rows = summaries::lock(tx, tenant, &both).await?;
        let least = rows.iter().map(|row| row.1).max().unwrap_or(0);
        counts.relabelled("event", move_events(tx, tenant, &both).await?);
        let customers = regroup(tx, tenant, loads, erased, &mut counts).await?;
        for (table, column) in [("summary", "customer"), ("score_rank", "customer")] {
            let sql = format!("DELETE FROM {table} WHERE tenant = $1 AND {column} {{in}}");
            let gone = tx.run_in(&sql, vec![tenant.0.into()], &old).await?;
            counts.removed(table, gone);
        }
        summaries::lock(tx, tenant, &customers).await?;
        scored = refresh(core, tx, tenant, loads, &customers, Refold::All, least).await?;
        counts.refolded("summary", scored.len() as u64);
        operation::store::forget(tx, tenant, &old).await?;
        if let Some(state) = tenant::store::get(tx, tenant).await? {
            scored.push(Scored {
                tenant,
                stamp: state.stamp,
                arrivals: old.clone(),
                version: GONE,
                scores: Vec::new(),
            });
        }
    }
    let records = erased.records.iter().map(|pair| pair.old);
    let graves: Vec<Uuid> = old.into_iter().chain(records).collect();
    bury(tx, tenant, &core.db.ids(tenant), erased.erasure, &graves).await?;
    let come = match feed {
        _ if !erased.last => Feeds::NONE,
        Service::Feedback => Feeds::FEEDBACK,
        Service::Customer | Service::Scoring => Feeds::CUSTOMER,
    };
    let of = (tenant, erased.erasure);
    note(tx, of, &counts, (Feeds::BOTH, come), now).await?;
    Ok(scored)
}

/// Moves the groups of the person; the customers whose summaries must be folded anew.
async fn regroup(
    tx: &Tx,
    tenant: TenantId,
    loads: Loads,
    erased: &Erased,
    counts: &mut Counts,
) -> Result<Vec<Uuid>, StoreError> {
    let new_of: BTreeMap<Uuid, Uuid> = erased.customers.iter().map(|p| (p.old, p.new)).collect();
    let new = |id: Uuid| new_of.get(&id).copied().unwrap_or(id);
    let old: Vec<Uuid> = new_of.keys().copied().collect();
    // Whoever is in a group with them, as scoring knows it; the edges may say otherwise already.
    let mut aliases: BTreeMap<Uuid, Uuid> = group::store::members(tx, tenant, &old)
        .await?
        .into_iter()
        .collect();
    aliases.extend(group::store::canonical_of(tx, tenant, &old).await?);
    let aliases: BTreeMap<Uuid, Uuid> = aliases.iter().map(|(a, c)| (new(*a), new(*c))).collect();
    let sql = "DELETE FROM alias WHERE tenant = $1 AND arrival {in}";
    let gone = tx.run_in(sql, vec![tenant.0.into()], &old).await?;
    counts.relabelled("alias", gone);
    let arrivals: Vec<Uuid> = aliases.keys().copied().collect();
    let customers: BTreeSet<Uuid> = aliases.values().copied().collect();
    let around: Vec<Uuid> = arrivals.iter().copied().chain(customers).collect();
    let ends: BTreeSet<Uuid> = around.into_iter().collect();
    let ends: Vec<Uuid> = ends.into_iter().collect();
    group::store::ensure(tx, tenant, &ends).await?;
    group::store::set(tx, tenant, &aliases).await?;
    let regrouping = group::store::regroup_if(tx, tenant, loads, &ends).await?;
    let known: Vec<Uuid> = regrouping.aliases.keys().copied().collect();
    group::store::ensure(tx, tenant, &known).await?;
    group::store::set(tx, tenant, &regrouping.aliases).await?;
    let mut touched: BTreeSet<Uuid> = regrouping.customers;
    touched.extend(known);
    let touched: Vec<Uuid> = touched.into_iter().collect();
    summaries::ensure(tx, tenant, &touched).await?;
    Ok(touched)
}
