//! The whole suite in this process, on fresh stores.

use std::time::{Duration, Instant};

use regard_client::{Client, Options};
use regard_testkit::{CacheKind, Engine, TestCache, TestStore};
use regard_types::{Caller, Clock};

use crate::plan::{Open, Plan, ids};

/// The suite on fresh stores.
pub struct World {
    /// What was opened.
    pub plan: Plan,
    /// Of customer, feedback and scoring.
    pub stores: [TestStore; 3],
    /// The cache.
    pub cache: TestCache,
    open: Option<Open>,
}

impl World {
    /// Opens all three services on this engine and cache.
    ///
    /// # Panics
    /// When something cannot be had.
    pub async fn new(engine: Engine, cache: CacheKind) -> Self {
        Self::with(engine, cache, Plan::default()).await
    }

    /// As [`World::new`], with further settings of the plan.
    ///
    /// # Panics
    /// When something cannot be had.
    pub async fn with(engine: Engine, cache: CacheKind, plan: Plan) -> Self {
        let cache = TestCache::new(cache).await;
        let stores = [
            TestStore::new(engine).await,
            TestStore::new(engine).await,
            TestStore::new(engine).await,
        ];
        let plan = Plan {
            customer: stores[0].url.clone(),
            feedback: stores[1].url.clone(),
            scoring: stores[2].url.clone(),
            redis: cache.redis_url.clone().unwrap_or_default(),
            ..plan
        };
        let open = plan.open(&Clock::System).await.unwrap();
        Self {
            plan,
            stores,
            cache,
            open: Some(open),
        }
    }

    /// Opens all again, with what the plan now says.
    ///
    /// # Panics
    /// When something cannot be had.
    pub async fn open_again(&mut self) {
        self.stop().await;
        self.open = Some(self.plan.open(&Clock::System).await.unwrap());
    }

    /// What runs.
    ///
    /// # Panics
    /// After [`World::stop`].
    #[must_use]
    pub fn open(&self) -> &Open {
        self.open.as_ref().unwrap()
    }

    /// A client of the tenant `default`.
    #[must_use]
    pub fn client(&self) -> Client {
        self.client_of("default")
    }

    /// A client of the operator, who may make tenants.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn operator(&self) -> Client {
        let mut operator = Caller::new(ids().tenant_id("default"), "default", "operator");
        operator.all_tenants = true;
        let channel = self.open().pipe.channel_of(operator);
        Client::over(channel, &Options::default()).unwrap()
    }

    /// A client of a tenant.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn client_of(&self, tenant: &str) -> Client {
        let channel =
            self.open()
                .pipe
                .channel_of(Caller::new(ids().tenant_id(tenant), tenant, "test"));
        Client::over(channel, &Options::default()).unwrap()
    }

    /// Stops everything in order.
    pub async fn stop(&mut self) {
        if let Some(open) = self.open.take() {
            open.running.stop().await;
        }
    }
}

/// Asks until the answer is there.
///
/// # Panics
/// After a minute, with what was awaited.
pub async fn until<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let began = Instant::now();
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "waited a minute for {what}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
