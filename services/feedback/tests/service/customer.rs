//! The feed of a customer service, as far as it tells of tenants.

use std::sync::Arc;

use regard_proto::common::v1::{ChangeHeader, FeedCursor};
use regard_proto::customer::v1 as pb;
use regard_proto::customer::v1::change_service_server::{ChangeService, ChangeServiceServer};
use regard_server::{Grpc, Service, limited, status};
use regard_types::{Fault, TenantId, Uuid};
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

#[derive(Clone)]
struct Feed {
    epoch: Uuid,
    changes: Vec<pb::Change>,
}

impl Feed {
    fn new() -> Self {
        Self {
            epoch: Uuid::new_v4(),
            changes: Vec::new(),
        }
    }

    fn tell(&mut self, tenant: TenantId, version: i64, days: i32) {
        let measures = pb::TenantMeasures {
            retention_days: days,
            ..Default::default()
        };
        self.changes.push(pb::Change {
            header: Some(ChangeHeader {
                position: self.changes.len() as u64 + 1,
                tenant_id: tenant.to_string(),
                record_id: tenant.to_string(),
                version,
                ..Default::default()
            }),
            measures: Some(pb::Measures {
                record: Some(pb::measures::Record::Tenant(measures)),
            }),
        });
    }

    fn head(&self) -> u64 {
        self.changes.len() as u64
    }
}

/// One lane, and one message for all that is new.
#[derive(Clone)]
pub struct Customer(Arc<watch::Sender<Feed>>);

impl Customer {
    pub fn new() -> Self {
        Self(Arc::new(watch::Sender::new(Feed::new())))
    }

    pub fn service(&self) -> Service {
        let server = ChangeServiceServer::new(self.clone());
        Service::new("customer", Grpc::new().with(limited!(server)))
    }

    /// A tenant wants texts to be kept for so many days.
    pub fn tell(&self, tenant: TenantId, version: i64, days: i32) {
        self.0.send_modify(|feed| feed.tell(tenant, version, days));
    }

    /// The store was restored, and holds this.
    pub fn restored(&self, tenants: &[(TenantId, i64, i32)]) {
        let mut feed = Feed::new();
        for (tenant, version, days) in tenants {
            feed.tell(*tenant, *version, *days);
        }
        self.0.send_replace(feed);
    }
}

#[tonic::async_trait]
impl ChangeService for Customer {
    type WatchChangesStream = ReceiverStream<Result<pb::WatchChangesResponse, Status>>;

    async fn watch_changes(
        &self,
        request: Request<pb::WatchChangesRequest>,
    ) -> Result<Response<Self::WatchChangesStream>, Status> {
        let request = request.into_inner();
        assert_eq!(request.kinds, ["erasure", "tenant"]);
        let mut feed = self.0.subscribe();
        let epoch = feed.borrow().epoch;
        if !request.epoch.is_empty() && request.epoch != epoch.to_string() {
            return Err(status(Fault::refused("FEED_EPOCH_GONE", "restored")));
        }
        let mut from = request.cursors.first().map_or(0, |cursor| cursor.position);
        let (to, answers) = mpsc::channel(1);
        tokio::spawn(async move {
            loop {
                let now = feed.borrow_and_update().clone();
                if now.epoch != epoch {
                    return;
                }
                let batch = pb::WatchChangesResponse {
                    epoch: epoch.to_string(),
                    from_position: from,
                    to_position: now.head(),
                    head_position: now.head(),
                    changes: now.changes.iter().skip(from as usize).cloned().collect(),
                    ..Default::default()
                };
                from = now.head();
                if to.send(Ok(batch)).await.is_err() || feed.changed().await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(answers)))
    }

    type SnapshotChangesStream = ReceiverStream<Result<pb::SnapshotChangesResponse, Status>>;

    async fn snapshot_changes(
        &self,
        _: Request<pb::SnapshotChangesRequest>,
    ) -> Result<Response<Self::SnapshotChangesStream>, Status> {
        let feed = self.0.borrow().clone();
        let head = FeedCursor {
            position: feed.head(),
            ..Default::default()
        };
        let pages = [
            pb::SnapshotChangesResponse {
                epoch: feed.epoch.to_string(),
                heads: vec![head],
                changes: feed.changes,
                ..Default::default()
            },
            pb::SnapshotChangesResponse {
                epoch: feed.epoch.to_string(),
                done: true,
                ..Default::default()
            },
        ];
        let (to, answers) = mpsc::channel(pages.len());
        for page in pages {
            to.send(Ok(page)).await.unwrap();
        }
        Ok(Response::new(ReceiverStream::new(answers)))
    }
}
