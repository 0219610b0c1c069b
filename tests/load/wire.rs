//! Messages as bytes: the load generator pays for no decoding, and the bare echo that L1 is compared with.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::task::{Context, Poll};

use bytes::{Buf, BufMut, Bytes};
use prost::Message;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::{Request, Response, Status};

/// The echo's path.
pub const ECHO: &str = "/regard.load.Echo/Echo";

/// Leaves messages as they are.
#[derive(Debug, Clone, Copy, Default)]
pub struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;
    fn encoder(&mut self) -> Self {
        Self
    }
    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;
    fn encode(&mut self, item: Bytes, dst: &mut EncodeBuf<'_>) -> Result<(), Status> {
        dst.put(item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;
    fn decode(&mut self, src: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(src.copy_to_bytes(src.remaining())))
    }
}

/// A message of one field.
#[derive(Clone, PartialEq, Message)]
pub struct Blob {
    #[prost(bytes = "bytes", tag = "1")]
    pub bytes: Bytes,
}

/// A blob whose message has this many bytes, as near as a length prefix lets it.
pub fn blob(size: usize) -> Blob {
    let mut blob = Blob {
        bytes: Bytes::from(vec![b'x'; size.saturating_sub(2)]),
    };
    while blob.encoded_len() > size && !blob.bytes.is_empty() {
        blob.bytes.truncate(blob.bytes.len() - 1);
    }
    blob
}

#[derive(Clone)]
struct Echo {
    answer: Blob,
}

impl NamedService for Echo {
    const NAME: &'static str = "regard.load.Echo";
}

impl UnaryService<Blob> for Echo {
    type Response = Blob;
    type Future = std::future::Ready<Result<Response<Blob>, Status>>;
    fn call(&mut self, _: Request<Blob>) -> Self::Future {
        std::future::ready(Ok(Response::new(self.answer.clone())))
    }
}

impl<B> tower::Service<http::Request<B>> for Echo
where
    B: http_body::Body + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send,
{
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future =
        std::pin::Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let echo = self.clone();
        Box::pin(async move {
            let codec = tonic_prost::ProstCodec::<Blob, Blob>::default();
            Ok(Grpc::new(codec).unary(echo, request).await)
        })
    }
}

/// Serves the echo, with nothing around it, until the process is stopped. Answers have `answer` bytes.
///
/// # Errors
/// When the address is taken.
pub fn serve_echo(address: SocketAddr, answer: usize) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let echo = Echo {
            answer: blob(answer),
        };
        tonic::transport::Server::builder()
            .add_service(echo)
            .serve(address)
            .await
    })?;
    Ok(())
}
