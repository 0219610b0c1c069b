//! Bulk in: batch after batch, each answered when it is durable.

use std::pin::Pin;

use futures::Stream;
use regard_types::Fault;
use tonic::{Status, Streaming};

use crate::status::status;

/// A stream of answers, as every streaming handler returns it.
pub type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send + 'static>>;

/// Feeds the batches of a stream to `take`, one at a time, numbered from 0, and streams back what it answers. While one
/// is taken the next is read, no more; a caller that goes away stops the work; a fault ends the stream with its status.
pub fn ingest<B, A, F, W>(batches: Streaming<B>, take: F) -> Answers<A>
where
    B: Send + 'static,
    A: Send + 'static,
    F: FnMut(u64, B) -> W + Send + 'static,
    W: Future<Output = Result<A, Fault>> + Send + 'static,
{
    let begin = (batches, take, 0_u64, None);
    Box::pin(futures::stream::try_unfold(
        begin,
        |(mut batches, mut take, number, ready)| async move {
            let next = match ready {
                Some(next) => next,
                None => batches.message().await,
            };
            let Some(batch) = next? else {
                return Ok(None);
            };
            let mut work = std::pin::pin!(take(number, batch));
            let mut ready = None;
            let answer = loop {
                tokio::select! {
                    biased;
                    answer = &mut work => break answer,
                    // Nothing is lost if this is dropped: a message half read stays with the stream.
                    next = batches.message(), if ready.is_none() => ready = Some(next),
                }
            };
            Ok(Some((
                answer.map_err(status)?,
                (batches, take, number + 1, ready),
            )))
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
