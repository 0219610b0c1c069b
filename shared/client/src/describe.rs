//! A status as people read it.

use std::fmt::Write as _;

use tonic::{Code, Status};
use tonic_types::StatusExt as _;

/// The error in a few lines: code, reason and message; every bad field; the facts; and when to try again.
#[must_use]
pub fn describe(status: &Status) -> String {
    let details = status.get_error_details();
    let mut text = name(status.code()).to_owned();
    if let Some(info) = details.error_info() {
        let _ = write!(text, " ({})", info.reason);
    }
    let fields = details
        .bad_request()
        .map(|bad| bad.field_violations.as_slice())
        .unwrap_or_default();
    if fields.is_empty() {
        let _ = write!(text, ": {}", status.message());
    } else {
        // The message repeats the fields that stand below; its head says how many there are.
        let head = status.message().split(": ").next().unwrap_or_default();
        let _ = write!(text, ": {head}");
        for violation in fields {
            let field = if violation.field.is_empty() {
                "the message"
            } else {
                violation.field.as_str()
            };
            let _ = write!(text, "\n  {field}: {}", violation.description);
        }
        if let Some((_, more)) = status.message().rsplit_once("; and ") {
            let _ = write!(text, "\n  and {more}");
        }
    }
    if let Some(info) = details.error_info() {
        let mut facts = info
            .metadata
            .iter()
            .filter(|(key, _)| *key != "violations")
            .collect::<Vec<_>>();
        facts.sort();
        for (key, value) in facts {
            let _ = write!(text, "\n  {key} = {value}");
        }
    }
    if let Some(after) = details.retry_info().and_then(|retry| retry.retry_delay) {
        let _ = write!(text, "\n  try again after {} ms", after.as_millis());
    }
    text
}

fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
