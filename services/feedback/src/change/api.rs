//! The feed on the wire.

use futures::StreamExt as _;
use prost::Message as _;
use regard_database::feed::snapshot::SnapshotPage;
use regard_database::feed::{ChangeRow, FeedBatch};
use regard_proto::feedback::v1 as pb;
use regard_proto::feedback::v1::change_service_server::ChangeService;
use regard_server::{Answers, answers, caller, feed, status};
use regard_types::{Caller, Fault};
use tonic::{Request, Response, Status};

use super::{Changes, snapshot};

/// Changes of one message: a response has at most 100 answers of some 200 bytes, so that the largest batch stays below
/// the message limit.
const BATCH: usize = 150;

fn to_change(row: &ChangeRow) -> Result<pb::Change, Fault> {
    let measures = pb::Measures::decode(row.measures.as_slice()).map_err(Fault::bug)?;
    Ok(pb::Change {
        header: Some(feed::to_header(row)),
        measures: Some(measures),
    })
}

fn to_batch(batch: &FeedBatch) -> Result<pb::WatchChangesResponse, Fault> {
    Ok(pb::WatchChangesResponse {
        epoch: batch.epoch.to_string(),
        lane: u32::from(batch.lane),
        from_position: batch.from,
        to_position: batch.to,
        to_nonce: batch.to_nonce,
        head_position: batch.head,
        changes: batch
            .changes
            .iter()
            .map(to_change)
            .collect::<Result<_, Fault>>()?,
    })
}

fn to_page(page: &SnapshotPage, first: bool) -> Result<pb::SnapshotChangesResponse, Fault> {
    let heads = if first { page.cursors.as_slice() } else { &[] };
    Ok(pb::SnapshotChangesResponse {
        epoch: page.epoch.to_string(),
        heads: heads.iter().map(feed::to_cursor).collect(),
        changes: page
            .changes
            .iter()
            .map(to_change)
            .collect::<Result<_, Fault>>()?,
        resume_token: feed::to_resume(&page.resume),
        done: page.last,
    })
}

impl Changes {
    async fn watch(
        &self,
        caller: &Caller,
        body: &pb::WatchChangesRequest,
    ) -> Result<Answers<pb::WatchChangesResponse>, Fault> {
        let (epoch, cursors) = (feed::epoch(&body.epoch)?, feed::cursors(&body.cursors)?);
        let batches = self
            .db
            .feed()
            .watch(epoch, cursors, feed::seen(caller), BATCH)
            .await?;
        Ok(answers(batches.map(|batch| to_batch(&batch?))))
    }

    async fn snapshot(
        &self,
        caller: &Caller,
        token: &str,
    ) -> Result<Answers<pb::SnapshotChangesResponse>, Fault> {
        let resume = feed::resume(token)?;
        let sources = snapshot::sources(&self.surveys);
        let pages = self
            .db
            .feed()
            .snapshot(sources, feed::seen(caller), resume.as_deref(), BATCH)
            .await?;
        Ok(answers(
            pages
                .enumerate()
                .map(|(index, page)| to_page(&page?, index == 0)),
        ))
    }
}

#[tonic::async_trait]
impl ChangeService for Changes {
    type WatchChangesStream = Answers<pb::WatchChangesResponse>;

    async fn watch_changes(
        &self,
        request: Request<pb::WatchChangesRequest>,
    ) -> Result<Response<Self::WatchChangesStream>, Status> {
        let caller = caller(&request)?;
        self.watch(&caller, request.get_ref())
            .await
            .map(Response::new)
            .map_err(status)
    }

    type SnapshotChangesStream = Answers<pb::SnapshotChangesResponse>;

    async fn snapshot_changes(
        &self,
        request: Request<pb::SnapshotChangesRequest>,
    ) -> Result<Response<Self::SnapshotChangesStream>, Status> {
        let caller = caller(&request)?;
        let token = &request.get_ref().resume_token;
        self.snapshot(&caller, token)
            .await
            .map(Response::new)
            .map_err(status)
    }
}
