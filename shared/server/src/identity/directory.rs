//! Where API keys and the roles and limits of tenants are kept: the customer service, in this process or another. What it
//! says is believed for two seconds, and asked once at a time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::future::Cache;
use regard_types::{CallerLimits, Fault, Micros, Scope};
use tokio::task::JoinHandle;

/// How long an answer is believed: a revoked key works no longer than that.
pub(super) const BELIEVED: Duration = Duration::from_secs(2);
/// How long is waited for what can be done without.
const PATIENCE: Duration = Duration::from_millis(100);
/// Answers that are kept; more only cost asking again.
pub(super) const KEPT: u64 = 10_000;

/// What is known of a tenant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TenantAccess {
    /// Its name.
    pub name: String,
    /// How much each of its callers may ask for.
    pub limits: CallerLimits,
    /// Its own roles: permissions by name.
    pub roles: BTreeMap<String, Vec<String>>,
}

/// Whose API key it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The caller's name.
    pub name: String,
    /// The names of its roles.
    pub roles: Vec<String>,
    /// Its tenant.
    pub tenant: TenantAccess,
    /// When the key ends by itself.
    pub expires: Option<Micros>,
}

/// Knows API keys and tenants.
#[tonic::async_trait]
pub trait Directory: Send + Sync + 'static {
    /// Whose key it is: its first 16 characters and the SHA-256 of all of it. None for one that is unknown, revoked or
    /// expired.
    ///
    /// # Errors
    /// The directory cannot be reached.
    async fn api_key(&self, prefix: &str, digest: [u8; 32]) -> Result<Option<Verdict>, Fault>;

    /// The tenant of this name; none without a record.
    ///
    /// # Errors
    /// The directory cannot be reached.
    async fn tenant(&self, name: &str) -> Result<Option<TenantAccess>, Fault>;
}

/// An answer, and until when it is believed.
pub(super) type Fresh<T> = (Option<Arc<T>>, Instant);

/// A directory with what it said a moment ago.
#[derive(Clone)]
pub(super) struct Believed {
    directory: Arc<dyn Directory>,
    keys: Cache<[u8; 32], Fresh<Verdict>>,
    tenants: Cache<String, Fresh<TenantAccess>>,
    /// What was known last, however old.
    last: moka::sync::Cache<String, Arc<TenantAccess>>,
}

/// An answer is kept until it is no longer believed, however long it took to come.
struct Until;

impl<K, T> moka::Expiry<K, Fresh<T>> for Until {
    fn expire_after_create(&self, _: &K, fresh: &Fresh<T>, _: Instant) -> Option<Duration> {
        Some(fresh.1.saturating_duration_since(Instant::now()))
    }
}

impl Believed {
    pub fn new(directory: Arc<dyn Directory>) -> Self {
        Self {
            directory,
            keys: Cache::builder()
                .max_capacity(KEPT)
                .expire_after(Until)
                .build(),
            tenants: Cache::builder()
                .max_capacity(KEPT)
                .expire_after(Until)
                .build(),
            last: moka::sync::Cache::new(KEPT),
        }
    }

    /// Whose key it is, and until when that holds.
    pub async fn api_key(&self, prefix: &str, digest: [u8; 32]) -> Result<Fresh<Verdict>, Fault> {
        if let Some(fresh) = self.keys.get(&digest).await {
            return Ok(fresh);
        }
        let (this, prefix) = (self.clone(), prefix.to_owned());
        let asked = outliving(async move {
            let ask = async {
                // From before the question: what changes while it is answered is not missed for longer.
                let until = Instant::now() + BELIEVED;
                let verdict = this.directory.api_key(&prefix, digest).await?;
                Ok::<_, Fault>((verdict.map(Arc::new), until))
            };
            let found = this.keys.try_get_with(digest, ask).await;
            found.map_err(|fault| away(&fault))
        });
        asked.await.map_err(Fault::bug)?
    }

    /// A tenant, and until when that holds.
    pub async fn tenant(&self, name: &str) -> Result<Fresh<TenantAccess>, Fault> {
        if let Some(fresh) = self.tenants.get(name).await {
            return Ok(fresh);
        }
        self.ask_tenant(name).await.map_err(Fault::bug)?
    }

    /// The same within a tenth of a second: then what was known last, perhaps nothing.
    pub async fn tenant_soon(&self, name: &str) -> Fresh<TenantAccess> {
        if let Some(fresh) = self.tenants.get(name).await {
            return fresh;
        }
        match tokio::time::timeout(PATIENCE, self.ask_tenant(name)).await {
            Ok(Ok(Ok(fresh))) => fresh,
            _ => (self.last.get(name), Instant::now() + BELIEVED),
        }
    }

    fn ask_tenant(&self, name: &str) -> JoinHandle<Result<Fresh<TenantAccess>, Fault>> {
        let (this, name) = (self.clone(), name.to_owned());
        outliving(async move {
            let ask = async {
                let until = Instant::now() + BELIEVED;
                let tenant = this.directory.tenant(&name).await?.map(Arc::new);
                match &tenant {
                    Some(tenant) => this.last.insert(name.clone(), Arc::clone(tenant)),
                    None => this.last.invalidate(&name),
                }
                Ok::<_, Fault>((tenant, until))
            };
            let found = this.tenants.try_get_with_by_ref(&name, ask).await;
            found.map_err(|fault| away(&fault))
        })
    }
}

/// Goes on when its caller's time is up: what it finds is for the next one.
fn outliving<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    let scope = Scope::current().unwrap_or_default();
    tokio::spawn(scope.run(work))
}

/// What all who waited for the answer are told.
fn away(fault: &Fault) -> Fault {
    tracing::warn!(%fault, "the directory of callers does not answer");
    Fault::down("the directory of callers")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Counts questions; the answer takes a moment, and a long one while it is black-holed.
    #[derive(Default)]
    struct Slow(AtomicUsize, AtomicUsize);

    #[tonic::async_trait]
    impl Directory for Slow {
        async fn api_key(&self, _: &str, _: [u8; 32]) -> Result<Option<Verdict>, Fault> {
            self.0.fetch_add(1, Ordering::SeqCst);
            let extra = u64::try_from(self.1.load(Ordering::SeqCst)).unwrap();
            tokio::time::sleep(Duration::from_millis(20 + extra)).await;
            Ok(None)
        }

        async fn tenant(&self, name: &str) -> Result<Option<TenantAccess>, Fault> {
            self.0.fetch_add(1, Ordering::SeqCst);
            if name == "away" {
                return Err(Fault::down("the database"));
            }
            let extra = u64::try_from(self.1.load(Ordering::SeqCst)).unwrap();
            tokio::time::sleep(Duration::from_millis(extra)).await;
            Ok(Some(TenantAccess {
                name: name.to_owned(),
                ..TenantAccess::default()
            }))
        }
    }

    #[tokio::test]
    async fn many_ask_once() {
        let slow = Arc::new(Slow::default());
        let believed = Believed::new(slow.clone());
        let asks = (0..50).map(|_| believed.api_key("rgd_", [1; 32]));
        for found in futures::future::join_all(asks).await {
            let (verdict, until) = found.unwrap();
            assert!(verdict.is_none() && until <= Instant::now() + BELIEVED);
        }
        assert_eq!(slow.0.load(Ordering::SeqCst), 1);
        // A failure is told to all, and not believed.
        for _ in 0..2 {
            let fault = believed.tenant("away").await.unwrap_err();
            assert_eq!(fault.reason, "STORE_UNAVAILABLE");
        }
        assert_eq!(slow.0.load(Ordering::SeqCst), 3);
    }

    #[tokio::test]
    async fn limits_are_not_waited_for_and_the_last_known_ones_count() {
        let slow = Arc::new(Slow::default());
        let believed = Believed::new(slow.clone());
        assert!(believed.tenant_soon("shop").await.0.is_some());
        slow.1.store(2_500, Ordering::SeqCst); // black-holed
        tokio::time::sleep(BELIEVED).await;
        let began = Instant::now();
        assert_eq!(believed.tenant_soon("shop").await.0.unwrap().name, "shop");
        assert!(believed.tenant_soon("new").await.0.is_none());
        assert!(began.elapsed() < Duration::from_millis(2_400));
    }

    #[tokio::test]
    async fn an_answer_is_for_the_next_one_and_is_believed_from_the_question_on() {
        let slow = Arc::new(Slow::default());
        slow.1.store(980, Ordering::SeqCst);
        let believed = Believed::new(slow.clone());
        let hurry = Duration::from_millis(50);
        let asked = Instant::now();
        let given_up = tokio::time::timeout(hurry, believed.api_key("rgd_", [1; 32])).await;
        assert!(given_up.is_err());
        while believed.keys.get(&[1; 32]).await.is_none() {
            assert!(asked.elapsed() < BELIEVED, "the answer was thrown away");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(slow.0.load(Ordering::SeqCst), 1);
        tokio::time::sleep((asked + BELIEVED + hurry).saturating_duration_since(Instant::now()))
            .await;
        assert!(
            believed.keys.get(&[1; 32]).await.is_none(),
            "believed for too long"
        );
    }
}
