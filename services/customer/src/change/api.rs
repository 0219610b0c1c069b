//! The feed on the wire.

use std::sync::Arc;

use futures::StreamExt as _;
use prost::Message as _;
use regard_database::feed::snapshot::SnapshotPage;
use regard_database::feed::{ChangeRow, FeedBatch};
use regard_proto::customer::v1 as pb;
use regard_proto::customer::v1::change_service_server::ChangeService;
use regard_server::feed::{cursors, epoch, resume, seen, to_cursor, to_header, to_resume};
use regard_server::{Answers, answers, caller_of, status};
use regard_types::Fault;
use tonic::{Request, Response, Status};

use super::snapshot::sources;
use crate::core::Core;

/// `ChangeService`.
#[derive(Debug, Clone)]
pub struct ChangeApi(pub Arc<Core>);

/// Changes of one message: below the message limit even where every customer has all its attributes.
const BATCH: usize = 500;

fn to_change(row: &ChangeRow) -> Result<pb::Change, Fault> {
    let measures = pb::Measures::decode(row.measures.as_slice()).map_err(Fault::bug)?;
    Ok(pb::Change {
        header: Some(to_header(row)),
        measures: Some(measures),
    })
}

fn to_changes(rows: &[ChangeRow]) -> Result<Vec<pb::Change>, Fault> {
    rows.iter().map(to_change).collect()
}

fn to_batch(batch: &FeedBatch) -> Result<pb::WatchChangesResponse, Fault> {
    Ok(pb::WatchChangesResponse {
        epoch: batch.epoch.to_string(),
        lane: u32::from(batch.lane),
        from_position: batch.from,
        to_position: batch.to,
        to_nonce: batch.to_nonce,
        head_position: batch.head,
        changes: to_changes(&batch.changes)?,
    })
}

fn to_page(page: &SnapshotPage, first: bool) -> Result<pb::SnapshotChangesResponse, Fault> {
    let heads = page.cursors.iter().filter(|_| first);
    Ok(pb::SnapshotChangesResponse {
        epoch: page.epoch.to_string(),
        heads: heads.map(to_cursor).collect(),
        changes: to_changes(&page.changes)?,
        resume_token: to_resume(&page.resume),
        done: page.last,
    })
}

impl ChangeApi {
    async fn watch(
        &self,
        request: Request<pb::WatchChangesRequest>,
    ) -> Result<Answers<pb::WatchChangesResponse>, Fault> {
        let caller = caller_of(&request)?;
        let request = request.into_inner();
        let (epoch, cursors) = (epoch(&request.epoch)?, cursors(&request.cursors)?);
        let feed = self.0.db.feed();
        let wanted = (seen(&caller), request.kinds);
        let batches = feed.watch_kinds(epoch, cursors, wanted, BATCH).await?;
        Ok(answers(batches.map(|batch| to_batch(&batch?))))
    }

    async fn snapshot(
        &self,
        request: Request<pb::SnapshotChangesRequest>,
    ) -> Result<Answers<pb::SnapshotChangesResponse>, Fault> {
        let caller = caller_of(&request)?;
        let request = request.into_inner();
        let resume = resume(&request.resume_token)?;
        let feed = self.0.db.feed();
        let pages = feed
            .snapshot(
                sources(&request.kinds),
                seen(&caller),
                resume.as_deref(),
                BATCH,
            )
            .await?;
        Ok(answers(
            pages
                .enumerate()
                .map(|(index, page)| to_page(&page?, index == 0)),
        ))
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
