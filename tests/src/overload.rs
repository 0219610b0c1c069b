//! A server that can do so much and no more, and a caller that asks for ten times that.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use regard_proto::customer::v1::tenant_service_client::TenantServiceClient;
use regard_proto::customer::v1::tenant_service_server::{TenantService, TenantServiceServer};
use regard_proto::customer::v1::{
    CreateTenantRequest, CreateTenantResponse, GetTenantRequest, GetTenantResponse,
    UpdateTenantRequest, UpdateTenantResponse,
};
use regard_server::{
    Grpc, Identity, LimitSettings, Pipe, Running, ServerSettings, Service, limited,
};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Response, Status};
use tonic_types::StatusExt as _;

use crate::plan::ids;

/// How long the store works on a call.
const STORE: Duration = Duration::from_millis(10);
/// Calls a second that one permit sustains.
const PER_PERMIT: u64 = 100;
/// Connections of the caller.
const CONNECTIONS: usize = 4;

/// The RPC behind which the store is.
struct Stall(Arc<Semaphore>);

#[tonic::async_trait]
impl TenantService for Stall {
    async fn create_tenant(
        &self,
        _: Request<CreateTenantRequest>,
    ) -> Result<Response<CreateTenantResponse>, Status> {
        Err(Status::unimplemented("not part of the test"))
    }

    async fn get_tenant(
        &self,
        _: Request<GetTenantRequest>,
    ) -> Result<Response<GetTenantResponse>, Status> {
        let permit = self.0.acquire().await;
        tokio::time::sleep(STORE).await;
        drop(permit);
        Ok(Response::new(GetTenantResponse::default()))
    }

    async fn update_tenant(
        &self,
        _: Request<UpdateTenantRequest>,
    ) -> Result<Response<UpdateTenantResponse>, Status> {
        Err(Status::unimplemented("not part of the test"))
    }
}

/// Serves with the platform's own limits; only the least concurrency is as small as the store.
///
/// # Panics
/// When it cannot be started.
pub async fn serve(permits: usize) -> Running {
    let stall = Stall(Arc::new(Semaphore::new(permits)));
    let grpc = Grpc::new().with(limited!(TenantServiceServer::new(stall)));
    let settings = ServerSettings {
        listen: "127.0.0.1:0".to_owned(),
        limits: LimitSettings {
            concurrency_min: permits,
            ..LimitSettings::default()
        },
        ..ServerSettings::default()
    };
    let services = vec![Service::new("customer", grpc)];
    Running::start(
        services,
        &settings,
        Identity::embedded(&ids()),
        &Pipe::new(),
    )
    .await
    .unwrap()
}

/// What a phase looked like to the caller.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Phase {
    /// Calls made, and how many a second were to be.
    pub offered: usize,
    pub accepted: usize,
    /// RESOURCE_EXHAUSTED with a RetryInfo.
    pub refused: usize,
    /// Any other answer, by code.
    pub wrong: Vec<String>,
    /// Of the accepted, milliseconds.
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub seconds: f64,
}

/// What the caller saw.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Seen {
    pub calm: Phase,
    pub busy: Phase,
    /// From the end of the overload until all calls are accepted, as quickly as before, seconds; none within 5 s.
    pub recovered_s: Option<f64>,
}

#[derive(Default)]
struct Told {
    offered: usize,
    took: Vec<Duration>,
    refused: usize,
    wrong: Vec<String>,
}

/// Calls the server as [`Seen`] tells.
///
/// # Panics
/// When it cannot be reached.
pub async fn drive(address: &str, permits: u64, calm_ms: u64, busy_ms: u64) -> Seen {
    let mut channels = Vec::new();
    for _ in 0..CONNECTIONS {
        let endpoint = Endpoint::from_shared(address.to_owned()).unwrap();
        channels.push(endpoint.connect().await.unwrap());
    }
    let sustained = permits * PER_PERMIT;
    // To warm up: the first calls of a connection, of an allocator, of a branch predictor.
    phase(&channels, sustained / 2, Duration::from_millis(300)).await;
    let calm = phase(&channels, sustained / 2, Duration::from_millis(calm_ms)).await;
    let busy = phase(&channels, sustained * 10, Duration::from_millis(busy_ms)).await;
    let ended = Instant::now();
    let mut recovered_s = None;
    while ended.elapsed() < Duration::from_secs(5) {
        let began = ended.elapsed();
        let after = phase(&channels, sustained / 2, Duration::from_millis(500)).await;
        if after.refused == 0 && after.wrong.is_empty() && after.p50_ms < 1.5 * calm.p50_ms {
            recovered_s = Some(began.as_secs_f64());
            break;
        }
    }
    Seen {
        calm,
        busy,
        recovered_s,
    }
}

/// Calls at an even rate, whatever the answers are, and waits for the last of them.
async fn phase(channels: &[Channel], per_second: u64, time: Duration) -> Phase {
    let told = Arc::new(Mutex::new(Told::default()));
    let began = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    let mut tick = tokio::time::interval(Duration::from_millis(1));
    let mut made = 0_u64;
    while began.elapsed() < time {
        tick.tick().await;
        let due = u64::try_from(began.elapsed().as_micros()).unwrap() * per_second / 1_000_000;
        while made < due {
            let channel = channels[usize::try_from(made).unwrap() % channels.len()].clone();
            tasks.spawn(call(channel, Arc::clone(&told)));
            made += 1;
        }
        while tasks.try_join_next().is_some() {}
    }
    let seconds = began.elapsed().as_secs_f64();
    while tasks.join_next().await.is_some() {}
    let mut told = std::mem::take(&mut *told.lock().unwrap());
    told.took.sort_unstable();
    let at = |share: f64| {
        let place = (told.took.len() as f64 * share) as usize;
        let took = told.took.get(place.min(told.took.len().saturating_sub(1)));
        took.map_or(f64::INFINITY, |took| took.as_secs_f64() * 1e3)
    };
    Phase {
        p50_ms: at(0.5),
        p99_ms: at(0.99),
        offered: told.offered,
        accepted: told.took.len(),
        refused: told.refused,
        wrong: told.wrong,
        seconds,
    }
}

async fn call(channel: Channel, told: Arc<Mutex<Told>>) {
    let request = GetTenantRequest {
        name: "default".to_owned(),
    };
    let began = Instant::now();
    let answer = TenantServiceClient::new(channel).get_tenant(request).await;
    let took = began.elapsed();
    let mut told = told.lock().unwrap();
    told.offered += 1;
    match answer {
        Ok(_) => told.took.push(took),
        Err(status) => {
            let waits = status
                .get_details_retry_info()
                .and_then(|retry| retry.retry_delay)
                .is_some_and(|wait| !wait.is_zero());
            if status.code() == Code::ResourceExhausted && waits {
                told.refused += 1;
            } else if told.wrong.len() < 20 {
                told.wrong.push(format!("{status:?}"));
            }
        }
    }
}
