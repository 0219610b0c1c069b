//! Repeating a mutation that lost a race. Two writers of one source key may both find nothing and both insert: the
//! loser's transaction is gone, and its second look finds the winner's row.

use std::future::Future;
use std::time::Duration;

use regard_types::{Fault, Kind};

use crate::error::StoreError;

/// Tries of a write that loses against others.
const TRIES: u32 = 8;

/// Repeats a whole write while it loses against others, with growing, jittered pauses (2 to 256 ms).
///
/// # Errors
/// The last fault.
pub async fn again<T, F, W>(work: F) -> Result<T, Fault>
where
    F: Fn() -> W,
    W: Future<Output = Result<T, Fault>>,
{
    for exponent in 1..TRIES {
        match work().await {
            Err(fault) if fault.kind == Kind::Busy => {
                let pause = 1_u64 << exponent;
                let jitter = rand::random_range(0..=pause);
                tokio::time::sleep(Duration::from_millis(pause + jitter)).await;
            }
            done => return done,
        }
    }
    work().await
}

/// Another writer was faster with the same record: read again and decide anew.
#[must_use]
pub fn lost(error: StoreError) -> Fault {
    match error {
        StoreError::Taken(_) | StoreError::Stale => Fault::busy().caused_by(error),
        other => other.into(),
    }
}

/// Why an attempt ended without a result, where every answer of the store that tells of a faster writer is a lost race.
#[derive(Debug)]
pub struct Missed(Fault);

impl From<Fault> for Missed {
    fn from(fault: Fault) -> Self {
        Self(fault)
    }
}

impl From<StoreError> for Missed {
    fn from(error: StoreError) -> Self {
        Self(lost(error))
    }
}

impl From<Missed> for Fault {
    fn from(missed: Missed) -> Self {
        missed.0
    }
}

/// [`again`] for work whose store's answers are all taken as [`lost`] takes them.
///
/// # Errors
/// The last attempt's fault.
pub async fn settle<T, F, W>(work: F) -> Result<T, Fault>
where
    F: Fn() -> W,
    W: Future<Output = Result<T, Missed>>,
{
    again(|| async { work().await.map_err(Fault::from) }).await
}
