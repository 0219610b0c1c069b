//! The page of figures, for Prometheus, and the level of the logs: plain HTTP on a listener of its own.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::{UPKEEP, logs, table};

/// Upper ends of the histograms of durations, seconds.
const BUCKETS: [f64; 15] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    10.0,
];
/// Longest text of a level, bytes.
const LEVEL: usize = 1_024;

static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();

/// Starts to collect figures in this process; call it before services are opened. A second call changes nothing.
/// Without it, all figures go nowhere and cost nothing.
pub fn collect_figures() {
    let _ = handle();
}

fn handle() -> &'static PrometheusHandle {
    RECORDER.get_or_init(|| {
        let builder = PrometheusBuilder::new();
        // Fails for an empty list alone.
        let builder = builder
            .set_buckets(&BUCKETS)
            .unwrap_or_else(|_| PrometheusBuilder::new());
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        if metrics::set_global_recorder(recorder).is_err() {
            tracing::warn!("another recorder of figures is set: the page stays empty");
        }
        table::describe();
        handle
    })
}

/// Folds recorded values into the histograms.
pub(super) fn upkeep() {
    handle().run_upkeep();
}

/// The page as it stands.
pub(super) fn page() -> String {
    handle().render()
}

/// Readers of the page at once, and how long one may take: whoever asks and does not read keeps no descriptors.
const READERS: usize = 32;
const LONGEST: Duration = Duration::from_secs(10);

/// Serves the page until it is dropped.
pub(crate) async fn serve(listener: TcpListener) {
    let upkeep = async {
        loop {
            tokio::time::sleep(UPKEEP).await;
            upkeep();
        }
    };
    futures::future::join(upkeep, accept(listener, READERS, LONGEST)).await;
}

/// Answers so many at once; the others wait to be accepted.
async fn accept(listener: TcpListener, readers: usize, longest: Duration) {
    let room = Arc::new(Semaphore::new(readers));
    while let Ok(place) = Arc::clone(&room).acquire_owned().await {
        match listener.accept().await {
            Ok((stream, peer)) => {
                tokio::spawn(async move {
                    let answer = hyper::service::service_fn(move |request| async move {
                        Ok::<_, Infallible>(answer(request, peer).await)
                    });
                    let served = hyper::server::conn::http1::Builder::new()
                        .timer(TokioTimer::new())
                        .header_read_timeout(Duration::from_secs(5))
                        .keep_alive(false)
                        .serve_connection(TokioIo::new(stream), answer);
                    let _ = tokio::time::timeout(longest, served).await;
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection for the page of figures");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn answer(request: Request<Incoming>, peer: SocketAddr) -> Response<Full<Bytes>> {
    let (status, text) = match (request.uri().path(), request.method()) {
        ("/metrics", &Method::GET) => (StatusCode::OK, page()),
        ("/log-level", &Method::PUT) => set_level(request, peer).await,
        ("/metrics" | "/log-level", _) => (StatusCode::METHOD_NOT_ALLOWED, String::new()),
        _ => (StatusCode::NOT_FOUND, String::new()),
    };
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let kind = header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// Whoever may run programs on this machine may change the level; a page in a browser on it may not.
async fn set_level(request: Request<Incoming>, peer: SocketAddr) -> (StatusCode, String) {
    if !peer.ip().to_canonical().is_loopback() || request.headers().contains_key(header::ORIGIN) {
        return (
            StatusCode::FORBIDDEN,
            "the level is changed from this machine alone\n".to_owned(),
        );
    }
    let body = Limited::new(request.into_body(), LEVEL).collect();
    let Ok(Ok(body)) = tokio::time::timeout(Duration::from_secs(5), body).await else {
        return (StatusCode::BAD_REQUEST, "no level came\n".to_owned());
    };
    let body = body.to_bytes();
    let level = std::str::from_utf8(&body).unwrap_or_default().trim();
    match logs::set_log_level(level) {
        Ok(true) => {
            tracing::info!(filter = level, "the level of the logs was changed");
            (StatusCode::OK, String::new())
        }
        Ok(false) => (
            StatusCode::CONFLICT,
            "this process set no logs up\n".to_owned(),
        ),
        Err(expected) => (StatusCode::BAD_REQUEST, format!("expected {expected}\n")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Instant;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;

    use super::*;

    #[tokio::test]
    async fn readers_are_few_and_who_takes_long_is_cut() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(accept(listener, 2, Duration::from_millis(500)));
        let began = Instant::now();
        let mut silent = Vec::new();
        for _ in 0..2 {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        let mut reader = TcpStream::connect(address).await.unwrap();
        let request = b"GET /nothing HTTP/1.1\r\nhost: x\r\n\r\n";
        reader.write_all(request).await.unwrap();
        let mut text = Vec::new();
        reader.read_to_end(&mut text).await.unwrap();
        assert!(text.starts_with(b"HTTP/1.1 404"));
        assert!(
            began.elapsed() >= Duration::from_millis(400),
            "it waited for room"
        );
        for stream in &mut silent {
            assert!(matches!(stream.read(&mut [0]).await, Ok(0) | Err(_)));
        }
        assert!(
            began.elapsed() < Duration::from_secs(5),
            "before the head's own limit"
        );
    }
}
