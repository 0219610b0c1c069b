//! A replica that refuses at once must not attract the calls that another would answer.
#![allow(clippy::unwrap_used)]

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full};
use regard_client::{Client, Options};
use regard_proto::scoring::v1::GetScoresRequest;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::transport::server::{Server, TcpIncoming};

/// Answers each call with nothing after a while, or refuses it.
#[derive(Clone)]
struct Answers {
    refuses: bool,
    seen: Arc<AtomicUsize>,
}

impl NamedService for Answers {
    const NAME: &'static str = "regard.scoring.v1.ScoreService";
}

impl tower::Service<Request<Body>> for Answers {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        let refuses = self.refuses;
        self.seen.fetch_add(1, Ordering::Relaxed);
        Box::pin(async move {
            if refuses {
                return Ok(tonic::Status::unavailable("its store is away").into_http());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", HeaderValue::from_static("0"));
            let message = Full::new(Bytes::from_static(&[0; 5]))
                .map_err(|never: Infallible| match never {})
                .with_trailers(std::future::ready(Some(Ok::<_, tonic::Status>(trailers))));
            let mut answer = Response::new(Body::new(message));
            let kind = HeaderValue::from_static("application/grpc");
            answer.headers_mut().insert("content-type", kind);
            Ok(answer)
        })
    }
}

async fn serve(refuses: bool) -> (String, Arc<AtomicUsize>) {
    let seen = Arc::new(AtomicUsize::new(0));
    let incoming = TcpIncoming::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = incoming.local_addr().unwrap().to_string();
    let answers = Answers {
        refuses,
        seen: Arc::clone(&seen),
    };
    tokio::spawn(
        Server::builder()
            .add_service(answers)
            .serve_with_incoming(incoming),
    );
    (address, seen)
}

#[tokio::test]
async fn no_call_fails_while_another_replica_answers() {
    let (one, refused) = serve(true).await;
    let (other, answered) = serve(false).await;
    let address = format!("http://{one},{other}");
    let client = Client::connect(&address, &Options::default())
        .await
        .unwrap();
    let end = Instant::now() + Duration::from_secs(2);
    let callers = (0..16).map(|_| {
        let mut scores = client.scores();
        tokio::spawn(async move {
            while Instant::now() < end {
                scores
                    .get_scores(GetScoresRequest::default())
                    .await
                    .unwrap();
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.unwrap();
    }
    let (refused, answered) = (
        refused.load(Ordering::Relaxed),
        answered.load(Ordering::Relaxed),
    );
    assert!(refused > 0 && answered > 100, "{refused} {answered}");
    // A burst until the first word of it, and then now and then one that tries.
    assert!(refused <= 32, "{refused} refused, {answered} answered");
}
