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
    let details = ErrorDetails::with_error_info(
        ErrorReason::MessageMalformed.reason(),
        DOMAIN,
        HashMap::<String, String>::new(),
    );
    let text = format!("the request is not a message of the expected type: {error}");
    Status::with_error_details(Code::InvalidArgument, clip(text), details)
}

/// INTERNAL with reason `MESSAGE_MALFORMED`, made on the caller's side: the answer's bytes are no such message.
#[must_use]
pub fn malformed_answer(error: &prost::DecodeError) -> Status {
    let details = ErrorDetails::with_error_info(
        ErrorReason::MessageMalformed.reason(),
        DOMAIN,
        HashMap::<String, String>::new(),
    );
    let text = format!(
        "the server's answer cannot be read: {error}; check that client and server are of compatible versions"
    );
    Status::with_error_details(Code::Internal, clip(text), details)
}
