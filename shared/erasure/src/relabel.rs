//! New ids for old ones.

use regard_database::StoreError;
use regard_proto::common::v1::{ErasureMeasures, FeedCursor, Relabel};
use regard_types::{Fault, Uuid};

/// An id that is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pair {
    /// The id before.
    pub old: Uuid,
    /// The id since.
    pub new: Uuid,
}

/// Random ids for these ones, by old id. A new id is larger than the old one, so that a snapshot that is being read in the
/// order of ids misses no record that moves; and the new ids are in the order of the old ones, so that what is decided
/// by ids between two records of one instant stays decided.
///
/// # Errors
/// [`StoreError::Corrupt`] where no such ids are found, as for an old id that is the largest of all.
pub fn fresh(old: &[Uuid]) -> Result<Vec<Pair>, StoreError> {
    let mut old = old.to_vec();
    old.sort_unstable();
    old.dedup();
    // Only where an old id begins with 16 ones itself, which is one in 65,536, may a further draw be needed.
    for _ in 0..64 {
        let mut new: Vec<Uuid> = old.iter().map(|_| random()).collect();
        new.sort_unstable();
        new.dedup();
        let sound = new.len() == old.len() && old.iter().zip(&new).all(|(old, new)| old < new);
        if sound {
            let pairs = old.iter().zip(new);
            return Ok(pairs.map(|(old, new)| Pair { old: *old, new }).collect());
        }
    }
    Err(StoreError::corrupt("no larger ids for those of a person"))
}

/// A random UUID of version 4 among the largest: 106 bits are free.
fn random() -> Uuid {
    let mut bytes = *Uuid::new_v4().as_bytes();
    if let Some(first) = bytes.first_chunk_mut::<2>() {
        *first = [0xff; 2];
    }
    Uuid::from_bytes(bytes)
}

/// Records of one change: a change must fit into a message beside others.
const RECORDS: usize = 5_000;

/// What a feed tells of an erasure, in as many parts as its records need (one at least). `heads` is what followers must
/// have read before.
#[must_use]
pub fn parts(customers: &[Pair], records: &[Pair], heads: &[FeedCursor]) -> Vec<ErasureMeasures> {
    let mut chunks: Vec<&[Pair]> = records.chunks(RECORDS).collect();
    if chunks.is_empty() {
        chunks.push(&[]);
    }
    let parts = u32::try_from(chunks.len()).unwrap_or(u32::MAX);
    let one = |(part, records): (u32, &[Pair])| ErasureMeasures {
        part,
        parts,
        customers: to_wire(customers),
        records: to_wire(records),
        heads: heads.to_vec(),
    };
    (1..).zip(chunks).map(one).collect()
}

/// Pairs on the wire.
#[must_use]
pub fn to_wire(pairs: &[Pair]) -> Vec<Relabel> {
    let one = |pair: &Pair| Relabel {
        old_id: pair.old.to_string(),
        new_id: pair.new.to_string(),
    };
    pairs.iter().map(one).collect()
}

/// Pairs of the wire.
///
/// # Errors
/// INTERNAL for an id that is none: the service that sent it is at fault.
pub fn of_wire(pairs: &[Relabel]) -> Result<Vec<Pair>, Fault> {
    let one = |pair: &Relabel| {
        Ok(Pair {
            old: Uuid::try_parse(&pair.old_id).map_err(Fault::bug)?,
            new: Uuid::try_parse(&pair.new_id).map_err(Fault::bug)?,
        })
    };
    pairs.iter().map(one).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn new_ids_are_random_larger_and_in_the_order_of_the_old_ones() {
        let old: Vec<Uuid> = (0..1_000).map(|_| Uuid::new_v4()).collect();
        let (first, second) = (fresh(&old).unwrap(), fresh(&old).unwrap());
        for pairs in [&first, &second] {
            assert_eq!(pairs.len(), old.len());
            assert!(
                pairs
                    .windows(2)
                    .all(|w| w[0].old < w[1].old && w[0].new < w[1].new)
            );
            assert!(
                pairs
                    .iter()
                    .all(|p| p.old < p.new && p.new.get_version_num() == 4)
            );
        }
        assert!(
            first
                .iter()
                .zip(&second)
                .all(|(a, b)| a.old == b.old && a.new != b.new)
        );
        assert_eq!(of_wire(&to_wire(&first)).ok(), Some(first));
        assert!(fresh(&[]).unwrap().is_empty());
    }

    #[test]
    fn an_old_id_among_the_largest_gets_a_larger_one() {
        let mut bytes = [0x80; 16];
        bytes[0] = 0xff;
        bytes[1] = 0xff;
        let old = Uuid::from_bytes(bytes);
        for _ in 0..100 {
            let pairs = fresh(&[old]).unwrap();
            assert!(pairs.len() == 1 && pairs[0].new > pairs[0].old);
        }
        assert!(fresh(&[Uuid::max()]).is_err(), "none is larger");
    }
}
