//! Bulk in: batch after batch, each answered when it is durable.

use std::pin::Pin;

use futures::Stream;
use regard_proto::Validate;
use regard_proto::common::v1 as common;
use regard_proto::validate::Violations;
use regard_types::{ChangeToken, Fault};
use tonic::{Status, Streaming};

use crate::status::{MAX_VIOLATIONS, status};
use crate::telemetry::rows_came;
use crate::wire::{fit_rejected, rejected, rejected_fields};

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

/// What is answered to one batch, row by row.
#[derive(Debug)]
pub struct Taken(common::BatchResult);

impl Taken {
    /// Of the batch with this number.
    #[must_use]
    pub fn new(batch: u64) -> Self {
        Self(common::BatchResult {
            batch,
            ..common::BatchResult::default()
        })
    }

    /// Reads the rows of the batch; none for one that is rejected, with all that is wrong with it.
    pub fn rows<W: Validate, T>(
        &mut self,
        rows: &[W],
        read: impl Fn(&W) -> Result<T, Fault>,
    ) -> Vec<Option<T>> {
        let mut one = |(index, row): (usize, &W)| match (row.validate(), read(row)) {
            (Ok(()), Ok(row)) => Some(row),
            (Ok(()), Err(fault)) => {
                self.rejected(index, &fault);
                None
            }
            (Err(broken), read) => {
                self.0.rejected.push(refused(index, &broken, read.err()));
                None
            }
        };
        rows.iter().enumerate().map(&mut one).collect()
    }

    /// Counts rows of which a first or next version is stored.
    pub fn accepted(&mut self, rows: u32) {
        self.0.accepted += rows;
    }

    /// Counts rows that say nothing new.
    pub fn unchanged(&mut self, rows: u32) {
        self.0.unchanged += rows;
    }

    /// Notes why a row is not stored.
    pub fn rejected(&mut self, index: usize, fault: &Fault) {
        self.0.rejected.push(rejected(index, fault));
    }

    /// The answer, with the token of what was written; `rows` is what its figures call the rows.
    #[must_use]
    pub fn done(self, rows: &'static str, token: Option<ChangeToken>) -> common::BatchResult {
        let mut result = self.0;
        result.rejected.sort_by_key(|row| row.index);
        let (accepted, unchanged) = (result.accepted.into(), result.unchanged.into());
        rows_came(rows, accepted, unchanged, result.rejected.len());
        fit_rejected(&mut result.rejected);
        result.change_token = token.map(|token| token.encode()).unwrap_or_default();
        result
    }
}

/// A row of a batch must carry its key.
#[must_use]
pub fn keyless(field: &str) -> Fault {
    Fault::invalid(
        field,
        "is required in bulk, so that the row can be sent again",
    )
}

/// A row that breaks rules of the contract, with what else is wrong with its other fields.
fn refused(index: usize, broken: &Violations, also: Option<Fault>) -> common::RejectedRow {
    let mut row = rejected_fields(index, broken);
    for (field, description) in also.into_iter().flat_map(|fault| fault.violations) {
        let below = format!("{field}.");
        let told =
            |said: &common::FieldViolation| said.field == field || said.field.starts_with(&below);
        if row.violations.len() < MAX_VIOLATIONS && !row.violations.iter().any(told) {
            row.violations
                .push(common::FieldViolation { field, description });
        }
    }
    row
}

/// A stream of faults or answers as the wire wants it.
pub fn answers<T: Send + 'static>(
    stream: impl Stream<Item = Result<T, Fault>> + Send + 'static,
) -> Answers<T> {
    use futures::StreamExt as _;
    Box::pin(stream.map(|item| item.map_err(status)))
}
