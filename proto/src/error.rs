//! Errors as the contract publishes them: a canonical code, a reason, and which fields are bad.

use std::collections::HashMap;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

use crate::common::v1::ErrorReason;
use crate::validate::Violations;

/// The domain of every `google.rpc.ErrorInfo` of the suite.
pub const DOMAIN: &str = "regard";

/// Longest status message in bytes; longer ones are lost on the wire.
pub const MAX_MESSAGE: usize = 1024;

impl ErrorReason {
    /// The reason as an error carries it: the value's name without the enum's prefix (`FIELD_INVALID`).
    #[must_use]
    pub fn reason(self) -> &'static str {
        let name = self.as_str_name();
        name.strip_prefix("ERROR_REASON_").unwrap_or(name)
    }

    /// The reason that an error carries; none where it is of a newer version or not ours.
    #[must_use]
    pub fn from_reason(reason: &str) -> Option<Self> {
        Self::from_str_name(&format!("ERROR_REASON_{reason}"))
    }

    /// The reason in the `google.rpc.ErrorInfo` of a status, where it is ours.
    #[must_use]
    pub fn of(status: &Status) -> Option<Self> {
        let info = status.get_details_error_info()?;
        if info.domain == DOMAIN {
            Self::from_reason(&info.reason)
        } else {
            None
        }
    }
}

/// What a caller reads from an error.
pub trait ErrorDetail {
    /// The paths in its `google.rpc.BadRequest`, in order.
    fn bad_fields(&self) -> Vec<String>;
}

impl ErrorDetail for Status {
    fn bad_fields(&self) -> Vec<String> {
        let bad = self
            .get_details_bad_request()
            .map(|bad| bad.field_violations)
            .unwrap_or_default();
        bad.into_iter().map(|violation| violation.field).collect()
    }
}

/// `text` cut to at most [`MAX_MESSAGE`] bytes, at a character's end.
#[must_use]
pub fn clip(mut text: String) -> String {
    const DOTS: &str = "…";
    if text.len() > MAX_MESSAGE {
        let mut end = MAX_MESSAGE - DOTS.len();
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push_str(DOTS);
    }
    text
}

/// INVALID_ARGUMENT with reason `FIELD_INVALID` and every bad field.
#[must_use]
pub fn invalid_fields(violations: &Violations) -> Status {
    let count = violations.count();
    let fields = violations
        .listed()
        .iter()
        .map(|violation| FieldViolation::new(violation.field.as_str(), violation.description))
        .collect::<Vec<_>>();
    let mut details = ErrorDetails::with_bad_request(fields);
    details.set_error_info(
        ErrorReason::FieldInvalid.reason(),
        DOMAIN,
        HashMap::from([("violations".to_owned(), count.to_string())]),
    );
    let fields = if count == 1 {
        "1 bad field"
    } else {
        &format!("{count} bad fields")
    };
    Status::with_error_details(
        Code::InvalidArgument,
        clip(format!("{fields}: {violations}")),
        details,
    )
}

/// INVALID_ARGUMENT with reason `MESSAGE_MALFORMED`: the bytes are no such message.
#[must_use]
pub fn malformed_message(error: &prost::DecodeError) -> Status {
    let text = format!("the request is not a message of the expected type: {error}");
    with_reason(
        Code::InvalidArgument,
        ErrorReason::MessageMalformed,
        text,
        HashMap::new(),
    )
}

/// INTERNAL with reason `MESSAGE_MALFORMED`, made on the caller's side: the answer's bytes are no such message.
#[must_use]
pub fn malformed_answer(error: &prost::DecodeError) -> Status {
    let text = format!(
        "the server's answer cannot be read: {error}; check that client and server are of compatible versions"
    );
    with_reason(
        Code::Internal,
        ErrorReason::MessageMalformed,
        text,
        HashMap::new(),
    )
}

/// A status with its reason; `text` is cut to [`MAX_MESSAGE`].
#[must_use]
pub fn with_reason(
    code: Code,
    reason: ErrorReason,
    text: String,
    metadata: HashMap<String, String>,
) -> Status {
    let details = ErrorDetails::with_error_info(reason.reason(), DOMAIN, metadata);
    Status::with_error_details(code, clip(text), details)
}

/// What the transport by itself says of frames that are no messages.
const BROKEN_FRAMES: [&str; 4] = [
    "protocol error: ",
    "Error decompressing: ",
    "Unexpected EOF decoding stream",
    "Missing request message",
];

/// The transport's own errors, which carry no details, as the contract publishes them: a message that is too large
/// (which it calls OUT_OF_RANGE, a code that we never use) becomes RESOURCE_EXHAUSTED, a broken frame
/// INVALID_ARGUMENT, an unknown RPC keeps UNIMPLEMENTED, a deadline DEADLINE_EXCEEDED, each with its reason. Any other
/// status passes as it is.
#[must_use]
pub fn canonical(status: Status) -> Status {
    if !status.details().is_empty() {
        return status;
    }
    let text = status.message();
    let (code, reason, text, metadata) = match status.code() {
        Code::OutOfRange => {
            let limit = limit_in(text);
            let shown = limit.as_deref().unwrap_or("the server's limit of");
            let text = format!(
                "the message is larger than {shown} bytes; send smaller batches or ask for smaller pages"
            );
            let metadata = limit
                .map(|limit| ("limit_bytes".to_owned(), limit))
                .into_iter()
                .collect();
            (
                Code::ResourceExhausted,
                ErrorReason::MessageTooLarge,
                text,
                metadata,
            )
        }
        Code::ResourceExhausted if text.starts_with("Error decompressing: size limit") => {
            let text =
                "the message is too large once decompressed; send smaller batches".to_owned();
            let metadata = limit_in(status.message())
                .map(|limit| ("limit_bytes".to_owned(), limit))
                .into_iter()
                .collect();
            (
                Code::ResourceExhausted,
                ErrorReason::MessageTooLarge,
                text,
                metadata,
            )
        }
        Code::Internal if BROKEN_FRAMES.iter().any(|start| text.starts_with(start)) => {
            let text = format!("the request is not a whole gRPC message: {text}");
            (
                Code::InvalidArgument,
                ErrorReason::MessageMalformed,
                text,
                HashMap::new(),
            )
        }
        Code::Unimplemented => {
            let text = if text.is_empty() {
                "this server does not serve the RPC"
            } else {
                text
            };
            (
                Code::Unimplemented,
                ErrorReason::NotServed,
                text.to_owned(),
                HashMap::new(),
            )
        }
        Code::DeadlineExceeded => (
            Code::DeadlineExceeded,
            ErrorReason::DeadlineExceeded,
            text.to_owned(),
            HashMap::new(),
        ),
        _ => return status,
    };
    let details = ErrorDetails::with_error_info(reason.reason(), DOMAIN, metadata);
    Status::with_error_details_and_metadata(code, clip(text), details, status.metadata().clone())
}

/// The number that follows "limit" in the transport's text.
fn limit_in(text: &str) -> Option<String> {
    let after = text.split_once("limit")?.1;
    let digits = after
        .chars()
        .skip_while(|c| !c.is_ascii_digit())
        .take_while(char::is_ascii_digit)
        .collect::<String>();
    (!digits.is_empty()).then_some(digits)
}
