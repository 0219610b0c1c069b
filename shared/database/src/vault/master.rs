//! The key that wraps data keys. It is kept outside of the store.

use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::error::StoreError;

/// Bytes of a data key.
pub type KeyBytes = Zeroizing<[u8; 32]>;

/// Why a master key did not do its work. Never holds key material.
#[derive(Debug, thiserror::Error)]
pub enum MasterError {
    /// The key service does not answer, or not in time; trying again may help.
    #[error("{0}")]
    Away(String),
    /// The key or the wrapped bytes are not the right ones.
    #[error("{0}")]
    Wrong(String),
}

impl From<MasterError> for StoreError {
    fn from(error: MasterError) -> Self {
        match error {
            MasterError::Away(_) => Self::Down(error.into()),
            MasterError::Wrong(_) => Self::Corrupt(error.into()),
        }
    }
}

/// Wraps and unwraps data keys. An implementation may call a key service: it is never asked within a transaction that
/// writes.
#[async_trait::async_trait]
pub trait MasterKey: Send + Sync {
    /// Names the key without telling it: the same for the same key, at most 128 characters.
    fn id(&self) -> &str;

    /// Encrypts a data key. `context` says what it is for; unwrapping needs the same.
    async fn wrap(&self, key: &KeyBytes, context: &[u8]) -> Result<Vec<u8>, MasterError>;

    /// Decrypts a data key.
    async fn unwrap(&self, wrapped: &[u8], context: &[u8]) -> Result<KeyBytes, MasterError>;
}

/// The master key in use and, while it is being replaced, the other one.
#[derive(Clone)]
pub struct MasterKeys {
    pub(super) active: Arc<dyn MasterKey>,
    pub(super) former: Option<Arc<dyn MasterKey>>,
}

impl fmt::Debug for MasterKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MasterKeys")
            .field("active", &self.active.id())
            .field("former", &self.former.as_ref().map(|key| key.id()))
            .finish()
    }
}

impl MasterKeys {
    /// One master key.
    pub fn new(active: impl MasterKey + 'static) -> Self {
        Self {
            active: Arc::new(active),
            former: None,
        }
    }

    /// A further key that is accepted for what it has wrapped. Whatever it wrapped is wrapped anew by the active one when
    /// the database is opened.
    #[must_use]
    pub fn with_former(mut self, former: impl MasterKey + 'static) -> Self {
        self.former = Some(Arc::new(former));
        self
    }

    pub(super) fn by_id(&self, id: &str) -> Option<&Arc<dyn MasterKey>> {
        [Some(&self.active), self.former.as_ref()]
            .into_iter()
            .flatten()
            .find(|key| key.id() == id)
    }
}
