//! Folding and scoring customers, within a transaction that others begin and end.

use std::collections::HashMap;

use regard_database::{StoreError, Tx};
use regard_types::{Day, TenantId, Uuid};

use super::domain::fold;
use super::store::{self, SummaryRow};
use crate::core::Core;
use crate::event::{self, Event, store::Loads};
use crate::follow;
use crate::group;
use crate::score::domain::{ScoreSet, score_all};
use crate::score::store as scores;
use crate::tenant::{self, TenantState};

/// A customer that was scored: what goes into the cache once the transaction is through.
#[derive(Debug, Clone)]
pub struct Scored {
    /// The tenant.
    pub tenant: TenantId,
    /// The tenant's stamp, part of the cache key.
    pub stamp: i64,
    /// The arrival ids that are this customer.
    pub arrivals: Vec<Uuid>,
    /// The row's version.
    pub version: i64,
    /// The scores, encoded.
    pub scores: Vec<u8>,
}

/// Which rows to fold from their events; the others are only scored again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refold {
    /// All.
    All,
    /// Those whose stamp is old or that have an event on a day that has come.
    Due,
}

/// Folds and scores customers whose rows the caller has locked, and writes them. `least` is a version that the new ones must exceed
/// (0 for none): after a merge the larger of both counts on.
///
/// # Errors
/// What the engine answers.
pub async fn refresh(
    core: &Core,
    tx: &Tx,
    tenant: TenantId,
    loads: Loads,
    customers: &[Uuid],
    refold: Refold,
    least: i64,
) -> Result<Vec<Scored>, StoreError> {
    if customers.is_empty() {
        return Ok(Vec::new());
    }
    // Read under the rows' locks: a roll and an apply must not write a day or model that has passed.
    let state = tenant::store::hold(tx, tenant)
        .await?
        .ok_or(StoreError::Missing)?;
    // A load switch raises the stamp that was just read: folding the load from before under it would never be mended.
    if follow::store::loads(tx).await? != loads {
        return Err(StoreError::Busy("another load counts since".into()));
    }
    let serving = core.serving(tx, &state).await?;
    let today = state.today(core.clock());
    let mut rows = store::get(tx, tenant, customers).await?;
    let members = members(tx, tenant, customers).await?;
    let due: Vec<Uuid> = rows
        .iter()
        .filter(|r| refold == Refold::All || is_due(r, &state, today))
        .map(|r| r.customer)
        .collect();
    let mut events = events(tx, tenant, loads, &members, &due).await?;
    let mut out = Vec::with_capacity(rows.len());
    let mut ranked: Vec<(Uuid, ScoreSet)> = Vec::with_capacity(rows.len());
    let fresh = rows.iter().all(|r| r.as_of.is_none());
    for row in &mut rows {
        // Within a stamp the day never falls, whatever a replica's clock says.
        let day = match row.as_of {
            Some(before) if row.stamp == state.stamp => today.max(before),
            _ => today,
        };
        if let Some(events) = events.remove(&row.customer) {
            row.summary = fold(&events, &state.zone, day);
        }
        row.version = row.version.max(least) + 1;
        row.stamp = state.stamp;
        row.models = state.models;
        row.as_of = Some(day);
        row.valid_until = state.valid_until(day);
        let arrivals = members.get(&row.customer).cloned().unwrap_or_default();
        let set = ScoreSet {
            version: row.version,
            as_of: day,
            day_version: state.stamp,
            valid_until: row.valid_until,
            // A customer that is part of another one has no scores of its own.
            values: if arrivals.is_empty() {
                Vec::new()
            } else {
                score_all(&core.book, &row.summary, state.basis(day), &serving)
            },
        };
        row.scores = scores::encode(&core.book, row.customer, &set);
        out.push(Scored {
            tenant,
            stamp: state.stamp,
            arrivals,
            version: row.version,
            scores: row.scores.clone(),
        });
        ranked.push((row.customer, set));
    }
    store::put(tx, tenant, &rows).await?;
    ranked.sort_unstable_by_key(|(customer, _)| *customer);
    let sets: Vec<(Uuid, &ScoreSet)> = ranked
        .iter()
        .map(|(customer, set)| (*customer, set))
        .collect();
    scores::rank(tx, &core.book, tenant, &sets, !fresh).await?;
    Ok(out)
}

fn is_due(row: &SummaryRow, state: &TenantState, today: Day) -> bool {
    row.stamp != state.stamp
        || row.as_of.is_none()
        || row.summary.next_day.is_some_and(|day| day <= today)
}

/// The arrival ids of each customer.
pub(crate) async fn members(
    tx: &Tx,
    tenant: TenantId,
    customers: &[Uuid],
) -> Result<HashMap<Uuid, Vec<Uuid>>, StoreError> {
    let mut out: HashMap<Uuid, Vec<Uuid>> = HashMap::with_capacity(customers.len());
    for (arrival, customer) in group::store::members(tx, tenant, customers).await? {
        out.entry(customer).or_default().push(arrival);
    }
    Ok(out)
}

/// The events of each customer that is due, of all its arrival ids.
pub(crate) async fn events(
    tx: &Tx,
    tenant: TenantId,
    loads: Loads,
    members: &HashMap<Uuid, Vec<Uuid>>,
    due: &[Uuid],
) -> Result<HashMap<Uuid, Vec<Event>>, StoreError> {
    let mut owner: HashMap<Uuid, Uuid> = HashMap::new();
    for customer in due {
        for arrival in members.get(customer).into_iter().flatten() {
            owner.insert(*arrival, *customer);
        }
    }
    let mut out: HashMap<Uuid, Vec<Event>> =
        due.iter().map(|customer| (*customer, Vec::new())).collect();
    if owner.is_empty() {
        return Ok(out);
    }
    let arrivals: Vec<Uuid> = owner.keys().copied().collect();
    for e in event::store::of_customers(tx, tenant, loads, &arrivals).await? {
        if let Some(events) = owner
            .get(&e.customer.0)
            .and_then(|customer| out.get_mut(customer))
        {
            events.push(e);
        }
    }
    Ok(out)
}
