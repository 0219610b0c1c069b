//! What it means that a call got no answer, or was refused.

use std::collections::HashMap;
use std::error::Error;
use std::time::Duration;

use http::HeaderMap;
use regard_proto::common::v1::ErrorReason;
use regard_proto::error::with_reason;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::balance::Lost;

const STATUS: &str = "grpc-status";
const PUSHBACK: &str = "grpc-retry-pushback-ms";

/// A deadline that passed here is the same to the caller as one that passed there.
pub(crate) fn late() -> Status {
    let text = "the time limit of the call passed; the work is stopped and rolled back".to_owned();
    with_reason(
        Code::DeadlineExceeded,
        ErrorReason::DeadlineExceeded,
        text,
        HashMap::new(),
    )
}

/// The call's own status for its caller.
pub(crate) fn status(lost: &Lost) -> Status {
    match lost {
        Lost::Late => late(),
        Lost::Unsent(why) | Lost::Away(why) | Lost::Broken(why) => Status::unavailable(
            regard_proto::error::clip(format!("the server cannot be reached: {why}")),
        ),
    }
}

/// What the connection says: whether the server can have seen the call, and why it was not answered.
pub(crate) fn lost(error: &(dyn Error + 'static)) -> Lost {
    let mut cause = Some(error);
    let (mut text, mut unsent, mut away) = (String::new(), false, false);
    while let Some(at) = cause {
        if at.is::<tonic::TimeoutExpired>() {
            return Lost::Late;
        }
        away |= at.is::<tonic::ConnectError>();
        // Canceled: it waited for its turn on a connection that ended.
        unsent |= at
            .downcast_ref::<hyper::Error>()
            .is_some_and(hyper::Error::is_canceled);
        unsent |= at.downcast_ref::<h2::Error>().is_some_and(untouched);
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&at.to_string());
        cause = at.source();
    }
    match (away, unsent) {
        (true, _) => Lost::Away(text),
        (false, true) => Lost::Unsent(text),
        (false, false) => Lost::Broken(text),
    }
}

/// RFC 9113, 6.8 and 8.7: streams above the last one that GOAWAY names, and refused ones, were not processed.
fn untouched(error: &h2::Error) -> bool {
    let reason = error.reason();
    error.is_remote()
        && ((error.is_go_away() && reason == Some(h2::Reason::NO_ERROR))
            || (error.is_reset() && reason == Some(h2::Reason::REFUSED_STREAM)))
}

/// Whether the answer says that another server should be asked.
pub(crate) fn refuses(headers: &HeaderMap) -> bool {
    headers
        .get(STATUS)
        .is_some_and(|code| matches!(code.as_bytes(), b"8" | b"14"))
}

/// Whether the server is in trouble, and which pause it asks for; none if the fault is the call's own.
pub(crate) fn rest(headers: &HeaderMap) -> Option<Duration> {
    match headers.get(STATUS)?.as_bytes() {
        b"14" => Some(again(headers).unwrap_or_default()),
        _ => again(headers),
    }
}

/// Whether the answer carries no error, as far as can be seen before its body.
pub(crate) fn succeeds(headers: &HeaderMap) -> bool {
    headers
        .get(STATUS)
        .is_none_or(|code| code.as_bytes() == b"0")
}

/// When a call with this answer may be repeated: none if not at all; zero leaves the pause to us.
pub(crate) fn again(headers: &HeaderMap) -> Option<Duration> {
    let code = headers.get(STATUS)?.as_bytes();
    let asked = match headers.get(PUSHBACK) {
        None => None,
        // The server wants no repetition if it gives no number.
        Some(text) => Some(Duration::from_millis(text.to_str().ok()?.parse().ok()?)),
    };
    match code {
        b"14" => {
            let delay = asked.or_else(|| delay(headers));
            Some(delay.unwrap_or_default())
        }
        // Only where the server says when: a message too large stays too large.
        b"8" => asked.or_else(|| delay(headers)),
        _ => None,
    }
}

fn delay(headers: &HeaderMap) -> Option<Duration> {
    let status = Status::from_header_map(headers)?;
    status.get_details_retry_info()?.retry_delay
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use tonic_types::ErrorDetails;

    use super::*;

    fn told(code: Code, delay: Option<u64>, pushback: Option<&'static str>) -> Option<Duration> {
        let mut details = ErrorDetails::new();
        if let Some(delay) = delay {
            details.set_retry_info(Some(Duration::from_millis(delay)));
        }
        let status = Status::with_error_details(code, "refused", details);
        let mut headers = status.into_http::<()>().headers().clone();
        if let Some(text) = pushback {
            headers.insert(PUSHBACK, text.parse().unwrap());
        }
        again(&headers)
    }

    #[test]
    fn the_server_says_when_to_come_again() {
        let after = |ms| Some(Duration::from_millis(ms));
        assert_eq!(told(Code::Unavailable, None, None), after(0));
        assert_eq!(told(Code::Unavailable, Some(70), None), after(70));
        assert_eq!(told(Code::Unavailable, Some(70), Some("90")), after(90));
        assert_eq!(told(Code::Unavailable, None, Some("-1")), None);
        // A message too large stays too large; a rate passes.
        assert_eq!(told(Code::ResourceExhausted, None, None), None);
        assert_eq!(told(Code::ResourceExhausted, Some(70), None), after(70));
        assert_eq!(told(Code::Internal, Some(70), None), None);
        assert_eq!(again(&HeaderMap::new()), None);
    }
}
