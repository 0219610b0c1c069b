//! Bulk in: batch after batch, each answered when it is durable.

use std::pin::Pin;

use futures::Stream;
use regard_types::Fault;
use tonic::{Status, Streaming};

use crate::status::status;

/// A stream of answers, as every streaming handler returns it.
pub type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send + 'static>>;

/// Feeds the batches of a stream to `take`, one at a time, numbered from 0, and streams back what it answers. Memory
/// is bounded by one batch; a caller that goes away stops the work; a fault ends the stream with its status.
pub fn ingest<B, A, F, W>(batches: Streaming<B>, take: F) -> Answers<A>
where
    B: Send + 'static,
    A: Send + 'static,
    F: FnMut(u64, B) -> W + Send + 'static,
    W: Future<Output = Result<A, Fault>> + Send + 'static,
{
    Box::pin(futures::stream::try_unfold(
        (batches, take, 0_u64),
        |(mut batches, mut take, number)| async move {
            let Some(batch) = batches.message().await? else {
                return Ok(None);
            };
            let answer = take(number, batch).await.map_err(status)?;
            Ok(Some((answer, (batches, take, number + 1))))
        },
    ))
}

/// A stream of faults or answers as the wire wants it.
pub fn answers<T: Send + 'static>(
    stream: impl Stream<Item = Result<T, Fault>> + Send + 'static,
) -> Answers<T> {
    use futures::StreamExt as _;
    Box::pin(stream.map(|item| item.map_err(status)))
}
