//! Lanes of one process: a writer takes the one that was longest unused, so that no two writers of a process meet on a
//! lane's counter row, and waits here (in order of arrival), before it holds any lock of the store.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::StoreError;

pub(crate) struct Lanes {
    free: Mutex<VecDeque<u16>>,
    permits: Arc<Semaphore>,
    wait: Duration,
}

/// A lane that this writer alone has in this process, until dropped.
pub(crate) struct LaneGuard {
    pub lane: u16,
    lanes: Arc<Lanes>,
    _permit: OwnedSemaphorePermit,
}

impl Lanes {
    pub fn new(count: u16, wait: Duration) -> Arc<Self> {
        // replicas begin at different lanes
        let start = rand::random_range(0..count.max(1));
        let free = (0..count).map(|i| (i + start) % count).collect();
        Arc::new(Self {
            free: Mutex::new(free),
            permits: Arc::new(Semaphore::new(usize::from(count))),
            wait,
        })
    }

    pub async fn checkout(self: &Arc<Self>) -> Result<LaneGuard, StoreError> {
        let permit = tokio::time::timeout(self.wait, self.permits.clone().acquire_owned())
            .await
            .map_err(|_| StoreError::Busy("no free lane in time".into()))?
            .map_err(|e| StoreError::Down(e.into()))?;
        let lane = self
            .free
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop_front();
        let lane = lane.ok_or_else(|| StoreError::corrupt("a permit without a lane"))?;
        Ok(LaneGuard {
            lane,
            lanes: self.clone(),
            _permit: permit,
        })
    }
}

impl Drop for LaneGuard {
    fn drop(&mut self) {
        // the permit is released after this body: whoever gets it finds the lane
        self.lanes
            .free
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push_back(self.lane);
    }
}
