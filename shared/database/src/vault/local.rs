//! A master key that this process holds: 32 bytes from a file or the environment.

use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

use super::master::{KeyBytes, MasterError, MasterKey};
use super::seal::{NONCE, open_with, seal_with};

/// 32 bytes; wiped when dropped.
pub struct LocalKey {
    id: String,
    bytes: KeyBytes,
}

impl std::fmt::Debug for LocalKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LocalKey({})", self.id)
    }
}

impl LocalKey {
    /// A key of these bytes. Its id is derived by HKDF-SHA-256 (RFC 5869), so that it does not tell the key.
    #[must_use]
    pub fn new(bytes: [u8; 32]) -> Self {
        let bytes = Zeroizing::new(bytes);
        let mut name = [0_u8; 8];
        // 8 bytes are always a valid length.
        let expanded = Hkdf::<Sha256>::new(Some(b"regard master key v1"), bytes.as_slice())
            .expand(b"id", &mut name);
        debug_assert!(expanded.is_ok());
        let id = format!("local-{:016x}", u64::from_be_bytes(name));
        Self { id, bytes }
    }

    /// Reads 64 hexadecimal digits.
    ///
    /// # Errors
    /// [`MasterError::Wrong`] for any other text, without repeating it.
    pub fn parse_hex(text: &str) -> Result<Self, MasterError> {
        let secret = regard_types::IdSecret::parse_hex(text)
            .map_err(|error| MasterError::Wrong(error.to_string()))?;
        Ok(Self::new(secret.0))
    }
}

#[async_trait::async_trait]
impl MasterKey for LocalKey {
    fn id(&self) -> &str {
        &self.id
    }

    async fn wrap(&self, key: &KeyBytes, context: &[u8]) -> Result<Vec<u8>, MasterError> {
        let mut out = Vec::new();
        seal_with(&self.bytes, context, key.as_slice(), &mut out)
            .map_err(|_| MasterError::Away("the system gives no random numbers".to_owned()))?;
        Ok(out)
    }

    async fn unwrap(&self, wrapped: &[u8], context: &[u8]) -> Result<KeyBytes, MasterError> {
        let wrong = || MasterError::Wrong(format!("master key {} does not open this", self.id));
        if wrapped.len() < NONCE {
            return Err(wrong());
        }
        let plain = Zeroizing::new(open_with(&self.bytes, context, wrapped).ok_or_else(wrong)?);
        let bytes = <[u8; 32]>::try_from(plain.as_slice()).map_err(|_| wrong())?;
        Ok(Zeroizing::new(bytes))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[tokio::test]
    async fn a_key_opens_what_it_wrapped_for_the_same_use_alone() {
        let key = LocalKey::new([1; 32]);
        let data = Zeroizing::new([9; 32]);
        let wrapped = key.wrap(&data, b"a").await.unwrap();
        assert_eq!(key.unwrap(&wrapped, b"a").await.unwrap(), data);
        assert!(key.unwrap(&wrapped, b"b").await.is_err());
        let other = LocalKey::new([2; 32]);
        assert_ne!(other.id(), key.id());
        let error = other.unwrap(&wrapped, b"a").await.unwrap_err();
        assert!(matches!(error, MasterError::Wrong(_)), "{error}");
        for cut in 0..wrapped.len() {
            assert!(key.unwrap(&wrapped[..cut], b"a").await.is_err());
        }
        assert!(!format!("{key:?}").contains("0101"));
        assert!(LocalKey::parse_hex("xyz").is_err());
    }
}
