//! What a connection does: the calls on it, counted, so that one that makes none does not stay for ever, and so that its
//! streams can be asked to end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

/// One connection's calls.
pub(crate) struct Guard {
    started: Instant,
    open: AtomicUsize,
    /// Milliseconds after the start at which the last call ended; 0 before the first.
    last: AtomicU64,
    /// Cancelled when the connection's open server streams shall end.
    leaving: CancellationToken,
}

/// One call, from its head to the end of its answer.
pub(crate) struct OpenCall(Arc<Guard>);

impl Guard {
    pub(super) fn new(leaving: CancellationToken) -> Arc<Self> {
        Arc::new(Self {
            started: Instant::now(),
            open: AtomicUsize::new(0),
            last: AtomicU64::new(0),
            leaving,
        })
    }

    pub(super) fn call(self: &Arc<Self>) -> OpenCall {
        self.open.fetch_add(1, Ordering::Relaxed);
        OpenCall(Arc::clone(self))
    }

    /// Asks the open server streams to end.
    pub(super) fn leave(&self) {
        self.leaving.cancel();
    }

    /// Ends when no first call came within `first`, or none was open for `idle`.
    pub(super) async fn unused(&self, first: Duration, idle: Duration) {
        loop {
            let last = Duration::from_millis(self.last.load(Ordering::Relaxed));
            let open = self.open.load(Ordering::Relaxed) > 0;
            let until = if last.is_zero() && !open {
                first
            } else {
                last + idle
            };
            let left = until.saturating_sub(self.started.elapsed());
            if left.is_zero() && !open {
                return;
            }
            let pause = if open { idle } else { left };
            tokio::time::sleep(pause.max(Duration::from_millis(10))).await;
        }
    }
}

impl OpenCall {
    /// Tells when the call's stream shall end.
    pub(crate) fn leaving(&self) -> CancellationToken {
        self.0.leaving.clone()
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        let now = u64::try_from(self.0.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.0.last.fetch_max(now.max(1), Ordering::Relaxed);
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}
