//! The follower of one feed: takes the lease, watches, gathers, applies; takes a snapshot where watching cannot go on.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{FutureExt as _, Stream, StreamExt as _};
use regard_client::Client;
use regard_database::{Lease, StoreError};
use regard_proto::common::v1::{ChangeHeader, ErrorReason, FeedCursor};
use regard_proto::customer::v1 as customer;
use regard_proto::feedback::v1 as feedback;
use regard_server::CancellationToken;
use regard_types::{Fault, Service, TRACE_TARGET, Trace, Uuid};
use tonic::Status;

use super::apply::{ApplyError, apply};
use super::gather::{GatherError, Gathered, Range};
use super::store::{self, Cursor, Load};
use super::{puts, snapshot};
use crate::core::Core;
use crate::event::wire::{BadChange, Told, decode_customer, decode_feedback};

/// How long a lease is taken for, and how often it is renewed.
const LEASE: Duration = Duration::from_secs(6);
const RENEW: Duration = Duration::from_secs(2);
/// Changes that are applied together at most; a run ends earlier when nothing more has arrived.
const CHANGES: usize = 8_000;
/// First and longest pause after a failure.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// Where a feed is read.
#[derive(Clone)]
pub struct Source {
    /// The service that owns the feed.
    pub feed: Service,
    /// The way there, as a caller that may read all tenants' changes.
    pub client: Client,
}

/// A message of a feed, read.
pub struct Message {
    /// The epoch.
    pub epoch: Uuid,
    /// The lane.
    pub lane: u16,
    /// What it covers.
    pub range: Range,
    /// Where the lane ends, as far as its service knew.
    pub head: u64,
    /// Each change's tenant, and what it says.
    pub told: Vec<(Uuid, Told)>,
    /// The traces that changes belong to.
    pub traces: Vec<Trace>,
}

/// Messages of a feed.
pub type Messages = Pin<Box<dyn Stream<Item = Result<Message, FollowError>> + Send>>;

/// Why following stopped.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// The other service, or the way there.
    #[error("{}: {}", .0.code(), .0.message())]
    Remote(Box<Status>),
    /// The message cannot be read.
    #[error("a message cannot be read: {0}")]
    Bad(&'static str),
    /// A change cannot be read.
    #[error(transparent)]
    Change(#[from] BadChange),
    /// Positions are missing.
    #[error(transparent)]
    Gather(#[from] GatherError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The apply.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// A transaction's end.
    #[error("{0:?}")]
    Fault(Fault),
    /// The stream ended.
    #[error("the stream ended")]
    Ended,
    /// The server stops.
    #[error("the server stops")]
    Stopped,
}

impl From<Status> for FollowError {
    fn from(status: Status) -> Self {
        Self::Remote(Box::new(status))
    }
}

impl From<Fault> for FollowError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl FollowError {
    /// The cursor counts no more: only a snapshot helps.
    fn wants_snapshot(&self) -> bool {
        let Self::Remote(status) = self else {
            return false;
        };
        matches!(
            ErrorReason::of(status),
            Some(ErrorReason::CursorTooOld | ErrorReason::FeedEpochGone)
        )
    }
}

impl FollowError {
    /// A snapshot cannot go on where it stopped: its epoch is gone, or another release of the service wrote the token.
    fn wants_restart(&self) -> bool {
        let token = |status: &Status| ErrorReason::of(status) == Some(ErrorReason::TokenInvalid);
        self.wants_snapshot() || matches!(self, Self::Remote(status) if token(status))
    }
}

impl Source {
    /// Watches from cursors.
    async fn watch(&self, epoch: Uuid, cursors: &[Cursor]) -> Result<Messages, FollowError> {
        let epoch = if epoch.is_nil() {
            String::new()
        } else {
            epoch.to_string()
        };
        let cursors: Vec<FeedCursor> = cursors
            .iter()
            .map(|c| FeedCursor {
                lane: u32::from(c.lane),
                position: c.position,
                nonce: c.nonce,
            })
            .collect();
        Ok(match self.feed {
            Service::Feedback => {
                let request = feedback::WatchChangesRequest { epoch, cursors };
                let mut client = self.client.feedback_changes();
                let stream = client.watch_changes(request).await?.into_inner();
                Box::pin(stream.map(|message| {
                    let m = message?;
                    let traces = traces(m.changes.iter().filter_map(|c| c.header.as_ref()));
                    let told = m
                        .changes
                        .into_iter()
                        .map(decode_feedback)
                        .collect::<Result<_, _>>()?;
                    read(
                        &m.epoch,
                        m.lane,
                        (m.from_position, m.to_position, m.to_nonce, m.head_position),
                        (told, traces),
                    )
                }))
            }
            Service::Customer | Service::Scoring => {
                let request = customer::WatchChangesRequest {
                    epoch,
                    cursors,
                    kinds: Vec::new(),
                };
                let mut client = self.client.customer_changes();
                let stream = client.watch_changes(request).await?.into_inner();
                Box::pin(stream.map(|message| {
                    let m = message?;
                    let traces = traces(m.changes.iter().filter_map(|c| c.header.as_ref()));
                    let told = m
                        .changes
                        .into_iter()
                        .map(decode_customer)
                        .collect::<Result<_, _>>()?;
                    read(
                        &m.epoch,
                        m.lane,
                        (m.from_position, m.to_position, m.to_nonce, m.head_position),
                        (told, traces),
                    )
                }))
            }
        })
    }
}

fn read(
    epoch: &str,
    lane: u32,
    (from, to, nonce, head): (u64, u64, u64, u64),
    (told, traces): (Vec<(Uuid, Told)>, Vec<Trace>),
) -> Result<Message, FollowError> {
    Ok(Message {
        epoch: Uuid::try_parse(epoch).map_err(|_| FollowError::Bad("epoch"))?,
        lane: u16::try_from(lane).map_err(|_| FollowError::Bad("lane"))?,
        range: Range { from, to, nonce },
        head,
        told,
        traces,
    })
}

/// The traces that changes belong to. Changes of one call lie side by side.
fn traces<'a>(headers: impl Iterator<Item = &'a ChangeHeader>) -> Vec<Trace> {
    let mut traces: Vec<Trace> = headers
        .filter_map(|header| Trace::parse(&header.traceparent))
        .collect();
    traces.dedup();
    traces
}

/// Follows a feed until told to stop. Several replicas may: one holds the lease, and gives it back in the end, so that the
/// next need not wait for it to run out.
pub async fn run(core: Arc<Core>, source: Source, stop: CancellationToken) {
    let name = lease_name(source.feed);
    let lease = Arc::new(core.db.lease(name));
    let mut pause = PAUSE.0;
    core.fresh(source.feed);
    while !stop.is_cancelled() {
        let asked = Instant::now();
        match lease.take(LEASE).await {
            Ok(Some(term)) => {
                core.held(name, asked + LEASE);
                let error = tokio::select! {
                    ended = follow(&core, &source, (&lease, term), &stop) => ended,
                    () = renew(&core, name, &lease) => FollowError::Apply(ApplyError::Lost),
                };
                if matches!(error, FollowError::Stopped) {
                    break;
                }
                metrics::counter!("regard_follow_breaks_total", "feed" => source.feed.as_str())
                    .increment(1);
                // A batch may have been committed without its puts.
                core.interrupted();
                match error {
                    FollowError::Apply(ApplyError::Lost) => core.lost(name),
                    error => {
                        tracing::warn!(feed = source.feed.as_str(), %error, "following was interrupted");
                    }
                }
            }
            Ok(None) => core.lost(name),
            Err(error) => tracing::warn!(%error, "the lease could not be taken"),
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stop.cancelled() => break,
        }
        pause = (pause * 2).min(if core.db.ping().await.is_ok() {
            Duration::from_millis(500)
        } else {
            PAUSE.1
        });
    }
    core.lost(name);
    if let Err(error) = lease.release().await {
        tracing::warn!(%error, "the lease was not given back: it runs out");
    }
}

const fn lease_name(feed: Service) -> &'static str {
    match feed {
        Service::Feedback => "feed:feedback",
        Service::Customer | Service::Scoring => "feed:customer",
    }
}

/// Renews the lease until it is lost. That it could not be asked for is no loss: every write is fenced by its term, and our own
/// write may be what the renewal waits for.
async fn renew(core: &Core, name: &'static str, lease: &Lease) {
    loop {
        tokio::time::sleep(RENEW).await;
        let asked = Instant::now();
        match lease.take(LEASE).await {
            Ok(Some(_)) => core.held(name, asked + LEASE),
            Ok(None) => return,
            Err(error) => tracing::warn!(%error, "the lease could not be renewed"),
        }
    }
}

async fn follow(
    core: &Core,
    source: &Source,
    lease: (&Lease, i64),
    stop: &CancellationToken,
) -> FollowError {
    match follow_until(core, source, lease, stop).await {
        Ok(()) => FollowError::Ended,
        Err(error) => error,
    }
}

async fn follow_until(
    core: &Core,
    source: &Source,
    lease: (&Lease, i64),
    stop: &CancellationToken,
) -> Result<(), FollowError> {
    let mut load = open(core, source, lease).await?;
    abandon_if_behind(core, load.no).await?;
    loop {
        if load.loading {
            let taken = tokio::select! {
                taken = snapshot::take(core, source, lease, &load) => taken,
                // It goes on after its last whole page.
                () = stop.cancelled() => Err(FollowError::Stopped),
            };
            match taken {
                Ok(()) => load = open(core, source, lease).await?,
                // The feed's epoch changed while the snapshot was being read: where it stopped says nothing any more.
                Err(error) if error.wants_restart() && !load.resume.is_empty() => {
                    tracing::warn!(feed = source.feed.as_str(), %error, "the snapshot of the feed begins anew");
                    load = snapshot::begin(core, source.feed, lease).await?;
                    continue;
                }
                Err(error) => return Err(error),
            }
        }
        match watch(core, source, lease, &mut load, stop).await {
            Err(error) if error.wants_snapshot() => {
                tracing::warn!(feed = source.feed.as_str(), %error, "reading a snapshot of the feed");
                load = snapshot::begin(core, source.feed, lease).await?;
            }
            ended => return ended,
        }
    }
}

/// The load to go on with; a first one if there is none.
async fn open(core: &Core, source: &Source, lease: (&Lease, i64)) -> Result<Load, FollowError> {
    let tx = core.db.system().await?;
    if !lease.0.holds(&tx, lease.1).await? {
        return Err(ApplyError::Lost.into());
    }
    let load = match store::current(&tx, source.feed).await? {
        Some(load) => load,
        None => store::begin(&tx, source.feed, false, tx.now().0).await?,
    };
    tx.commit().await?;
    Ok(load)
}

/// Whoever held the lease before may have stopped between a commit and its puts: what Redis holds counts no more then.
async fn abandon_if_behind(core: &Core, load: i64) -> Result<(), FollowError> {
    if !core.shared_cache {
        return Ok(());
    }
    let tx = core.db.read_system().await?;
    let behind = store::cursors(&tx, load)
        .await?
        .iter()
        .any(|c| c.cached < c.position);
    drop(tx);
    if behind {
        puts::abandon(core).await?;
    }
    Ok(())
}

async fn watch(
    core: &Core,
    source: &Source,
    lease: (&Lease, i64),
    load: &mut Load,
    stop: &CancellationToken,
) -> Result<(), FollowError> {
    let tx = core.db.read_system().await?;
    let cursors = store::cursors(&tx, load.no).await?;
    drop(tx);
    core.lag.begun(source.feed, &cursors);
    let mut messages = source.watch(load.epoch, &cursors).await?;
    let mut redis_missed = false;
    loop {
        // A batch that was begun is finished; told to stop, no other is begun.
        let first = tokio::select! {
            biased;
            () = stop.cancelled() => return Err(FollowError::Stopped),
            first = messages.next() => first,
        };
        let Some(first) = first else { return Ok(()) };
        let first = first?;
        if load.epoch != first.epoch {
            note_epoch(core, lease, load, first.epoch).await?;
        }
        let mut batch = Gathered::default();
        core.lag.heard(source.feed, &first);
        take(&mut batch, first)?;
        while batch.changes < CHANGES
            && let Some(Some(next)) = messages.next().now_or_never()
        {
            let next = next?;
            core.lag.heard(source.feed, &next);
            take(&mut batch, next)?;
        }
        // All that has arrived is in the batch.
        let whole = batch.changes < CHANGES;
        if batch.is_empty() {
            core.fresh(source.feed);
            continue;
        }
        let changes = batch.changes;
        let span = || {
            tracing::info_span!(
                target: TRACE_TARGET,
                "apply",
                otel.kind = "consumer",
                feed = source.feed.as_str(),
                changes,
            )
        };
        let work = take_in(core, source.feed, (load.no, lease), &batch, redis_missed);
        let work = Box::pin(work);
        redis_missed = regard_server::caused_by(&batch.traces, span, work).await?;
        core.lag.applied(source.feed, &batch.lanes);
        metrics::counter!("regard_follow_changes_total", "feed" => source.feed.as_str())
            .increment(changes as u64);
        if whole {
            core.fresh(source.feed);
        }
    }
}

/// Applies a batch and puts what was scored into the cache. Whether Redis misses something afterwards.
async fn take_in(
    core: &Core,
    feed: Service,
    (load, lease): (i64, (&Lease, i64)),
    batch: &Gathered,
    mut redis_missed: bool,
) -> Result<bool, FollowError> {
    let (scored, seen) = apply(core, feed, load, lease, batch).await?;
    redis_missed |= !puts::put(core, &scored, &seen).await;
    if core.shared_cache {
        redis_missed = settle(core, load, batch, redis_missed).await?;
    }
    Ok(redis_missed)
}

/// Takes a message into the batch; a heartbeat without news says nothing.
fn take(batch: &mut Gathered, message: Message) -> Result<(), FollowError> {
    if message.range.from == message.range.to {
        return Ok(());
    }
    batch.range(message.lane, message.range)?;
    batch.caused_by(message.traces);
    for (tenant, told) in message.told {
        batch.told(tenant, told);
    }
    Ok(())
}

async fn note_epoch(
    core: &Core,
    lease: (&Lease, i64),
    load: &mut Load,
    epoch: Uuid,
) -> Result<(), FollowError> {
    if !load.epoch.is_nil() {
        // The feed says so before we asked for a snapshot: begin with one.
        return Err(FollowError::Bad(
            "epoch: the feed changed it within a stream",
        ));
    }
    let tx = core.db.system().await?;
    if !lease.0.holds(&tx, lease.1).await? {
        return Err(ApplyError::Lost.into());
    }
    store::set_epoch(&tx, load.no, epoch).await?;
    tx.commit().await?;
    load.epoch = epoch;
    Ok(())
}

/// Notes that the effects of a batch are in Redis; or, once Redis answers again after it missed some, abandons what it holds.
/// True while it still misses some.
async fn settle(
    core: &Core,
    load: i64,
    batch: &Gathered,
    missed: bool,
) -> Result<bool, FollowError> {
    if missed {
        core.cache.bypass_shared(true);
        // The next batch that Redis takes whole ends the outage.
        puts::abandon(core).await?;
        return Ok(false);
    }
    let tx = core.db.system().await?;
    for (lane, range) in &batch.lanes {
        store::set_cached(&tx, load, *lane, range.to).await?;
    }
    tx.commit().await?;
    Ok(false)
}
