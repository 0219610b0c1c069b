//! The one exit from faults to the wire: code, reason and details as the contract publishes them.

use std::collections::HashMap;
use std::error::Error;
use std::fmt::Write as _;
use std::time::Duration;

use regard_proto::error::{DOMAIN, clip};
use regard_types::{Fault, Kind};
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

/// Most violations of one status; larger ones are lost on the wire.
pub const MAX_VIOLATIONS: usize = 20;
/// Longest field, description or metadata value, in bytes.
const MAX_TEXT: usize = 160;
/// Most metadata entries of one status.
const MAX_META: usize = 8;
/// Most bytes of details: base64 adds a third, a message of 1 KiB may need 3 KiB, and HTTP/2 headers over 16 KiB are lost.
const MAX_DETAILS: usize = 9_000;
/// What a caller should wait after a busy or overloaded answer.
const RETRY_AFTER: Duration = Duration::from_millis(200);

/// The canonical code of a kind of fault.
#[must_use]
pub fn code(kind: Kind) -> Code {
    match kind {
        Kind::Invalid => Code::InvalidArgument,
        Kind::NotFound => Code::NotFound,
        Kind::Exists => Code::AlreadyExists,
        Kind::Stale => Code::Aborted,
        Kind::WrongState => Code::FailedPrecondition,
        Kind::Denied => Code::PermissionDenied,
        Kind::Unauthenticated => Code::Unauthenticated,
        Kind::TooMuch => Code::ResourceExhausted,
        Kind::Busy | Kind::Down => Code::Unavailable,
        Kind::Late => Code::DeadlineExceeded,
        Kind::Bug => Code::Internal,
    }
}

/// The status of a fault. What went wrong inside is logged here, once, and stays inside.
#[must_use]
// Handlers write `.map_err(status)`.
#[allow(clippy::needless_pass_by_value)]
pub fn status(fault: Fault) -> Status {
    log(&fault);
    let code = code(fault.kind);
    if code == Code::Internal {
        return bare(code, "INTERNAL", "internal error", &[]);
    }
    let mut details = ErrorDetails::new();
    let meta = fault
        .meta
        .iter()
        .take(MAX_META)
        .map(|(key, value)| (key.clone(), cut(value)));
    details.set_error_info(fault.reason, DOMAIN, meta.collect::<HashMap<_, _>>());
    for (field, why) in fault.violations.iter().take(MAX_VIOLATIONS) {
        details.add_bad_request_violation(cut(field), cut(why));
    }
    let of = |name: &str| {
        fault
            .meta
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, value)| cut(value))
    };
    match fault.kind {
        Kind::NotFound | Kind::Exists | Kind::Stale => {
            if let Some(resource) = of("resource") {
                details.set_resource_info(
                    resource,
                    of("id").unwrap_or_default(),
                    "",
                    cut(&fault.message),
                );
            }
        }
        Kind::WrongState => {
            details.add_precondition_failure_violation(
                fault.reason,
                of("id").unwrap_or_default(),
                cut(&fault.message),
            );
        }
        Kind::Busy | Kind::Down | Kind::TooMuch => {
            details.set_retry_info(Some(RETRY_AFTER));
        }
        Kind::Invalid | Kind::Denied | Kind::Unauthenticated | Kind::Late | Kind::Bug => {}
    }
    Status::with_error_details(code, clip(message(&fault)), details)
}

/// A status whose details are small enough to arrive, whoever made it.
pub(crate) fn fitting(status: Status) -> Status {
    if status.details().len() <= MAX_DETAILS {
        return status;
    }
    let whole = status.get_error_details();
    let mut details = ErrorDetails::new();
    if let Some(info) = whole.error_info() {
        let meta = info
            .metadata
            .iter()
            .take(MAX_META)
            .map(|(key, value)| (cut(key), cut(value)));
        details.set_error_info(
            cut(&info.reason),
            cut(&info.domain),
            meta.collect::<HashMap<_, _>>(),
        );
    }
    let bad = whole
        .bad_request()
        .map(|bad| bad.field_violations.as_slice())
        .unwrap_or_default();
    for violation in bad.iter().take(MAX_VIOLATIONS) {
        details.add_bad_request_violation(cut(&violation.field), cut(&violation.description));
    }
    Status::with_error_details(status.code(), clip(status.message().to_owned()), details)
}

/// A status with nothing but its reason and facts.
pub(crate) fn bare(
    code: Code,
    reason: &str,
    message: impl Into<String>,
    meta: &[(&str, &str)],
) -> Status {
    let meta = meta
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    let mut details =
        ErrorDetails::with_error_info(reason, DOMAIN, meta.collect::<HashMap<_, _>>());
    if matches!(code, Code::Unavailable | Code::ResourceExhausted) && reason != "MESSAGE_TOO_LARGE"
    {
        details.set_retry_info(Some(RETRY_AFTER));
    }
    Status::with_error_details(code, clip(message.into()), details)
}

/// A status that says exactly when to come again.
pub(crate) fn refused_until(
    code: Code,
    reason: &str,
    message: impl Into<String>,
    meta: &[(&str, &str)],
    wait: Duration,
) -> Status {
    let meta = meta
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    let mut details =
        ErrorDetails::with_error_info(reason, DOMAIN, meta.collect::<HashMap<_, _>>());
    details.set_retry_info(Some(wait));
    Status::with_error_details(code, clip(message.into()), details)
}

/// The message with every listed violation, so that a person who sees only the message can act.
fn message(fault: &Fault) -> String {
    let mut text = fault.message.clone();
    for (index, (field, why)) in fault.violations.iter().take(MAX_VIOLATIONS).enumerate() {
        let _ = write!(
            text,
            "{}{} {}",
            if index == 0 { ": " } else { "; " },
            cut(field),
            cut(why)
        );
    }
    match fault.violations.len().checked_sub(MAX_VIOLATIONS) {
        None | Some(0) => {}
        Some(more) => {
            // The count must survive the clipping of a long list.
            let note = format!("; and {more} more");
            let mut end = text
                .len()
                .min(regard_proto::error::MAX_MESSAGE.saturating_sub(note.len()));
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            text.truncate(end);
            text.push_str(&note);
        }
    }
    text
}

fn cut(text: &str) -> String {
    let mut end = text.len().min(MAX_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    if end == text.len() {
        text.to_owned()
    } else {
        format!("{}…", text.get(..end).unwrap_or_default())
    }
}

fn log(fault: &Fault) {
    let cause = chain(fault.source());
    match fault.kind {
        Kind::Bug => tracing::error!(reason = fault.reason, cause, "request failed"),
        Kind::Busy | Kind::Down => tracing::warn!(reason = fault.reason, cause, "request failed"),
        _ => tracing::debug!(reason = fault.reason, cause, "request refused"),
    }
}

/// An error with all its causes, in one line.
pub(crate) fn chain(mut error: Option<&(dyn Error + 'static)>) -> String {
    let mut text = String::new();
    while let Some(cause) = error {
        if !text.is_empty() {
            text.push_str(": ");
        }
        let _ = write!(text, "{cause}");
        error = cause.source();
    }
    text
}
