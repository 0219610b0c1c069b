//! What the watchers of a process share.

use std::sync::{Arc, PoisonError, RwLock};

use tokio::sync::Notify;
use uuid::Uuid;

pub(crate) struct Hub {
    epoch: RwLock<Uuid>,
    wake: Arc<Notify>,
}

impl Hub {
    pub fn new(epoch: Uuid) -> Self {
        Self {
            epoch: RwLock::new(epoch),
            wake: Arc::new(Notify::new()),
        }
    }

    pub fn epoch(&self) -> Uuid {
        *self.epoch.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn wake(&self) {
        self.wake.notify_one();
    }

    pub fn close(&self) {}
}
