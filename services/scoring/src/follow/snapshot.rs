//! Reading a feed's snapshot into a load of its own, and switching to it.

use std::collections::BTreeMap;
use std::pin::Pin;

use futures::{Stream, StreamExt as _};
use regard_database::{Lease, StoreError, Tx};
use regard_proto::common::v1::FeedCursor;
use regard_proto::customer::v1 as customer;
use regard_proto::feedback::v1 as feedback;
use regard_types::{Service, TenantId, Uuid};

use super::apply::{ApplyError, add};
use super::gather::Gathered;
use super::puts;
use super::store::{self, Cursor, Load};
use super::watch::{FollowError, Source};
use crate::core::Core;
use crate::erasure;
use crate::event;
use crate::event::wire::{Told, decode_customer, decode_feedback};
use crate::group;
use crate::tenant;

/// A part of a snapshot.
struct Part {
    epoch: Uuid,
    heads: Vec<FeedCursor>,
    told: Vec<(Uuid, Told)>,
    resume: String,
    done: bool,
}

type Parts = Pin<Box<dyn Stream<Item = Result<Part, FollowError>> + Send>>;

/// Begins a load that a snapshot fills; the active one counts until it is complete.
pub async fn begin(core: &Core, feed: Service, lease: (&Lease, i64)) -> Result<Load, FollowError> {
    let tx = core.db.system().await?;
    fence(&tx, lease).await?;
    let load = store::begin(&tx, feed, true, tx.now().0).await?;
    if feed == Service::Customer {
        // A restored store may know older versions of the tenants: they count.
        tenant::store::forget_versions(&tx).await?;
    }
    tx.commit().await?;
    Ok(load)
}

/// Reads the snapshot from where it stopped last, and switches to it.
pub async fn take(
    core: &Core,
    source: &Source,
    lease: (&Lease, i64),
    load: &Load,
) -> Result<(), FollowError> {
    let mut parts = read(source, &load.resume).await?;
    while let Some(part) = parts.next().await {
        let part = part?;
        let done = part.done;
        keep(core, source.feed, lease, load.no, part).await?;
        if done {
            switch(core, source.feed, lease, load.no).await?;
            return Ok(());
        }
    }
    Err(FollowError::Ended)
}

async fn keep(
    core: &Core,
    feed: Service,
    lease: (&Lease, i64),
    load: i64,
    part: Part,
) -> Result<(), FollowError> {
    let mut rows = Gathered::default();
    for (tenant, told) in part.told {
        rows.told(tenant, told);
    }
    let tx = core.db.system().await?;
    if !rows.erased.is_empty() {
        erasure::alone(&tx).await?;
    }
    fence(&tx, lease).await?;
    if !part.heads.is_empty() {
        store::set_epoch(&tx, load, part.epoch).await?;
        for head in part.heads {
            let lane = u16::try_from(head.lane).map_err(|_| FollowError::Bad("lane"))?;
            store::set_cursor(
                &tx,
                load,
                Cursor {
                    lane,
                    position: head.position,
                    nonce: head.nonce,
                    cached: head.position,
                },
            )
            .await?;
        }
    }
    let loads = store::loads(&tx).await?;
    let mut scored = Vec::new();
    for (tenant, erased) in &rows.erased {
        let of = (feed, loads);
        let moved = erasure::apply(core, &tx, of, *tenant, erased, tx.now());
        scored.extend(Box::pin(moved).await?);
    }
    for (tenant, events) in &rows.events {
        let events = erasure::mapped(&tx, *tenant, events).await?;
        add(&tx, *tenant, load, &events).await?;
    }
    for (tenant, change, version) in &rows.tenants {
        tenant::store::apply(&tx, *tenant, change, *version).await?;
    }
    store::set_resume(&tx, load, &part.resume).await?;
    let seen = puts::seen(core, &tx).await?;
    tx.commit().await?;
    if !scored.is_empty() && !puts::put(core, &scored, &seen).await {
        puts::abandon(core).await?;
    }
    Ok(())
}

/// The snapshot's events count from now on; every summary is folded again by the roll, or on read until then.
async fn switch(
    core: &Core,
    feed: Service,
    lease: (&Lease, i64),
    load: i64,
) -> Result<(), FollowError> {
    let tx = core.db.system().await?;
    fence(&tx, lease).await?;
    // First: it waits for whoever folds right now, and whoever folds after it finds the other load (see `refresh`).
    tenant::store::raise_stamps(&tx).await?;
    store::activate(&tx, feed, load).await?;
    if feed == Service::Customer {
        regroup_all(&tx).await?;
    }
    tx.commit().await?;
    core.applied.send_modify(|n| *n = n.wrapping_add(1));
    Ok(())
}

/// Works out every group anew from the merge edges that count.
async fn regroup_all(tx: &Tx) -> Result<(), StoreError> {
    group::store::part_all(tx).await?;
    let loads = store::loads(tx).await?;
    let mut ends: BTreeMap<TenantId, Vec<Uuid>> = BTreeMap::new();
    for (tenant, from, into) in event::store::edges(tx, loads.customer).await? {
        let ends = ends.entry(tenant).or_default();
        ends.push(from);
        ends.extend(into);
    }
    for (tenant, mut around) in ends {
        around.sort_unstable();
        around.dedup();
        let regrouping = group::store::regroup(tx, tenant, loads, &around).await?;
        group::store::set(tx, tenant, &regrouping.aliases).await?;
    }
    Ok(())
}

async fn fence(tx: &Tx, lease: (&Lease, i64)) -> Result<(), FollowError> {
    if lease.0.holds(tx, lease.1).await? {
        Ok(())
    } else {
        Err(ApplyError::Lost.into())
    }
}

async fn read(source: &Source, resume: &str) -> Result<Parts, FollowError> {
    let resume_token = resume.to_owned();
    Ok(match source.feed {
        Service::Feedback => {
            let request = feedback::SnapshotChangesRequest { resume_token };
            let mut client = source.client.feedback_changes();
            let stream = client.snapshot_changes(request).await?.into_inner();
            Box::pin(stream.map(|message| {
                let m = message?;
                let told = m
                    .changes
                    .into_iter()
                    .map(decode_feedback)
                    .collect::<Result<_, _>>()?;
                part(&m.epoch, m.heads, told, m.resume_token, m.done)
            }))
        }
        Service::Customer | Service::Scoring => {
            let request = customer::SnapshotChangesRequest {
                resume_token,
                kinds: Vec::new(),
            };
            let mut client = source.client.customer_changes();
            let stream = client.snapshot_changes(request).await?.into_inner();
            Box::pin(stream.map(|message| {
                let m = message?;
                let told = m
                    .changes
                    .into_iter()
                    .map(decode_customer)
                    .collect::<Result<_, _>>()?;
                part(&m.epoch, m.heads, told, m.resume_token, m.done)
            }))
        }
    })
}

fn part(
    epoch: &str,
    heads: Vec<FeedCursor>,
    told: Vec<(Uuid, Told)>,
    resume: String,
    done: bool,
) -> Result<Part, FollowError> {
    let epoch = Uuid::try_parse(epoch).map_err(|_| FollowError::Bad("epoch"))?;
    Ok(Part {
        epoch,
        heads,
        told,
        resume,
        done,
    })
}
