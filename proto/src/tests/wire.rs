//! The codec under a real server and client.

use tonic::transport::{Channel, Server};
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_types::StatusExt as _;

use crate::common::v1::ErrorReason;
use crate::error::{self, ErrorDetail as _};
use crate::rules::regard::testing::v1::echo_service_client::EchoServiceClient;
use crate::rules::regard::testing::v1::echo_service_server::{EchoService, EchoServiceServer};
use crate::rules::regard::testing::v1::{EchoRequest, EchoResponse, Numbers};

struct Echo;

#[tonic::async_trait]
impl EchoService for Echo {
    async fn echo(&self, request: Request<EchoRequest>) -> Result<Response<EchoResponse>, Status> {
        let text = request.into_inner().text;
        if text.is_empty() {
            return Err(Status::internal("a handler saw an invalid message"));
        }
        Ok(Response::new(EchoResponse { text }))
    }

    async fn collect(
        &self,
        request: Request<Streaming<EchoRequest>>,
    ) -> Result<Response<EchoResponse>, Status> {
        let mut stream = request.into_inner();
        let mut text = String::new();
        while let Some(message) = stream.message().await.map_err(error::canonical)? {
            text.push_str(&message.text);
        }
        Ok(Response::new(EchoResponse { text }))
    }
}

async fn client() -> (EchoServiceClient<Channel>, Channel) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let incoming = tonic::transport::server::TcpIncoming::from(listener);
    tokio::spawn(
        Server::builder()
            .add_service(EchoServiceServer::new(Echo))
            .serve_with_incoming(incoming),
    );
    let channel = Channel::from_shared(format!("http://{address}"))
        .unwrap()
        .connect()
        .await
        .unwrap();
    (EchoServiceClient::new(channel.clone()), channel)
}

fn request(text: &str) -> EchoRequest {
    EchoRequest {
        text: text.into(),
        numbers: Vec::new(),
    }
}

/// Sends bytes as if they were a message.
async fn raw(channel: Channel, bytes: Vec<u8>) -> Result<EchoResponse, Status> {
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready().await.unwrap();
    let path = http::uri::PathAndQuery::from_static("/regard.testing.v1.EchoService/Echo");
    grpc.unary(Request::new(bytes), path, bytes_codec::BytesCodec)
        .await
        .map(Response::into_inner)
}

#[tokio::test]
async fn valid_messages_pass() {
    let (mut client, _) = client().await;
    assert_eq!(
        client
            .echo(request("hello"))
            .await
            .unwrap()
            .into_inner()
            .text,
        "hello"
    );
}

#[tokio::test]
async fn every_bad_field_is_named_and_no_handler_sees_it() {
    let (mut client, _) = client().await;
    let bad = EchoRequest {
        text: String::new(),
        numbers: vec![Numbers {
            required: 1,
            below: 9,
            ..Numbers::default()
        }],
    };
    let status = client.echo(bad).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(ErrorReason::of(&status), Some(ErrorReason::FieldInvalid));
    assert_eq!(status.bad_fields(), ["text", "numbers[0].below"]);
    let info = status.get_details_error_info().unwrap();
    assert_eq!(
        (info.domain.as_str(), info.metadata["violations"].as_str()),
        ("regard", "2")
    );
    assert_eq!(
        status.message(),
        "2 bad fields: text must not be empty; numbers[0].below must be less than 5"
    );
}

#[tokio::test]
async fn a_hundred_bad_fields_arrive() {
    let (mut client, _) = client().await;
    let bad = EchoRequest {
        text: String::new(),
        numbers: vec![Numbers::default(); 100],
    };
    let status = client.echo(bad).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(status.bad_fields().len(), 20);
    assert!(status.message().len() <= error::MAX_MESSAGE);
    assert_eq!(
        status.get_details_error_info().unwrap().metadata["violations"],
        "101"
    );
}

#[tokio::test]
async fn a_stream_ends_at_its_first_bad_message() {
    let (mut client, _) = client().await;
    let good = tokio_stream::iter([request("a"), request("b")]);
    assert_eq!(client.collect(good).await.unwrap().into_inner().text, "ab");
    let bad = tokio_stream::iter([request("a"), request("")]);
    let status = client.collect(bad).await.unwrap_err();
    assert_eq!(
        (status.code(), status.bad_fields()),
        (Code::InvalidArgument, vec!["text".to_owned()])
    );
}

#[tokio::test]
async fn garbage_is_the_callers_fault() {
    let (_, channel) = client().await;
    for bytes in [
        vec![0xff; 9],
        vec![0x0a, 0x05, b'a'],
        vec![0x0a, 0x01, 0xff],
        vec![0x0b],
    ] {
        let status = raw(channel.clone(), bytes).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        assert_eq!(
            ErrorReason::of(&status),
            Some(ErrorReason::MessageMalformed)
        );
    }
}

#[tokio::test]
async fn a_broken_answer_says_so() {
    let status = crate::codec::decode::<EchoResponse>(&[0x0a, 0x05][..]).unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    assert!(status.message().contains("answer"), "{status}");
}

#[tokio::test]
async fn an_oversized_message_has_a_reason() {
    let (client, _) = client().await;
    let mut client = client.max_encoding_message_size(64 << 20);
    // tonic by itself says OUT_OF_RANGE; the server's layer calls `canonical`, here the test does.
    let status = client
        .echo(request(&"x".repeat(10 << 20)))
        .await
        .unwrap_err();
    let status = error::canonical(status);
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    assert_eq!(ErrorReason::of(&status), Some(ErrorReason::MessageTooLarge));
    assert_eq!(
        status.get_details_error_info().unwrap().metadata["limit_bytes"],
        "4194304"
    );
}

#[test]
fn statuses_with_details_pass_unchanged() {
    let status = error::with_reason(
        Code::OutOfRange,
        ErrorReason::Busy,
        "x".into(),
        Default::default(),
    );
    assert_eq!(error::canonical(status).code(), Code::OutOfRange);
    assert_eq!(
        error::canonical(Status::internal("boom")).code(),
        Code::Internal
    );
    let eof = error::canonical(Status::internal("Unexpected EOF decoding stream."));
    assert_eq!(eof.code(), Code::InvalidArgument);
    let unknown = error::canonical(Status::unimplemented(""));
    assert_eq!(ErrorReason::of(&unknown), Some(ErrorReason::NotServed));
}

mod bytes_codec {
    use bytes::BufMut as _;
    use tonic::Status;
    use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};

    use crate::rules::regard::testing::v1::EchoResponse;

    /// Sends bytes as they are.
    #[derive(Debug, Default)]
    pub struct BytesCodec;

    impl Codec for BytesCodec {
        type Encode = Vec<u8>;
        type Decode = EchoResponse;
        type Encoder = Self;
        type Decoder = Self;

        fn encoder(&mut self) -> Self {
            Self
        }

        fn decoder(&mut self) -> Self {
            Self
        }
    }

    impl Encoder for BytesCodec {
        type Item = Vec<u8>;
        type Error = Status;

        fn encode(&mut self, item: Vec<u8>, buf: &mut EncodeBuf<'_>) -> Result<(), Status> {
            buf.put_slice(&item);
            Ok(())
        }
    }

    impl Decoder for BytesCodec {
        type Item = EchoResponse;
        type Error = Status;

        fn decode(&mut self, buf: &mut DecodeBuf<'_>) -> Result<Option<EchoResponse>, Status> {
            crate::codec::decode(buf).map(Some)
        }
    }
}
