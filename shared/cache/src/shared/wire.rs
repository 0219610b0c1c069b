//! An entry as bytes, big-endian: kind (1), version (8), number of marks (2), marks (feed 1, epoch 8, lane 2,
//! position 8), value. `put.lua` reads the same layout.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::{Entry, Mark, Vector};

/// A value follows.
const WHOLE: u8 = 1;
/// The value is too large to be kept here; the version still keeps older ones out.
const TOO_LARGE: u8 = 2;
const HEAD: usize = 11;
const MARK: usize = 19;
/// Larger values would delay every other answer on the one connection.
pub(crate) const LARGEST_VALUE: usize = 64 << 10;

pub(crate) fn encode(entry: &Entry) -> Bytes {
    let marks = entry.vector.marks();
    // More lanes than a u16 counts cannot be told apart; without marks no reader with needs takes the entry.
    let count = u16::try_from(marks.len()).unwrap_or(0);
    let fits = entry.value.len() <= LARGEST_VALUE;
    let mut bytes = BytesMut::with_capacity(HEAD + MARK * usize::from(count) + entry.value.len());
    bytes.put_u8(if fits { WHOLE } else { TOO_LARGE });
    bytes.put_u64(entry.version);
    bytes.put_u16(count);
    for mark in &marks[..usize::from(count)] {
        bytes.put_u8(mark.feed);
        bytes.put_u64(mark.epoch);
        bytes.put_u16(mark.lane);
        bytes.put_u64(mark.position);
    }
    if fits {
        bytes.put_slice(&entry.value);
    }
    bytes.freeze()
}

/// None for an entry without its value, and for bytes of another layout.
pub(crate) fn decode(mut bytes: Bytes) -> Option<Entry> {
    if bytes.len() < HEAD || bytes.get_u8() != WHOLE {
        return None;
    }
    let version = bytes.get_u64();
    let count = usize::from(bytes.get_u16());
    if bytes.len() < count * MARK {
        return None;
    }
    let marks = (0..count).map(|_| Mark {
        feed: bytes.get_u8(),
        epoch: bytes.get_u64(),
        lane: bytes.get_u16(),
        position: bytes.get_u64(),
    });
    // The script appends lanes as they come; here they are sorted again.
    let vector = Vector::new(marks);
    Some(Entry {
        version,
        vector,
        value: bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_entry_comes_back_and_garbage_never_panics(
            version: u64, lanes in proptest::collection::vec((0u8..3, any::<u64>(), any::<u16>(), any::<u64>()), 0..5),
            value: Vec<u8>, cut in 0usize..200, garbage: Vec<u8>,
        ) {
            let marks = lanes.into_iter().map(|(feed, epoch, lane, position)| Mark { feed, epoch, lane, position });
            let entry = Entry { version, vector: Vector::new(marks), value: value.into() };
            let bytes = encode(&entry);
            prop_assert_eq!(decode(bytes.clone()), Some(entry));
            let _ = decode(bytes.slice(..cut.min(bytes.len())));
            let _ = decode(garbage.into());
        }
    }

    #[test]
    fn a_value_over_the_limit_leaves_only_its_version() {
        let entry = Entry {
            version: 9,
            vector: Vector::default(),
            value: vec![0; LARGEST_VALUE + 1].into(),
        };
        let bytes = encode(&entry);
        assert_eq!(bytes.len(), HEAD);
        assert_eq!(decode(bytes), None);
    }
}
