//! A snapshot for readers that begin, or whose cursors are gone: heads first, then current rows by key, then history rows
//! by key, then the lanes from those heads. In this order nothing moves past the reader; what it sees twice is harmless.
//! Each page is a transaction of its own, and a token resumes after any page.

use std::sync::Arc;

use futures::Stream;
use prost::Message as _;
use regard_types::{Fault, TenantId};
use uuid::Uuid;

use super::{ChangeRow, Cursor, Feed, Place, epoch_gone, place, too_old};
use crate::database::begin_read;
use crate::engine::View;
use crate::error::StoreError;
use crate::tx::Tx;

/// A place in a source: whatever its store understands as "after this row".
pub type Key = Vec<u8>;

/// The key of a row that a tenant and an id name: 16 and 16 bytes.
#[must_use]
pub fn pair_key(tenant: TenantId, id: Uuid) -> Key {
    [*tenant.0.as_bytes(), *id.as_bytes()].concat()
}

/// The tenant and the id of [`pair_key`].
///
/// # Errors
/// [`StoreError::Corrupt`] for another key.
pub fn read_pair(key: &Key) -> Result<(Uuid, Uuid), StoreError> {
    let parts = || {
        let (tenant, id) = key.split_first_chunk::<16>()?;
        let id = Uuid::from_bytes(id.try_into().ok()?);
        Some((Uuid::from_bytes(*tenant), id))
    };
    // Callers pass tokens on as they came: another key is no row of ours.
    parts().ok_or_else(|| StoreError::corrupt("a resume token with a key that is none"))
}

/// Rows of one table as changes, in the order of a key that never changes.
#[async_trait::async_trait]
pub trait Source: Send + Sync {
    /// Up to `limit` rows after `after`, of one tenant or all, with each row's key.
    async fn page(
        &self,
        tx: &Tx,
        tenant: Option<TenantId>,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<(Key, ChangeRow)>, StoreError>;
}

/// One page.
#[derive(Debug, Clone)]
pub struct SnapshotPage {
    /// The epoch of all of it.
    pub epoch: Uuid,
    /// The heads noted at the beginning: where to watch from after the last page.
    pub cursors: Vec<Cursor>,
    /// The rows.
    pub changes: Vec<ChangeRow>,
    /// Resumes after this page.
    pub resume: Vec<u8>,
    /// Whether it is the last.
    pub last: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Resume {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(bytes = "vec", tag = "2")]
    epoch: Vec<u8>,
    #[prost(message, repeated, tag = "3")]
    heads: Vec<ResumeHead>,
    #[prost(uint32, tag = "4")]
    source: u32,
    #[prost(bytes = "vec", optional, tag = "5")]
    after: Option<Vec<u8>>,
    #[prost(bytes = "vec", tag = "6")]
    tenant: Vec<u8>,
    /// The heads when the last page was read: a store without them was set back to a backup meanwhile, and pages that
    /// were read may tell of what never was.
    #[prost(message, repeated, tag = "7")]
    seen: Vec<ResumeHead>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ResumeHead {
    #[prost(uint32, tag = "1")]
    lane: u32,
    #[prost(uint64, tag = "2")]
    position: u64,
    #[prost(fixed64, tag = "3")]
    nonce: u64,
}

impl Feed {
    /// The rows of `sources` in their order (current ones first, then history), from the beginning or after `resume`.
    ///
    /// # Errors
    /// `TOKEN_INVALID` for a resume token that this call did not make; `FEED_EPOCH_GONE` if its epoch is over (begin
    /// again without it). Pages may end in a fault of the store.
    pub async fn snapshot(
        &self,
        sources: Vec<Arc<dyn Source>>,
        tenant: Option<TenantId>,
        resume: Option<&[u8]>,
        page_max: usize,
    ) -> Result<impl Stream<Item = Result<SnapshotPage, Fault>> + Send + 'static + use<>, Fault>
    {
        let (epoch, heads) = self.heads().await?;
        let state = match resume {
            Some(bytes) => decode(bytes, tenant, sources.len())?,
            None => begin(epoch, &heads, tenant),
        };
        if state.epoch.as_slice() != epoch.as_bytes() {
            return Err(epoch_gone(epoch));
        }
        self.check_seen(&state, tenant).await?;
        let cursors = cursors(&state.heads)?;
        let walk = Walk {
            feed: self.clone(),
            sources,
            tenant,
            page_max: page_max.clamp(1, 5_000),
            epoch,
            cursors,
            state,
        };
        Ok(futures::stream::unfold(Some(walk), |walk| async {
            let mut walk = walk?;
            match walk.next().await {
                Ok(page) if page.last => Some((Ok(page), None)),
                Ok(page) => Some((Ok(page), Some(walk))),
                Err(fault) => Some((Err(fault), None)),
            }
        }))
    }

    /// Whether the store still has all that earlier pages were read from.
    async fn check_seen(&self, state: &Resume, tenant: Option<TenantId>) -> Result<(), Fault> {
        if state.seen.is_empty() {
            return Ok(());
        }
        let heads = self.read_heads().await?;
        let tx = begin_read(&self.0.0.pools, View::Everyone).await?;
        for seen in cursors(&state.seen)? {
            match place(&tx, &heads, seen).await? {
                Place::Here => {}
                Place::TooOld { oldest } => return Err(too_old(seen.lane, oldest)),
                Place::Elsewhere => {
                    drop(tx);
                    // As for a watcher: only a reader of all tenants is believed that the store was set back.
                    let epoch = if tenant.is_none() {
                        self.new_epoch_after(heads.epoch).await?
                    } else {
                        heads.epoch
                    };
                    return Err(epoch_gone(epoch));
                }
            }
        }
        Ok(())
    }
}

fn begin(epoch: Uuid, heads: &[Cursor], tenant: Option<TenantId>) -> Resume {
    let heads = noted(heads);
    let epoch = epoch.as_bytes().to_vec();
    Resume {
        version: 1,
        epoch,
        heads,
        source: 0,
        after: None,
        tenant: tenant_bytes(tenant),
        seen: Vec::new(),
    }
}

fn noted(heads: &[Cursor]) -> Vec<ResumeHead> {
    let head = |c: &Cursor| ResumeHead {
        lane: u32::from(c.lane),
        position: c.position,
        nonce: c.nonce,
    };
    heads.iter().map(head).collect()
}

fn tenant_bytes(tenant: Option<TenantId>) -> Vec<u8> {
    tenant.map(|t| t.0.as_bytes().to_vec()).unwrap_or_default()
}

fn decode(bytes: &[u8], tenant: Option<TenantId>, sources: usize) -> Result<Resume, Fault> {
    let state = Resume::decode(bytes).ok();
    let right = |s: &Resume| {
        s.version == 1
            && s.epoch.len() == 16
            && s.source as usize <= sources
            && s.tenant == tenant_bytes(tenant)
    };
    state.filter(right).ok_or_else(bad_token)
}

fn bad_token() -> Fault {
    let why = "not a token of this snapshot; pass it as it came, or none to begin";
    Fault::invalid("resume_token", why)
        .with_reason("TOKEN_INVALID")
        .meta("field", "resume_token")
}

fn cursors(heads: &[ResumeHead]) -> Result<Vec<Cursor>, Fault> {
    let cursor = |h: &ResumeHead| {
        let lane = u16::try_from(h.lane).map_err(|_| bad_token())?;
        Ok(Cursor {
            lane,
            position: h.position,
            nonce: h.nonce,
        })
    };
    heads.iter().map(cursor).collect()
}

struct Walk {
    feed: Feed,
    sources: Vec<Arc<dyn Source>>,
    tenant: Option<TenantId>,
    page_max: usize,
    epoch: Uuid,
    cursors: Vec<Cursor>,
    state: Resume,
}

impl Walk {
    async fn next(&mut self) -> Result<SnapshotPage, Fault> {
        loop {
            let at = self.state.source as usize;
            let Some(source) = self.sources.get(at).cloned() else {
                return Ok(self.page(Vec::new(), true));
            };
            let tx = begin_read(&self.feed.0.0.pools, View::of(self.tenant)).await?;
            let rows = source
                .page(&tx, self.tenant, self.state.after.as_ref(), self.page_max)
                .await?;
            drop(tx);
            if rows.len() < self.page_max {
                self.state.source += 1;
                self.state.after = None;
            } else {
                self.state.after = rows.last().map(|(key, _)| key.clone());
            }
            let last = self.state.source as usize >= self.sources.len();
            if rows.is_empty() && !last {
                continue;
            }
            // After the rows: whatever they tell lies below these heads.
            self.state.seen = noted(&self.feed.heads().await?.1);
            return Ok(self.page(rows.into_iter().map(|(_, change)| change).collect(), last));
        }
    }

    fn page(&self, changes: Vec<ChangeRow>, last: bool) -> SnapshotPage {
        let resume = self.state.encode_to_vec();
        SnapshotPage {
            epoch: self.epoch,
            cursors: self.cursors.clone(),
            changes,
            resume,
            last,
        }
    }
}
