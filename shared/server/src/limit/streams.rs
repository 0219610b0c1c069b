//! Open streams, counted: in total and by tenant, so that no tenant takes the room of all others.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use regard_types::TenantId;

pub(super) struct Streams {
    open: Mutex<Open>,
    most: usize,
    per_tenant: usize,
}

#[derive(Default)]
struct Open {
    all: usize,
    /// As many entries as there are streams, at most.
    by_tenant: HashMap<TenantId, usize>,
}

impl Streams {
    /// Half of the room is one tenant's share.
    pub(super) fn new(most: usize) -> Self {
        Self {
            open: Mutex::default(),
            most,
            per_tenant: most.div_ceil(2),
        }
    }

    /// Counts a stream of a tenant; or else the limit that is reached. One of the suite's own servers (none) always has
    /// room: without it every tenant's scores would go stale. [`Streams::leave`] gives the place back.
    pub(super) fn enter(&self, tenant: Option<TenantId>) -> Result<(), usize> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tenant) = tenant {
            if open.all >= self.most {
                return Err(self.most);
            }
            let here = open.by_tenant.get(&tenant).copied().unwrap_or(0);
            if here >= self.per_tenant {
                return Err(self.per_tenant);
            }
            open.by_tenant.insert(tenant, here + 1);
        }
        open.all += 1;
        Ok(())
    }

    pub(super) fn leave(&self, tenant: Option<TenantId>) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.all = open.all.saturating_sub(1);
        if let Some(tenant) = tenant
            && let Some(here) = open.by_tenant.get_mut(&tenant)
        {
            *here -= 1;
            if *here == 0 {
                open.by_tenant.remove(&tenant);
            }
        }
    }

    /// Open now.
    pub(super) fn open(&self) -> usize {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).all
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use regard_types::Uuid;

    use super::*;

    #[test]
    fn a_tenant_takes_half_and_the_suite_s_own_always_fit() {
        let streams = Streams::new(4);
        let tenant = |n| Some(TenantId(Uuid::from_u128(n)));
        assert_eq!(
            [1, 1, 1].map(|n| streams.enter(tenant(n)).is_ok()),
            [true, true, false]
        );
        assert_eq!(
            [2, 2].map(|n| streams.enter(tenant(n)).is_ok()),
            [true, true]
        );
        assert_eq!(streams.enter(tenant(3)), Err(4));
        streams.enter(None).unwrap();
        assert_eq!(streams.open(), 5);
        streams.leave(None);
        streams.leave(tenant(1));
        streams.enter(tenant(3)).unwrap();
        for n in [1, 2, 2, 3] {
            streams.leave(tenant(n));
        }
        assert_eq!(streams.open(), 0);
        assert!(streams.open.lock().unwrap().by_tenant.is_empty());
    }
}
