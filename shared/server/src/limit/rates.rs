//! How many calls a tenant and a caller may make: two token buckets for each call.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use regard_cache::Redis;
use regard_types::Caller;

use super::LimitSettings;
use super::bucket::Rate;
use super::buckets::{Buckets, Owner};
use super::lease;
use crate::caller::is_server;

/// Over a rate.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Over {
    /// `tenant` or `caller`.
    pub(crate) scope: &'static str,
    pub(crate) per_second: u32,
    /// Exactly until the next token.
    pub(crate) wait: Duration,
}

pub(crate) struct Rates {
    tenant: Option<Rate>,
    caller: Option<Rate>,
    buckets: Buckets,
    redis: Option<Arc<Redis>>,
    started: Instant,
}

impl Rates {
    pub(crate) fn new(settings: &LimitSettings, redis: Option<Arc<Redis>>) -> Self {
        Self {
            tenant: Rate::new(settings.tenant_per_second, settings.tenant_burst),
            caller: Rate::new(settings.caller_per_second, settings.caller_burst),
            buckets: Buckets::new(settings.buckets_max),
            redis,
            started: Instant::now(),
        }
    }

    /// Takes a token of the caller and one of its tenant, whose own limits go before the server's. The suite's own
    /// services are not limited.
    pub(crate) async fn pass(&self, caller: &Caller) -> Result<(), Over> {
        if is_server(caller) {
            return Ok(());
        }
        let one = Owner {
            tenant: caller.tenant,
            caller: Some(Arc::clone(&caller.id)),
        };
        if let Some(rate) = self.caller {
            self.take("caller", &one, rate).await?;
        }
        let all = Owner {
            tenant: caller.tenant,
            caller: None,
        };
        if let Some(rate) = Rate::or(caller.limits, self.tenant)
            && let Err(over) = self.take("tenant", &all, rate).await
        {
            // The call is not made: it costs the caller nothing.
            if let Some(rate) = self.caller {
                let now = self.now();
                let tokens = self.buckets.of(&one, now);
                tokens.own.put_back(rate);
                tokens.lease.put_back(now);
            }
            return Err(over);
        }
        Ok(())
    }

    async fn take(&self, scope: &'static str, owner: &Owner, rate: Rate) -> Result<(), Over> {
        let now = self.now();
        let tokens = self.buckets.of(owner, now);
        let over = |wait| Over {
            scope,
            per_second: rate.per_second,
            wait: Duration::from_nanos(wait),
        };
        // Whatever the replicas take together, one alone takes no more than that.
        tokens.own.take(rate, now).map_err(over)?;
        let Some(redis) = &self.redis else {
            return Ok(());
        };
        let started = self.started;
        let taken = lease::take(
            redis,
            &tokens,
            || key(owner),
            rate,
            now,
            move || since(started),
        )
        .boxed() // its type alone would be too deep for every call's
        .await;
        taken.map_err(|wait| {
            tokens.own.put_back(rate);
            over(wait)
        })
    }

    fn now(&self) -> u64 {
        since(self.started)
    }
}

fn since(started: Instant) -> u64 {
    u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX)
}

/// The bucket's key in Redis. A caller's name is digested: it may hold anything.
fn key(owner: &Owner) -> String {
    use sha2::{Digest as _, Sha256};
    let tenant = owner.tenant.0.simple();
    match &owner.caller {
        None => format!("regard:limit:v1:{tenant}"),
        Some(caller) => {
            let digest = Sha256::digest(caller.as_bytes());
            let short = digest
                .iter()
                .take(16)
                .fold(0_u128, |n, b| n << 8 | u128::from(*b));
            format!("regard:limit:v1:{tenant}:{short:032x}")
        }
    }
}
