//! The Prometheus page: plain HTTP on a listener of its own.

use std::convert::Infallible;
use std::sync::OnceLock;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;

/// Upper ends of the histograms of durations, seconds.
const BUCKETS: [f64; 15] = [
    0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    10.0,
];
/// Pause between two foldings of recorded values into the histograms: bounds the memory when nobody reads the page.
const UPKEEP: Duration = Duration::from_secs(5);

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
        handle
    })
}

/// Serves the page until it is dropped.
pub(crate) async fn serve(listener: TcpListener) {
    let handle = handle();
    let upkeep = async {
        loop {
            tokio::time::sleep(UPKEEP).await;
            handle.run_upkeep();
        }
    };
    let accept = async {
        loop {
            match listener.accept().await {
                Ok((stream, _)) => {
                    tokio::spawn(async move {
                        let page =
                            hyper::service::service_fn(|request| async move { page(&request) });
                        let _ = hyper::server::conn::http1::Builder::new()
                            .timer(TokioTimer::new())
                            .header_read_timeout(Duration::from_secs(5))
                            .keep_alive(false)
                            .serve_connection(TokioIo::new(stream), page)
                            .await;
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection for the page of figures");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    };
    futures::future::join(upkeep, accept).await;
}

// The signature is hyper's.
#[allow(clippy::unnecessary_wraps)]
fn page(request: &Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let known = request.uri().path() == "/metrics";
    let body = if known && request.method() == Method::GET {
        handle().render()
    } else {
        String::new()
    };
    let mut response = Response::new(Full::new(Bytes::from(body)));
    if !known {
        *response.status_mut() = StatusCode::NOT_FOUND;
    } else if request.method() != Method::GET {
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    }
    let kind = header::HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(response)
}
