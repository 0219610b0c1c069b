//! The id of a call: the caller's own, if it is a fit one, else one of ours.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

pub(crate) const HEADER: HeaderName = HeaderName::from_static("x-request-id");
/// Longest id taken over.
const LONGEST: usize = 64;

pub(crate) struct RequestId {
    pub(crate) text: Arc<str>,
    pub(crate) value: HeaderValue,
}

impl RequestId {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let given = headers
            .get(HEADER)
            .and_then(|value| Some((value, value.to_str().ok()?)));
        match given {
            Some((value, text))
                if (1..=LONGEST).contains(&text.len())
                    && text.bytes().all(|b| b.is_ascii_graphic()) =>
            {
                Self {
                    text: text.into(),
                    value: value.clone(),
                }
            }
            _ => Self::new(),
        }
    }

    /// A part that is random for the process, and a counter: unique, and much cheaper than randomness for each.
    fn new() -> Self {
        static PROCESS: OnceLock<u64> = OnceLock::new();
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let process = PROCESS.get_or_init(|| uuid::Uuid::new_v4().as_u64_pair().0);
        let mut digits = [0_u8; 24];
        let (high, low) = digits.split_at_mut(16);
        hex(*process, high);
        hex(NEXT.fetch_add(1, Ordering::Relaxed), low);
        let text = std::str::from_utf8(&digits).unwrap_or_default();
        let value = HeaderValue::from_maybe_shared(Bytes::copy_from_slice(&digits));
        Self {
            text: text.into(),
            value: value.unwrap_or_else(|_| HeaderValue::from_static("")),
        }
    }
}

fn hex(mut number: u64, digits: &mut [u8]) {
    for digit in digits.iter_mut().rev() {
        *digit = *b"0123456789abcdef"
            .get((number & 15) as usize)
            .unwrap_or(&b'0');
        number >>= 4;
    }
}
