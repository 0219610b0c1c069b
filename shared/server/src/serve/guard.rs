//! What a connection does: the calls on it, counted, so that one that makes none does not stay for ever, and so that its
//! streams can be asked to end.

use std::net::IpAddr;
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
    /// Streams that anyone may open.
    public: AtomicUsize,
    /// Answers whose reader has something to take: by the turn in which they began to wait for it, of three.
    unread: [AtomicUsize; 3],
    turn: AtomicUsize,
    /// Cancelled when the connection's open server streams shall end.
    leaving: CancellationToken,
    /// Where it comes from.
    peer: Option<IpAddr>,
}

/// Streams of health and reflection on one connection at most.
pub(crate) const PUBLIC: usize = 4;

/// One call, from its head to the end of its answer.
pub(crate) struct OpenCall {
    guard: Arc<Guard>,
    /// A stream that anyone may open is no use of the connection.
    public: bool,
}

/// A part of an answer that its reader has not taken yet.
pub(crate) struct Unread {
    guard: Arc<Guard>,
    turn: usize,
}

impl Guard {
    pub(super) fn new(leaving: CancellationToken, peer: Option<IpAddr>) -> Arc<Self> {
        Arc::new(Self {
            started: Instant::now(),
            open: AtomicUsize::new(0),
            last: AtomicU64::new(0),
            public: AtomicUsize::new(0),
            unread: std::array::from_fn(|_| AtomicUsize::new(0)),
            turn: AtomicUsize::new(0),
            leaving,
            peer,
        })
    }

    pub(super) fn call(self: &Arc<Self>) -> OpenCall {
        self.open.fetch_add(1, Ordering::Relaxed);
        OpenCall {
            guard: Arc::clone(self),
            public: false,
        }
    }

    /// Ends when its open server streams were asked to end.
    pub(super) async fn left(&self) {
        self.leaving.cancelled().await;
    }

    /// Ends when something was not read for `longest`, or up to twice as long.
    pub(super) async fn stalled(&self, longest: Duration) {
        loop {
            tokio::time::sleep(longest).await;
            let turn = self.turn.fetch_add(1, Ordering::Relaxed) + 1;
            // The place that is next holds what began to wait two turns ago.
            let old = self.unread.get((turn + 1) % 3);
            if old.is_some_and(|old| old.load(Ordering::Relaxed) > 0) {
                return;
            }
        }
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
        self.guard.leaving.clone()
    }

    /// Where the call comes from.
    pub(crate) fn peer(&self) -> Option<IpAddr> {
        self.guard.peer
    }

    /// It is a stream that anyone may open; false where the connection has too many of them.
    pub(crate) fn is_public(&mut self) -> bool {
        if self.guard.public.fetch_add(1, Ordering::Relaxed) >= PUBLIC {
            self.guard.public.fetch_sub(1, Ordering::Relaxed);
            return false;
        }
        self.public = true;
        self.guard.open.fetch_sub(1, Ordering::Relaxed);
        true
    }

    /// Its reader has something to take, until this is dropped.
    pub(crate) fn unread(&self) -> Unread {
        let guard = Arc::clone(&self.guard);
        let turn = guard.turn.load(Ordering::Relaxed) % 3;
        if let Some(unread) = guard.unread.get(turn) {
            unread.fetch_add(1, Ordering::Relaxed);
        }
        Unread { guard, turn }
    }
}

impl Drop for OpenCall {
    fn drop(&mut self) {
        if self.public {
            self.guard.public.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        let now = u64::try_from(self.guard.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.guard.last.fetch_max(now.max(1), Ordering::Relaxed);
        self.guard.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        if let Some(unread) = self.guard.unread.get(self.turn) {
            unread.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_read_in_time_stalls_nothing_and_what_is_not_does() {
        let guard = Guard::new(CancellationToken::new(), None);
        let longest = Duration::from_millis(700);
        let mut stalled = std::pin::pin!(guard.stalled(longest));
        let call = guard.call();
        for _ in 0..30 {
            let unread = call.unread();
            let read = tokio::time::timeout(Duration::from_millis(70), &mut stalled).await;
            assert!(read.is_err(), "it was read in time");
            drop(unread);
        }
        let _unread = call.unread();
        let began = tokio::time::Instant::now();
        stalled.await;
        assert!(began.elapsed() >= longest);
    }

    #[test]
    fn public_streams_are_few_and_no_use() {
        let guard = Guard::new(CancellationToken::new(), None);
        let mut calls: Vec<_> = (0..=PUBLIC).map(|_| guard.call()).collect();
        let taken = calls
            .iter_mut()
            .filter_map(|call| call.is_public().then_some(()));
        assert_eq!(taken.count(), PUBLIC);
        assert_eq!(guard.open.load(Ordering::Relaxed), 1);
        drop(calls);
        assert_eq!(guard.open.load(Ordering::Relaxed), 0);
        assert!(guard.call().is_public());
    }
}
