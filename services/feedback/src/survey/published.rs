//! Published surveys in the process: they never change, so they need no invalidation.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use regard_types::{RecordId, TenantId};

use super::domain::{State, Survey};

/// How many surveys are kept; at the limit the memory starts anew, which costs one read a survey.
const KEPT: usize = 10_000;

#[derive(Debug, Default)]
pub(super) struct Published(RwLock<HashMap<(TenantId, RecordId), Arc<Survey>>>);

impl Published {
    pub fn get(&self, tenant: TenantId, id: RecordId) -> Option<Arc<Survey>> {
        self.0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&(tenant, id))
            .cloned()
    }

    /// Keeps it if it is published. Only what is committed may be put here.
    pub fn put(&self, tenant: TenantId, survey: Arc<Survey>) {
        if survey.state == State::Published {
            let mut kept = self.0.write().unwrap_or_else(PoisonError::into_inner);
            if kept.len() >= KEPT {
                kept.clear();
            }
            kept.insert((tenant, survey.id), survey);
        }
    }
}
