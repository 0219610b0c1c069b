//! Which calls may be repeated: reads, and writes that carry a request id.

use std::time::Duration;

use bytes::Bytes;
use prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use regard_proto::Method;

/// Number of `request_id` in every request that has it.
const REQUEST_ID: u32 = 14;
/// First and longest pause between two attempts.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));
/// Flag and length before a message.
const PREFIX: usize = 5;

/// Whether the method could be repeated at all.
pub(crate) fn repeatable(method: &Method) -> bool {
    !method.client_streaming && !method.server_streaming
}

/// Whether this call of the method may be repeated: `frames` is its whole body.
pub(crate) fn safe(method: &Method, frames: &Bytes) -> bool {
    if !method.request_id {
        return true; // every mutating request has a request id, so this one reads
    }
    // A compressed message does not show its request id.
    frames.first() == Some(&0) && frames.get(PREFIX..).is_some_and(named)
}

/// Whether the encoded message has a request id that is not empty.
fn named(message: &[u8]) -> bool {
    let mut rest = message;
    while let Ok((number, wire)) = decode_key(&mut rest) {
        if number == REQUEST_ID && wire == WireType::LengthDelimited {
            return decode_varint(&mut rest).is_ok_and(|length| length > 0);
        }
        if skip_field(wire, number, &mut rest, DecodeContext::default()).is_err() {
            break;
        }
    }
    false
}

/// The pause before attempt `attempt` (from 1): doubling, with half of it random, so that callers do not return in step.
pub(crate) fn pause(attempt: u32) -> Duration {
    let full = PAUSE
        .0
        .saturating_mul(1 << attempt.saturating_sub(1).min(10))
        .min(PAUSE.1);
    full.mul_f64(rand::random_range(0.5..1.0))
}
