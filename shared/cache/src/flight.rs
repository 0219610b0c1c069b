use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::{Entry, Key, Vector};

const SHARDS: usize = 64;

/// Fills under way: one a key and need. Readers with different needs do not wait for each other, since a
/// fill for a need may wait for changes that the others do not ask for.
pub(crate) struct Flights {
    shards: Box<[Shard]>,
}

type What = (Key, Option<Vector>);
type Shard = Arc<Mutex<HashMap<What, watch::Receiver<State>>>>;

#[derive(Clone)]
pub(crate) enum State {
    Running,
    Done(Entry),
    Failed,
}

/// A caller's part in a fill.
pub(crate) enum Part {
    /// Fill, then say how it went. Dropped without a word, the next caller leads.
    Lead(Lead),
    /// Wait for the one who fills.
    Follow(watch::Receiver<State>),
}

pub(crate) struct Lead {
    shard: Shard,
    what: What,
    tell: watch::Sender<State>,
}

impl Flights {
    pub(crate) fn new() -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
        }
    }

    pub(crate) fn join(&self, key: &Key, need: Option<&Vector>) -> Part {
        let shard = &self.shards[key.stripe(SHARDS)];
        let what = (*key, need.cloned());
        let mut flights = lock(shard);
        if let Some(running) = flights.get(&what) {
            return Part::Follow(running.clone());
        }
        let (tell, listen) = watch::channel(State::Running);
        flights.insert(what.clone(), listen);
        Part::Lead(Lead {
            shard: Arc::clone(shard),
            what,
            tell,
        })
    }
}

impl Lead {
    pub(crate) fn done(self, entry: &Entry) {
        self.tell.send_replace(State::Done(entry.clone()));
    }

    pub(crate) fn failed(self) {
        self.tell.send_replace(State::Failed);
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        lock(&self.shard).remove(&self.what);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // The map is whole after every statement, whoever panicked.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
