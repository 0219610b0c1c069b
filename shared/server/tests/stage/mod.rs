//! A small suite that misbehaves on request, on the real stack.
#![allow(clippy::unwrap_used, clippy::panic, dead_code)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use http_body_util::{BodyExt as _, Full};
use regard_client::{Client, Options};
use regard_proto::common::v1::{BatchResult, FeedCursor};
use regard_proto::customer::v1::change_service_server::{ChangeService, ChangeServiceServer};
use regard_proto::customer::v1::tenant_service_server::{TenantService, TenantServiceServer};
use regard_proto::customer::v1::*;
use regard_proto::feedback::v1::response_service_server::{ResponseService, ResponseServiceServer};
use regard_proto::feedback::v1::{
    GetResponseRequest, GetResponseResponse, IngestResponsesRequest, IngestResponsesResponse,
    RecordResponseRequest, RecordResponseResponse,
};
use regard_server::{
    Answers, Grpc, Identity, IdentitySettings, Pipe, Running, ServerSettings, Service, answers,
    caller, ingest, limited, status,
};
use regard_types::{Fault, IdSecret, Kind};
use tonic::body::Body;
use tonic::{Request, Response, Status, Streaming};
use tower::ServiceExt as _;

pub const SECRET: IdSecret = IdSecret([7; 32]);

#[derive(Clone, Default)]
pub struct Stage {
    /// Work that was dropped before it was done.
    pub dropped: Arc<AtomicUsize>,
    pub calls: Arc<AtomicUsize>,
    /// Calls of `get_tenant`.
    pub reads: Arc<AtomicUsize>,
}

struct Dropped(Arc<AtomicUsize>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// The largest fault that the house can make: long texts, many violations, many facts, nothing of it ASCII.
pub fn largest() -> Fault {
    let mut fault = Fault::new(Kind::Invalid, "FIELD_INVALID", "ü".repeat(5_000));
    for index in 0..50 {
        fault = fault.and_invalid(
            format!("rows[{index}].{}", "ä".repeat(500)),
            "ö".repeat(1_000),
        );
    }
    for index in 0..50 {
        fault = fault.meta(&format!("fact{index}"), "ß".repeat(1_000));
    }
    fault
}

#[tonic::async_trait]
impl TenantService for Stage {
    async fn create_tenant(
        &self,
        _: Request<CreateTenantRequest>,
    ) -> Result<Response<CreateTenantResponse>, Status> {
        if self.calls.fetch_add(1, Ordering::SeqCst) < 2 {
            return Err(status(Fault::down("the database")));
        }
        Ok(Response::new(CreateTenantResponse::default()))
    }

    async fn get_tenant(
        &self,
        request: Request<GetTenantRequest>,
    ) -> Result<Response<GetTenantResponse>, Status> {
        let who = caller(&request)?;
        self.reads.fetch_add(1, Ordering::SeqCst);
        let mut tenant = Tenant {
            name: request.get_ref().name.clone(),
            ..Tenant::default()
        };
        match request.get_ref().name.as_str() {
            "panic" => panic!("a bug with a secret in it"),
            "slow" => {
                let _dropped = Dropped(Arc::clone(&self.dropped));
                tokio::time::sleep(Duration::from_secs(60)).await;
            }
            "bug" => return Err(status(Fault::bug("SELECT secret FROM customer"))),
            "unknown" => return Err(Status::unknown("a raw text")),
            "largest" => return Err(status(largest())),
            "large" => tenant.zone = "x".repeat(5 * 1024 * 1024),
            "who" => {
                tenant.zone = format!("{} {} {}", who.tenant_name, who.name, who.request_id);
                tenant.day_version = i64::from(who.deadline.is_some());
            }
            _ => {}
        }
        Ok(Response::new(GetTenantResponse {
            tenant: Some(tenant),
        }))
    }

    async fn update_tenant(
        &self,
        _: Request<UpdateTenantRequest>,
    ) -> Result<Response<UpdateTenantResponse>, Status> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        Err(status(Fault::down("the database")))
    }
}

#[tonic::async_trait]
impl ChangeService for Stage {
    type WatchChangesStream = Answers<WatchChangesResponse>;
    async fn watch_changes(
        &self,
        request: Request<WatchChangesRequest>,
    ) -> Result<Response<Self::WatchChangesStream>, Status> {
        let dropped = Dropped(Arc::clone(&self.dropped));
        let panics = !request.get_ref().cursors.is_empty();
        let stream = futures::stream::iter([Ok(WatchChangesResponse::default())]).chain(
            futures::stream::poll_fn(move |_| {
                let _ = &dropped;
                assert!(!panics, "a bug in a stream");
                std::task::Poll::Pending
            }),
        );
        Ok(Response::new(answers(stream)))
    }

    type SnapshotChangesStream = Answers<SnapshotChangesResponse>;
    async fn snapshot_changes(
        &self,
        _: Request<SnapshotChangesRequest>,
    ) -> Result<Response<Self::SnapshotChangesStream>, Status> {
        Ok(Response::new(answers(futures::stream::iter([Err(
            Fault::bug("half way"),
        )]))))
    }
}

#[tonic::async_trait]
impl ResponseService for Stage {
    async fn record_response(
        &self,
        _: Request<RecordResponseRequest>,
    ) -> Result<Response<RecordResponseResponse>, Status> {
        Err(status(Fault::not_found("survey", 1)))
    }

    async fn get_response(
        &self,
        _: Request<GetResponseRequest>,
    ) -> Result<Response<GetResponseResponse>, Status> {
        Err(status(Fault::not_found("response", 1)))
    }

    type IngestResponsesStream = Answers<IngestResponsesResponse>;
    async fn ingest_responses(
        &self,
        request: Request<Streaming<IngestResponsesRequest>>,
    ) -> Result<Response<Self::IngestResponsesStream>, Status> {
        Ok(Response::new(ingest(
            request.into_inner(),
            |batch, rows: IngestResponsesRequest| async move {
                if rows.validate_only {
                    return Err(Fault::busy());
                }
                let result = BatchResult {
                    batch,
                    accepted: u32::try_from(rows.rows.len()).unwrap(),
                    ..BatchResult::default()
                };
                Ok(IngestResponsesResponse {
                    result: Some(result),
                })
            },
        )))
    }
}

pub fn services(stage: &Stage) -> Vec<Service> {
    let customer = Grpc::new()
        .with(limited!(TenantServiceServer::new(stage.clone())))
        .with(limited!(ChangeServiceServer::new(stage.clone())));
    let feedback = Grpc::new().with(limited!(ResponseServiceServer::new(stage.clone())));
    vec![
        Service::new("customer", customer),
        Service::new("feedback", feedback),
    ]
}

pub fn settings() -> ServerSettings {
    ServerSettings {
        listen: "127.0.0.1:0".to_owned(),
        metrics_listen: "127.0.0.1:0".to_owned(),
        deadline_ms: 2_000,
        grace_ms: 500,
        ready_ms: 100,
        ..ServerSettings::default()
    }
}

pub fn identity(toml: &str) -> Identity {
    let settings: IdentitySettings = toml::from_str(toml).unwrap();
    Identity::new(&settings, &SECRET, "identity").unwrap()
}

pub struct Play {
    pub running: Running,
    pub pipe: Pipe,
    pub stage: Stage,
}

impl Play {
    pub async fn start() -> Self {
        Self::with(settings(), Identity::embedded(&SECRET)).await
    }

    pub async fn with(settings: ServerSettings, identity: Identity) -> Self {
        let (stage, pipe) = (Stage::default(), Pipe::new());
        let running = Running::start(services(&stage), &settings, identity, &pipe)
            .await
            .unwrap();
        Self {
            running,
            pipe,
            stage,
        }
    }

    pub fn address(&self) -> String {
        format!("http://{}", self.running.address().unwrap())
    }

    pub async fn tcp(&self, options: &Options) -> Client {
        Client::connect(&self.address(), options).await.unwrap()
    }

    /// One client over TCP and one through memory: nothing may differ.
    pub async fn both(&self) -> [Client; 2] {
        let options = Options::default();
        [
            self.tcp(&options).await,
            Client::over(self.pipe.channel(), &options).unwrap(),
        ]
    }
}

pub fn named(name: &str) -> GetTenantRequest {
    GetTenantRequest {
        name: name.to_owned(),
    }
}

pub fn cursors() -> WatchChangesRequest {
    WatchChangesRequest {
        cursors: vec![FeedCursor::default()],
        ..WatchChangesRequest::default()
    }
}

/// Sends raw bytes as a gRPC call and returns the answer with its status.
pub async fn raw(
    client: &Client,
    path: &str,
    frames: impl Into<Bytes>,
) -> (http::HeaderMap, Status) {
    let request = http::Request::post(format!("http://suite{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(Body::new(
            Full::new(frames.into()).map_err(|never| match never {}),
        ))
        .unwrap();
    let response = client.transport().oneshot(request).await.unwrap();
    let headers = response.headers().clone();
    if let Some(status) = Status::from_header_map(&headers) {
        return (headers, status);
    }
    let body = response.into_body().collect().await.unwrap();
    let status = Status::from_header_map(body.trailers().unwrap()).unwrap();
    (headers, status)
}

/// A message in its gRPC frame.
pub fn frame(message: &[u8]) -> Vec<u8> {
    let mut frame = vec![0];
    frame.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    frame.extend(message);
    frame
}
