//! A feed whose lanes arrive in any relative order: stands between a follower and the customer service, and holds messages
//! back at random, each lane's in order.

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::time::Duration;

use futures::Stream;
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use regard_client::{Client, Options};
use regard_proto::customer::v1::change_service_server::{ChangeService, ChangeServiceServer};
use regard_proto::customer::v1::{
    SnapshotChangesRequest, SnapshotChangesResponse, WatchChangesRequest, WatchChangesResponse,
};
use tokio::net::TcpListener;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status};

use crate::plan::SERVICE_KEY;

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

/// The feed of the customer service at an address, shuffled.
struct Shuffled {
    upstream: Client,
    seed: u64,
}

/// Serves a shuffled feed; its address.
///
/// # Panics
/// When no port can be had.
pub async fn shuffled(customer_at: &str, seed: u64) -> String {
    let options = Options {
        api_key: Some(SERVICE_KEY.to_owned()),
        attempts: 1,
        ..Options::default()
    };
    let service = ChangeServiceServer::new(Shuffled {
        upstream: Client::lazy(customer_at, &options).unwrap(),
        seed,
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let _ = tonic::transport::Server::builder()
            .add_service(service)
            .serve_with_incoming(TcpListenerStream::new(listener))
            .await;
    });
    address
}

#[tonic::async_trait]
impl ChangeService for Shuffled {
    type WatchChangesStream = Answers<WatchChangesResponse>;
    type SnapshotChangesStream = Answers<SnapshotChangesResponse>;

    async fn watch_changes(
        &self,
        request: Request<WatchChangesRequest>,
    ) -> Result<Response<Self::WatchChangesStream>, Status> {
        let mut upstream = self
            .upstream
            .customer_changes()
            .watch_changes(request.into_inner())
            .await?
            .into_inner();
        let (send, answers) = tokio::sync::mpsc::channel(1);
        let mut random = ChaCha8Rng::seed_from_u64(self.seed);
        tokio::spawn(async move {
            let mut held: BTreeMap<u32, VecDeque<WatchChangesResponse>> = BTreeMap::new();
            loop {
                let pause = Duration::from_millis(random.random_range(0..12));
                match tokio::time::timeout(pause, upstream.message()).await {
                    Ok(Ok(Some(message))) => {
                        held.entry(message.lane).or_default().push_back(message);
                        if random.random_bool(0.6) {
                            continue;
                        }
                    }
                    Ok(Ok(None)) => return,
                    Ok(Err(status)) => {
                        let _ = send.send(Err(status)).await;
                        return;
                    }
                    Err(_) => {}
                }
                let waiting: Vec<u32> = held
                    .iter()
                    .filter(|(_, lane)| !lane.is_empty())
                    .map(|(lane, _)| *lane)
                    .collect();
                if waiting.is_empty() {
                    continue;
                }
                let lane = waiting[random.random_range(0..waiting.len())];
                let Some(message) = held.get_mut(&lane).and_then(VecDeque::pop_front) else {
                    continue;
                };
                if send.send(Ok(message)).await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(answers))))
    }

    async fn snapshot_changes(
        &self,
        request: Request<SnapshotChangesRequest>,
    ) -> Result<Response<Self::SnapshotChangesStream>, Status> {
        let upstream = self
            .upstream
            .customer_changes()
            .snapshot_changes(request.into_inner())
            .await?
            .into_inner();
        Ok(Response::new(Box::pin(upstream)))
    }
}
