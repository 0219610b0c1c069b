//! Where API keys and the roles and limits of tenants are kept: the customer service, in this process or another. What it
//! says is believed for two seconds, and asked once at a time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use moka::future::Cache;
use regard_types::{CallerLimits, Fault, Micros};

/// How long an answer is believed: a revoked key works no longer than that.
pub(super) const BELIEVED: Duration = Duration::from_secs(2);
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
}

impl Believed {
    pub fn new(directory: Arc<dyn Directory>) -> Self {
        Self {
            directory,
            keys: Cache::builder()
                .max_capacity(KEPT)
                .time_to_live(BELIEVED)
                .build(),
            tenants: Cache::builder()
                .max_capacity(KEPT)
                .time_to_live(BELIEVED)
                .build(),
        }
    }

    /// Whose key it is, and until when that holds.
    pub async fn api_key(&self, prefix: &str, digest: [u8; 32]) -> Result<Fresh<Verdict>, Fault> {
        let ask = async {
            // From before the question: what changes while it is answered is not missed for longer.
            let until = Instant::now() + BELIEVED;
            let verdict = self.directory.api_key(prefix, digest).await?;
            Ok::<_, Fault>((verdict.map(Arc::new), until))
        };
        let found = self.keys.try_get_with(digest, ask).await;
        found.map_err(|fault| away(&fault))
    }

    /// A tenant, and until when that holds.
    pub async fn tenant(&self, name: &str) -> Result<Fresh<TenantAccess>, Fault> {
        let ask = async {
            let until = Instant::now() + BELIEVED;
            let tenant = self.directory.tenant(name).await?;
            Ok::<_, Fault>((tenant.map(Arc::new), until))
        };
        let found = self.tenants.try_get_with_by_ref(name, ask).await;
        found.map_err(|fault| away(&fault))
    }
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

    /// Counts questions; the answer takes a moment.
    struct Slow(AtomicUsize);

    #[tonic::async_trait]
    impl Directory for Slow {
        async fn api_key(&self, _: &str, _: [u8; 32]) -> Result<Option<Verdict>, Fault> {
            self.0.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(20)).await;
            Ok(None)
        }

        async fn tenant(&self, name: &str) -> Result<Option<TenantAccess>, Fault> {
            self.0.fetch_add(1, Ordering::SeqCst);
            if name == "away" {
                return Err(Fault::down("the database"));
            }
            Ok(Some(TenantAccess::default()))
        }
    }

    #[tokio::test]
    async fn many_ask_once() {
        let slow = Arc::new(Slow(AtomicUsize::new(0)));
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
}
