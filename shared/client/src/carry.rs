//! Change tokens carried along: what a response names is noted, and the next request that may name it does.

use bytes::{BufMut as _, Bytes, BytesMut};
use http::Response;
use http_body_util::{BodyExt as _, Full};
use prost::encoding::{
    DecodeContext, WireType, decode_key, decode_varint, encode_key, encode_varint, skip_field,
};
use tonic::body::Body;

use crate::Session;

/// Flag and length before a message.
const PREFIX: usize = 5;

/// The request's one frame with the session's token added to its field; as it was if there is nothing to add, or if it
/// cannot be read.
pub(crate) fn ask(frame: Bytes, field: u32, session: &Session) -> Bytes {
    let tokens = session.tokens();
    let Some(message) = frame.get(PREFIX..).filter(|_| frame.first() == Some(&0)) else {
        return frame;
    };
    if tokens.is_empty() || length(&frame) != Some(message.len()) {
        return frame;
    }
    let mut more = BytesMut::from(message);
    for token in tokens {
        // A repeated field may stand in several places.
        encode_key(field, WireType::LengthDelimited, &mut more);
        encode_varint(token.len() as u64, &mut more);
        more.put_slice(token.as_bytes());
    }
    let Ok(size) = u32::try_from(more.len()) else {
        return frame;
    };
    let mut framed = BytesMut::with_capacity(PREFIX + more.len());
    framed.put_u8(0);
    framed.put_u32(size);
    framed.put(more);
    framed.freeze()
}

/// Reads a unary answer to its end and notes the token of its field.
pub(crate) async fn note(
    response: Response<Body>,
    field: u32,
    session: &Session,
) -> Response<Body> {
    let (head, body) = response.into_parts();
    let collected = match body.collect().await {
        Ok(collected) => collected,
        Err(status) => return status.into_http(),
    };
    let trailers = collected.trailers().cloned();
    let frame = collected.to_bytes();
    let message = frame.get(PREFIX..).filter(|_| frame.first() == Some(&0));
    if let Some(token) = message.and_then(|message| text(message, field))
        && let Err(error) = session.note(token)
    {
        tracing::warn!(%error, "a change token that cannot be read is not carried along");
    }
    let body = Full::new(frame).map_err(|never: std::convert::Infallible| match never {});
    let body = body.with_trailers(std::future::ready(trailers.map(Ok)));
    Response::from_parts(head, Body::new(body))
}

fn length(frame: &[u8]) -> Option<usize> {
    let size = frame.get(1..PREFIX)?.try_into().ok()?;
    usize::try_from(u32::from_be_bytes(size)).ok()
}

/// The text of a field of an encoded message; the last one counts.
fn text(message: &[u8], field: u32) -> Option<&str> {
    let (mut rest, mut found) = (message, None);
    while let Ok((number, wire)) = decode_key(&mut rest) {
        if number == field && wire == WireType::LengthDelimited {
            let size = usize::try_from(decode_varint(&mut rest).ok()?).ok()?;
            let (value, after) = rest.split_at_checked(size)?;
            found = std::str::from_utf8(value).ok();
            rest = after;
        } else if skip_field(wire, number, &mut rest, DecodeContext::default()).is_err() {
            break;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use prost::Message as _;
    use regard_proto::customer::v1::RecordOrderResponse;
    use regard_proto::scoring::v1::GetScoresRequest;
    use regard_types::{ChangeToken, Service, TokenPart, Uuid};

    use super::*;

    fn frame(message: &[u8]) -> Bytes {
        let mut frame = vec![0];
        frame.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
        frame.extend(message);
        frame.into()
    }

    fn token() -> String {
        ChangeToken::one(TokenPart {
            service: Service::Customer,
            epoch: Uuid::from_u128(7),
            lane: 3,
            position: 9,
            nonce: 1,
        })
        .encode()
    }

    #[tokio::test]
    async fn what_was_written_is_asked_for() {
        let session = Session::new();
        let asked = GetScoresRequest {
            scores: vec!["recency".to_owned()],
            ..GetScoresRequest::default()
        };
        let method = regard_proto::method("/regard.scoring.v1.ScoreService/GetScores").unwrap();
        let field = method.change_tokens.unwrap();
        let plain = frame(&asked.encode_to_vec());
        assert_eq!(ask(plain.clone(), field, &session), plain);

        let method = regard_proto::method("/regard.customer.v1.OrderService/RecordOrder").unwrap();
        let written = RecordOrderResponse {
            change_token: token(),
            ..RecordOrderResponse::default()
        };
        let answer = frame(&written.encode_to_vec());
        let trailers = http::HeaderMap::from_iter([(
            http::HeaderName::from_static("grpc-status"),
            http::HeaderValue::from_static("0"),
        )]);
        let body = Full::new(answer.clone())
            .map_err(|never: std::convert::Infallible| match never {})
            .with_trailers(std::future::ready(Some(Ok(trailers.clone()))));
        let answered = note(
            Response::new(Body::new(body)),
            method.change_token.unwrap(),
            &session,
        )
        .await;
        let collected = answered.into_body().collect().await.unwrap();
        assert_eq!(collected.trailers(), Some(&trailers));
        assert_eq!(collected.to_bytes(), answer);

        let more = ask(plain, field, &session);
        assert_eq!(length(&more), Some(more.len() - PREFIX));
        let read = GetScoresRequest::decode(&more[PREFIX..]).unwrap();
        assert_eq!(read.scores, asked.scores);
        assert_eq!(read.change_tokens, [token()]);
    }

    #[test]
    fn what_cannot_be_read_stays_as_it_is() {
        let session = Session::new();
        session.note(&token()).unwrap();
        for bytes in [&b""[..], b"\0\0", b"\x01\0\0\0\x02ab", b"\0\0\0\0\x09ab"] {
            let frame = Bytes::copy_from_slice(bytes);
            assert_eq!(ask(frame.clone(), 8, &session), frame);
        }
        assert_eq!(text(b"\x12\xff", 2), None);
        assert_eq!(text(b"\x12\x09ab", 2), None);
    }
}
