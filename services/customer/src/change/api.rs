//! The feed on the wire.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures::StreamExt as _;
use prost::Message as _;
use regard_database::feed::snapshot::SnapshotPage;
use regard_database::feed::{ChangeRow, Cursor, FeedBatch};
use regard_proto::common::v1 as common;
use regard_proto::customer::v1 as pb;
use regard_proto::customer::v1::change_service_server::ChangeService;
use regard_server::{Answers, answers, status};
use regard_types::{Caller, Fault, Kind, TenantId, Uuid};
use tonic::{Request, Response, Status};

use super::snapshot::sources;
use crate::core::{Core, caller_of};

/// `ChangeService`.
#[derive(Debug, Clone)]
pub struct ChangeApi(pub Arc<Core>);

/// Changes of one message: below the message limit even where every customer has all its attributes.
const BATCH: usize = 500;

/// Whose changes a caller sees: its tenant's, or, for a service of the suite, all.
fn seen(caller: &Caller) -> Option<TenantId> {
    (!caller.all_tenants).then_some(caller.tenant)
}

fn cursor(index: usize, cursor: &common::FeedCursor) -> Result<Cursor, Fault> {
    let lane = u16::try_from(cursor.lane);
    Ok(Cursor {
        lane: lane.map_err(|_| {
            Fault::invalid(format!("cursors[{index}].lane"), "must be at most 65535")
        })?,
        position: cursor.position,
        nonce: cursor.nonce,
    })
}

fn to_cursor(cursor: &Cursor) -> common::FeedCursor {
    common::FeedCursor {
        lane: u32::from(cursor.lane),
        position: cursor.position,
        nonce: cursor.nonce,
    }
}

fn to_change(row: ChangeRow) -> Result<pb::Change, Fault> {
    let measures = pb::Measures::decode(row.measures.as_slice()).map_err(Fault::bug)?;
    Ok(pb::Change {
        header: Some(common::ChangeHeader {
            lane: u32::from(row.lane),
            position: row.position,
            tenant_id: row.tenant.to_string(),
            record_id: row.record.to_string(),
            version: row.version,
            customer_id: row.customer.map(|id| id.to_string()).unwrap_or_default(),
            occurred_micros: row.occurred_at.0,
            recorded_micros: row.recorded_at.0,
        }),
        measures: Some(measures),
    })
}

fn to_batch(batch: FeedBatch) -> Result<pb::WatchChangesResponse, Fault> {
    let changes: Result<Vec<_>, Fault> = batch.changes.into_iter().map(to_change).collect();
    Ok(pb::WatchChangesResponse {
        epoch: batch.epoch.to_string(),
        lane: u32::from(batch.lane),
        from_position: batch.from,
        to_position: batch.to,
        to_nonce: batch.to_nonce,
        changes: changes?,
    })
}

fn to_page(page: SnapshotPage, first: bool) -> Result<pb::SnapshotChangesResponse, Fault> {
    let changes: Result<Vec<_>, Fault> = page.changes.into_iter().map(to_change).collect();
    Ok(pb::SnapshotChangesResponse {
        epoch: page.epoch.to_string(),
        heads: if first {
            page.cursors.iter().map(to_cursor).collect()
        } else {
            Vec::new()
        },
        changes: changes?,
        resume_token: URL_SAFE_NO_PAD.encode(page.resume),
        done: page.last,
    })
}

fn bad_token() -> Fault {
    let message =
        "the resume token is not one of this suite; pass it on as it came, or none to begin";
    Fault::new(Kind::Invalid, "TOKEN_INVALID", message)
        .meta("field", "resume_token")
        .and_invalid(
            "resume_token",
            "must be a token exactly as a response gave it",
        )
}

impl ChangeApi {
    async fn watch(
        &self,
        request: Request<pb::WatchChangesRequest>,
    ) -> Result<Answers<pb::WatchChangesResponse>, Fault> {
        let caller = caller_of(&request)?;
        let request = request.into_inner();
        let epoch = match request.epoch.as_str() {
            "" => None,
            text => {
                Some(Uuid::try_parse(text).map_err(|_| Fault::invalid("epoch", "must be a UUID"))?)
            }
        };
        let cursors: Result<Vec<_>, Fault> = request
            .cursors
            .iter()
            .enumerate()
            .map(|(i, c)| cursor(i, c))
            .collect();
        let batches = self
            .0
            .db
            .feed()
            .watch(epoch, cursors?, seen(&caller), BATCH)
            .await?;
        Ok(answers(batches.map(|batch| batch.and_then(to_batch))))
    }

    async fn snapshot(
        &self,
        request: Request<pb::SnapshotChangesRequest>,
    ) -> Result<Answers<pb::SnapshotChangesResponse>, Fault> {
        let caller = caller_of(&request)?;
        let token = &request.get_ref().resume_token;
        let resume = match token.as_str() {
            "" => None,
            text => Some(URL_SAFE_NO_PAD.decode(text).map_err(|_| bad_token())?),
        };
        let feed = self.0.db.feed();
        let pages = feed
            .snapshot(sources(), seen(&caller), resume.as_deref(), BATCH)
            .await?;
        let pages = pages
            .enumerate()
            .map(|(index, page)| page.and_then(|page| to_page(page, index == 0)));
        Ok(answers(pages))
    }
}

#[tonic::async_trait]
impl ChangeService for ChangeApi {
    type WatchChangesStream = Answers<pb::WatchChangesResponse>;

    async fn watch_changes(
        &self,
        request: Request<pb::WatchChangesRequest>,
    ) -> Result<Response<Self::WatchChangesStream>, Status> {
        self.watch(request).await.map(Response::new).map_err(status)
    }

    type SnapshotChangesStream = Answers<pb::SnapshotChangesResponse>;

    async fn snapshot_changes(
        &self,
        request: Request<pb::SnapshotChangesRequest>,
    ) -> Result<Response<Self::SnapshotChangesStream>, Status> {
        self.snapshot(request)
            .await
            .map(Response::new)
            .map_err(status)
    }
}
