//! The RPCs with nothing around them: what the platform costs is measured against it. No setting leads here.

use std::convert::Infallible;

use http::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use regard_types::Caller;
use tokio::net::TcpListener;
use tonic::body::Body;

use super::{CONNECTION_WINDOW, STREAM_WINDOW};
use crate::service::Grpc;

/// Serves RPCs to whoever comes, each call as `caller`'s, until it is dropped: no identity, permission, limit, deadline,
/// figure, log or trace.
#[doc(hidden)]
pub async fn serve_bare(grpc: Grpc, listener: TcpListener, caller: Caller) {
    let mut http = auto::Builder::new(TokioExecutor::new());
    http.http2()
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let _ = stream.set_nodelay(true);
        let (http, grpc, caller) = (http.clone(), grpc.clone(), caller.clone());
        tokio::spawn(async move {
            let service = hyper::service::service_fn(move |request: Request<Incoming>| {
                let mut request = request.map(Body::new);
                let service = request.uri().path().split('/').nth(1).unwrap_or_default();
                let route = grpc.routes.get(service).cloned();
                request.extensions_mut().insert(caller.clone());
                async move {
                    match route {
                        Some(route) => route.call(request).await,
                        None => Ok::<_, Infallible>(
                            tonic::Status::unimplemented("not served").into_http(),
                        ),
                    }
                }
            });
            let _ = http.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}
