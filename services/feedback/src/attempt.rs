//! Repeating a mutation that lost a race. Two writers of one source key may both find nothing and both insert: the
//! loser's transaction is gone, and its second look finds the winner's row.

use std::future::Future;
use std::time::Duration;

use regard_database::{Answer, StoreError};
use regard_types::{Fault, Kind, RecordId};

/// Why an attempt ended without a result.
#[derive(Debug)]
pub(crate) enum Missed {
    /// Somebody stored the same key meanwhile; look again.
    Taken(StoreError),
    /// Final.
    Fault(Fault),
}

impl From<Fault> for Missed {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<StoreError> for Missed {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Taken(_) | StoreError::Stale => Self::Taken(error),
            other => Self::Fault(other.into()),
        }
    }
}

/// Makes up to four attempts, with growing pauses, while they end in a lost race or a busy store.
///
/// # Errors
/// The last attempt's fault.
pub(crate) async fn settle<T, F, W>(mut work: W) -> Result<T, Fault>
where
    W: FnMut() -> F,
    F: Future<Output = Result<T, Missed>>,
{
    for pause in [2, 10, 40] {
        match work().await {
            Ok(done) => return Ok(done),
            Err(Missed::Taken(_)) => {}
            Err(Missed::Fault(fault)) if fault.kind == Kind::Busy => {}
            Err(Missed::Fault(fault)) => return Err(fault),
        }
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }
    match work().await {
        Ok(done) => Ok(done),
        Err(Missed::Taken(error)) => Err(Fault::busy().caused_by(error)),
        Err(Missed::Fault(fault)) => Err(fault),
    }
}

/// The record that a repeated request was answered with, and its version then.
///
/// # Errors
/// INTERNAL if the answer holds no record of this kind.
pub(crate) fn answered(answer: &Answer, kind: &str) -> Result<(RecordId, i64), Fault> {
    let found = answer.records.iter().find(|(of, ..)| of == kind);
    found
        .map(|(_, id, version)| (*id, *version))
        .ok_or_else(|| Fault::bug("a repeated request without its record"))
}
