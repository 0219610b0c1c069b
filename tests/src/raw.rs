//! Calls as bytes: what a broken or hostile client sends.

use std::fmt::Debug;

use bytes::{BufMut as _, Bytes, BytesMut};
use http::uri::PathAndQuery;
use http_body_util::{BodyExt as _, Full};
use tonic::body::Body;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tower::{Service, ServiceExt as _};

/// What carries calls: a channel, or the transport of a client.
pub trait Way:
    Service<http::Request<Body>, Response = http::Response<Body>, Error: Debug> + Clone
{
}

impl<S> Way for S where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error: Debug> + Clone
{
}

/// A message in its frame.
///
/// # Panics
/// For messages of more than 4 GiB.
#[must_use]
pub fn frame(message: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(message.len() + 5);
    out.put_u8(0);
    out.put_u32(u32::try_from(message.len()).unwrap());
    out.put_slice(message);
    out.freeze()
}

/// Sends a body to an RPC: the first message of the answer, and how the call ended. A stream that goes on is left.
///
/// # Panics
/// When the connection cannot be used.
pub async fn call(channel: &Channel, path: &str, body: Bytes) -> (Option<Bytes>, Status) {
    call_with(channel, path, &[("grpc-timeout", "20S")], body).await
}

/// As [`call`], with headers of the test's choice.
///
/// # Panics
/// When the connection cannot be used.
pub async fn call_with(
    channel: &impl Way,
    path: &str,
    headers: &[(&str, &str)],
    body: Bytes,
) -> (Option<Bytes>, Status) {
    let mut channel = channel.clone();
    let uri = http::Uri::builder()
        .scheme("http")
        .authority("pipe")
        .path_and_query(path.parse::<PathAndQuery>().unwrap());
    let body = Full::new(body).map_err(|never: std::convert::Infallible| match never {});
    let request = http::Request::post(uri.build().unwrap())
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    let request = headers
        .iter()
        .fold(request, |request, (name, value)| {
            request.header(*name, *value)
        })
        .body(Body::new(body))
        .unwrap();
    let response = channel.ready().await.unwrap().call(request).await.unwrap();
    if let Some(status) = Status::from_header_map(response.headers()) {
        return (None, status);
    }
    let mut answer = BytesMut::new();
    let mut body = response.into_body();
    while let Some(part) = body.frame().await {
        let Ok(part) = part else {
            return (None, Status::unknown("the stream broke"));
        };
        match part.into_data() {
            Ok(data) => answer.extend_from_slice(&data),
            Err(part) => {
                let trailers = part.into_trailers().unwrap_or_default();
                let status = Status::from_header_map(&trailers)
                    .unwrap_or_else(|| Status::unknown("no status"));
                return (message(answer), status);
            }
        }
    }
    (message(answer), Status::new(Code::Unknown, "no trailers"))
}

fn message(answer: BytesMut) -> Option<Bytes> {
    (answer.len() >= 5).then(|| answer.freeze().slice(5..))
}

/// The page of figures.
///
/// # Panics
/// When nobody answers.
pub async fn figures(address: std::net::SocketAddr) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .await
        .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    text
}

/// The sum of a figure's series whose labels hold `part`.
#[must_use]
pub fn figure(page: &str, name: &str, part: &str) -> f64 {
    let of_it =
        |line: &&str| line.starts_with(name) && !line.starts_with('#') && line.contains(part);
    page.lines()
        .filter(of_it)
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum()
}
