//! Work in fixed chunks, summed in order: the same bits on any number of threads.

use rayon::prelude::*;

/// Rows of one chunk; part of the definition of a sum, so it never depends on the machine.
pub(crate) const CHUNK: usize = 4096;
/// Below this many rows threads cost more than they give.
const SERIAL_ROWS: usize = 8 * CHUNK;

/// `work` of each chunk, in the order of the chunks.
pub(crate) fn map_chunks<C: Sync, R: Send>(
    rows: usize,
    chunks: &[C],
    work: impl Fn(&C) -> R + Sync + Send,
) -> Vec<R> {
    if rows <= SERIAL_ROWS {
        chunks.iter().map(work).collect()
    } else {
        chunks.par_iter().map(work).collect()
    }
}
