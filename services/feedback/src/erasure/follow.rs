//! Follows the erasures in the customer service's feed, and how long each tenant keeps texts. Several replicas may: one holds
//! the lease, and every write is fenced by it. Nothing else of the feed is asked for.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use regard_client::Client;
use regard_database::{Database, Lease, StoreError};
use regard_erasure::{Pair, of_wire};
use regard_proto::common::v1::{ErrorReason, FeedCursor};
use regard_proto::customer::v1::{
    Change, SnapshotChangesRequest, WatchChangesRequest, measures::Record,
};
use regard_server::CancellationToken;
use regard_types::{Fault, Kind, TenantId, Uuid};
use tonic::Status;

use super::person::erase;
use super::store::{self, Read};
use crate::retention::{self, Terms};

/// The lease's name.
const NAME: &str = "feed:customer";
/// How long the lease is taken for, and how often it is renewed.
const LEASE: Duration = Duration::from_secs(6);
const RENEW: Duration = Duration::from_secs(2);
/// First and longest pause after a failure.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// Places are noted at least this often while they move; an erasure notes them at once.
const NOTE: Duration = Duration::from_secs(1);
/// Tries of a write that loses against others.
const TRIES: u32 = 8;

/// What following needs.
#[derive(Clone)]
pub(crate) struct Follower {
    pub db: Database,
    /// The customer service, as a caller that may read all tenants' changes.
    pub customer: Client,
}

/// Why following stopped.
#[derive(Debug, thiserror::Error)]
enum FollowError {
    /// The other service, or the way there.
    #[error("{}: {}", .0.code(), .0.message())]
    Remote(Box<Status>),
    /// A message that cannot be read.
    #[error("a message cannot be read: {0}")]
    Bad(&'static str),
    /// The store.
    #[error("{0}")]
    Fault(Fault),
    /// The lease is another replica's.
    #[error("the lease was lost")]
    Lost,
    /// The stream ended.
    #[error("the stream ended")]
    Ended,
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

impl From<StoreError> for FollowError {
    fn from(error: StoreError) -> Self {
        Self::Fault(error.into())
    }
}

impl FollowError {
    /// The places count no more.
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

/// What a message of the feed tells.
#[derive(Default)]
struct Told {
    erasures: Vec<Erasure>,
    terms: Vec<Terms>,
}

impl Told {
    fn is_empty(&self) -> bool {
        self.erasures.is_empty() && self.terms.is_empty()
    }
}

/// An erasure as the feed tells it.
struct Erasure {
    tenant: TenantId,
    erasure: Uuid,
    customers: Vec<Pair>,
}

/// What changes tell. All customers stand in every part of an erasure; the others tell of records that are not ours.
fn told(changes: &[Change]) -> Result<Told, FollowError> {
    let id = |text: &str| Uuid::try_parse(text).map_err(|_| FollowError::Bad("an id"));
    let mut out = Told::default();
    for change in changes {
        let record = change.measures.as_ref().and_then(|m| m.record.as_ref());
        let (Some(header), Some(record)) = (&change.header, record) else {
            continue;
        };
        match record {
            Record::Erasure(erasure) if erasure.part == 1 => out.erasures.push(Erasure {
                tenant: TenantId(id(&header.tenant_id)?),
                erasure: id(&header.record_id)?,
                customers: of_wire(&erasure.customers)?,
            }),
            Record::Tenant(tenant) => out.terms.push(Terms {
                tenant: TenantId(id(&header.record_id)?),
                version: header.version,
                days: tenant.retention_days,
            }),
            _ => {}
        }
    }
    Ok(out)
}

/// Follows until told to stop.
pub(crate) async fn run(follower: Follower, stop: CancellationToken) {
    let lease = follower.db.lease(NAME);
    let mut pause = PAUSE.0;
    while !stop.is_cancelled() {
        match lease.take(LEASE).await {
            Ok(Some(term)) => {
                let began = Instant::now();
                let error = tokio::select! {
                    error = follow(&follower, (&lease, term)) => error,
                    () = renew(&lease) => FollowError::Lost,
                    () = stop.cancelled() => break,
                };
                if began.elapsed() > PAUSE.1 {
                    pause = PAUSE.0;
                }
                tracing::warn!(%error, "following erasures was interrupted");
            }
            Ok(None) => {}
            Err(error) => tracing::warn!(%error, "the lease could not be taken"),
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = stop.cancelled() => break,
        }
        pause = (pause * 2).min(PAUSE.1);
    }
    if let Err(error) = lease.release().await {
        tracing::warn!(%error, "the lease was not given back: it runs out");
    }
}

/// Renews the lease until it is lost.
async fn renew(lease: &Lease) {
    loop {
        tokio::time::sleep(RENEW).await;
        match lease.take(LEASE).await {
            Ok(Some(_)) => {}
            Ok(None) => return,
            Err(error) => tracing::warn!(%error, "the lease could not be renewed"),
        }
    }
}

async fn follow(follower: &Follower, lease: (&Lease, i64)) -> FollowError {
    loop {
        match watch(follower, lease).await {
            Err(error) if error.wants_snapshot() => {
                tracing::warn!(%error, "reading a snapshot of the erasures");
                if let Err(error) = snapshot(follower, lease).await {
                    return error;
                }
            }
            Err(error) => return error,
            Ok(()) => return FollowError::Ended,
        }
    }
}

fn kinds() -> Vec<String> {
    vec!["erasure".to_owned(), "tenant".to_owned()]
}

async fn watch(follower: &Follower, lease: (&Lease, i64)) -> Result<(), FollowError> {
    let tx = follower.db.read_system().await?;
    let (epoch, cursors) = store::cursors(&tx).await?;
    drop(tx);
    let request = WatchChangesRequest {
        epoch: epoch.map(|epoch| epoch.to_string()).unwrap_or_default(),
        cursors,
        kinds: kinds(),
    };
    let mut client = follower.customer.customer_changes();
    let mut stream = client.watch_changes(request).await?.into_inner();
    let mut read: BTreeMap<u32, Read> = BTreeMap::new();
    let mut noted = Instant::now();
    while let Some(message) = stream.message().await? {
        let epoch = Uuid::try_parse(&message.epoch).map_err(|_| FollowError::Bad("epoch"))?;
        if message.from_position < message.to_position {
            let range = read.entry(message.lane).or_insert(Read {
                from: message.from_position,
                to: message.from_position,
                nonce: 0,
            });
            if range.to != message.from_position {
                return Err(FollowError::Bad("positions are missing"));
            }
            (range.to, range.nonce) = (message.to_position, message.to_nonce);
        }
        let told = told(&message.changes)?;
        if !told.is_empty() || (noted.elapsed() >= NOTE && !read.is_empty()) {
            apply(follower, lease, (epoch, &told), Mark::Read(&read)).await?;
            read.clear();
            noted = Instant::now();
        }
    }
    Ok(())
}

/// Reads the erasures that are not complete yet and all tenants, and goes on from where the feed stood then.
async fn snapshot(follower: &Follower, lease: (&Lease, i64)) -> Result<(), FollowError> {
    let request = SnapshotChangesRequest {
        resume_token: String::new(),
        kinds: kinds(),
    };
    let mut client = follower.customer.customer_changes();
    let mut stream = client.snapshot_changes(request).await?.into_inner();
    let mut heads: Vec<FeedCursor> = Vec::new();
    while let Some(message) = stream.message().await? {
        if !message.heads.is_empty() {
            heads.clone_from(&message.heads);
        }
        let epoch = Uuid::try_parse(&message.epoch).map_err(|_| FollowError::Bad("epoch"))?;
        let told = told(&message.changes)?;
        let mark = match message.done {
            true => Mark::Begin(&heads),
            false => Mark::None,
        };
        apply(follower, lease, (epoch, &told), mark).await?;
        if message.done {
            return Ok(());
        }
    }
    Err(FollowError::Ended)
}

/// What to note of where the reading is.
#[derive(Clone, Copy)]
enum Mark<'a> {
    /// These stretches were read.
    Read(&'a BTreeMap<u32, Read>),
    /// All before these places was read.
    Begin(&'a [FeedCursor]),
    /// Nothing.
    None,
}

/// Erases, each person in a transaction, then notes what else was told and how far was read. What is done twice after a crash
/// is done once: the second time nothing is left.
async fn apply(
    follower: &Follower,
    lease: (&Lease, i64),
    (epoch, told): (Uuid, &Told),
    mark: Mark<'_>,
) -> Result<(), FollowError> {
    for erasure in &told.erasures {
        again(|| erase_one(follower, lease, erasure)).await?;
    }
    if matches!(mark, Mark::None) && told.terms.is_empty() {
        return Ok(());
    }
    again(|| note(follower, lease, (epoch, &told.terms), mark)).await
}

async fn again<F, W>(work: F) -> Result<(), FollowError>
where
    F: Fn() -> W,
    W: Future<Output = Result<(), FollowError>>,
{
    for tries in 1..TRIES {
        match work().await {
            Err(FollowError::Fault(fault)) if fault.kind == Kind::Busy => {
                tokio::time::sleep(Duration::from_millis(u64::from(tries) * 10)).await;
            }
            done => return done,
        }
    }
    work().await
}

async fn erase_one(
    follower: &Follower,
    (lease, term): (&Lease, i64),
    told: &Erasure,
) -> Result<(), FollowError> {
    let mut tx = follower.db.system().await?;
    // Writers of the tenant first: they wait for no lease.
    tx.alone(told.tenant).await?;
    if !lease.holds(&tx, term).await? {
        return Err(FollowError::Lost);
    }
    let of = (told.tenant, told.erasure);
    erase(&follower.db, &mut tx, of, &told.customers).await?;
    tx.commit().await?;
    Ok(())
}

async fn note(
    follower: &Follower,
    (lease, term): (&Lease, i64),
    (epoch, terms): (Uuid, &[Terms]),
    mark: Mark<'_>,
) -> Result<(), FollowError> {
    let tx = follower.db.system().await?;
    if !lease.holds(&tx, term).await? {
        return Err(FollowError::Lost);
    }
    retention::note(&tx, epoch, terms).await?;
    match mark {
        Mark::Read(read) if !store::advance(&tx, epoch, read).await? => {
            return Err(FollowError::Lost);
        }
        Mark::Begin(heads) => {
            store::restart(&tx, epoch, heads).await?;
            retention::forget_former(&tx, epoch).await?;
        }
        Mark::Read(..) | Mark::None => {}
    }
    tx.commit().await?;
    Ok(())
}
