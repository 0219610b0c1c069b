//! W3C trace context: which trace a call or a change belongs to.

use std::fmt;

/// Target of the spans that are for traces; nothing else is, and no log line has it.
pub const TRACE_TARGET: &str = "regard::trace";

/// Bytes of a stored trace context.
pub const TRACE_BYTES: usize = 25;

/// A position in a trace, as the header `traceparent` carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace {
    /// The trace; never all zero.
    pub id: [u8; 16],
    /// The span that caused what follows; never all zero.
    pub span: [u8; 8],
    /// Bit 0: sampled.
    pub flags: u8,
}

impl Trace {
    /// Reads a `traceparent` of any version from 00 to fe; None if it is malformed (the header is then ignored, as W3C asks).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let version = hex(bytes.get(..2)?)?;
        let whole = bytes.len() == 55 || (version > 0 && bytes.get(55) == Some(&b'-'));
        let dashes = [2, 35, 52].iter().all(|at| bytes.get(*at) == Some(&b'-'));
        if version == 0xff || !whole || !dashes {
            return None;
        }
        let mut id = [0; 16];
        let mut span = [0; 8];
        fill(&mut id, bytes.get(3..35)?)?;
        fill(&mut span, bytes.get(36..52)?)?;
        let flags = hex(bytes.get(53..55)?)?;
        (id != [0; 16] && span != [0; 8]).then_some(Self { id, span, flags })
    }

    /// As stored: id, span, flags.
    #[must_use]
    pub fn to_bytes(self) -> [u8; TRACE_BYTES] {
        let mut bytes = [0; TRACE_BYTES];
        bytes[..16].copy_from_slice(&self.id);
        bytes[16..24].copy_from_slice(&self.span);
        bytes[24] = self.flags;
        bytes
    }

    /// From the stored form; None for any other bytes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (id, rest) = bytes.split_first_chunk::<16>()?;
        let (span, rest) = rest.split_first_chunk::<8>()?;
        let [flags] = rest else { return None };
        (*id != [0; 16] && *span != [0; 8]).then_some(Self {
            id: *id,
            span: *span,
            flags: *flags,
        })
    }

    /// Whether its spans are kept.
    #[must_use]
    pub const fn sampled(self) -> bool {
        self.flags & 1 == 1
    }
}

/// The header's form, version 00.
impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("00-")?;
        self.id.iter().try_for_each(|b| write!(f, "{b:02x}"))?;
        f.write_str("-")?;
        self.span.iter().try_for_each(|b| write!(f, "{b:02x}"))?;
        write!(f, "-{:02x}", self.flags)
    }
}

fn fill(into: &mut [u8], digits: &[u8]) -> Option<()> {
    for (byte, pair) in into.iter_mut().zip(digits.chunks(2)) {
        *byte = hex(pair)?;
    }
    Some(())
}

/// Two lower case digits; W3C allows no others.
fn hex(pair: &[u8]) -> Option<u8> {
    let digit = |b: u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        _ => None,
    };
    match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_header_is_read_and_written() {
        let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        let trace = Trace::parse(text).unwrap();
        assert_eq!(trace.to_string(), text);
        assert!(trace.sampled());
        assert_eq!(Trace::from_bytes(&trace.to_bytes()), Some(trace));
        let later = format!("cc{}-what-comes", &text[2..]);
        assert_eq!(Trace::parse(&later), Some(trace));
    }

    #[test]
    fn a_malformed_header_is_none() {
        for text in [
            "",
            "00",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736_00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e473é-0f067aa0ba902b7-01",
        ] {
            assert_eq!(Trace::parse(text), None, "{text}");
        }
        assert_eq!(Trace::from_bytes(&[1; 24]), None);
    }
}
