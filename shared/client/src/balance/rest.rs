//! A server that refuses is left alone for a while: it answers faster than one that works, and would look the less busy.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Shortest and longest rest. Between them it lasts as long as the server has refused so far.
const REST: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(5));
/// Who refuses for longer without one success between fails; shorter, it may be busy.
const BUSY: Duration = Duration::from_secs(1);

/// What is known of a server's refusals.
#[derive(Debug, Default)]
pub(super) struct Rest {
    /// Whether there is a row: what most calls read, without a lock.
    refusing: AtomicBool,
    row: Mutex<Option<Row>>,
}

/// Refusals without a success between them.
#[derive(Debug, Clone, Copy)]
struct Row {
    since: Instant,
    until: Instant,
}

/// Whom to prefer: the lesser.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Grade {
    /// It answers, or is due to be tried again.
    Well,
    /// It rests since a moment.
    Resting,
    /// It has refused for long.
    Failing,
}

impl Rest {
    /// An answer refused the call, or broke off; the server asked for a pause of `asked`.
    pub(super) fn refused(&self, asked: Duration) {
        let now = Instant::now();
        let mut row = self.row();
        let since = row.map_or(now, |row| row.since);
        let pause = now
            .duration_since(since)
            .clamp(REST.0, REST.1)
            .max(asked.min(REST.1));
        *row = Some(Row {
            since,
            until: now + pause,
        });
        self.refusing.store(true, Ordering::Relaxed);
    }

    /// An answer came.
    pub(super) fn answered(&self) {
        if self.refusing.load(Ordering::Relaxed) {
            *self.row() = None;
            self.refusing.store(false, Ordering::Relaxed);
        }
    }

    pub(super) fn grade(&self) -> Grade {
        if !self.refusing.load(Ordering::Relaxed) {
            return Grade::Well;
        }
        let now = Instant::now();
        match *self.row() {
            Some(row) if now < row.until && now.duration_since(row.since) < BUSY => Grade::Resting,
            Some(row) if now < row.until => Grade::Failing,
            _ => Grade::Well,
        }
    }

    /// A call goes there: after a rest it is the one that tries, and others wait for what becomes of it.
    pub(super) fn tried(&self) {
        if self.refusing.load(Ordering::Relaxed)
            && let Some(row) = self.row().as_mut()
        {
            row.until = row.until.max(Instant::now() + REST.0);
        }
    }

    fn row(&self) -> std::sync::MutexGuard<'_, Option<Row>> {
        // Whole at any time: nothing panics between two writes.
        self.row
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rest_grows_until_an_answer_ends_it() {
        let rest = Rest::default();
        assert_eq!(rest.grade(), Grade::Well);
        rest.refused(Duration::ZERO);
        assert_eq!(rest.grade(), Grade::Resting);
        let ago = |by: u64| Instant::now().checked_sub(Duration::from_millis(by));
        // It has refused for two seconds, and the last rest is over.
        if let Some((since, until)) = ago(2_000).zip(ago(1)) {
            *rest.row() = Some(Row { since, until });
            assert_eq!(rest.grade(), Grade::Well);
            rest.tried();
            assert_eq!(rest.grade(), Grade::Failing, "one tries, not all");
            rest.refused(Duration::ZERO);
            let until = rest.row().map(|row| row.until);
            assert!(until > Instant::now().checked_add(Duration::from_millis(1_500)));
        }
        rest.answered();
        assert_eq!(rest.grade(), Grade::Well);
        // A server's wish counts, in bounds.
        rest.refused(Duration::from_secs(3_600));
        let until = rest.row().map(|row| row.until);
        assert!(until <= Instant::now().checked_add(REST.1));
        assert!(until > Instant::now().checked_add(REST.1 / 2));
    }
}
