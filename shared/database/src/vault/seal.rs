//! Sealed bytes: `1 | key number (4) | nonce (12) | ciphertext | tag (16)`, numbers big-endian, AES-256-GCM (NIST SP 800-38D)
//! with a random 96-bit nonce. The associated data name tenant, table, column and row, so that a value opens nowhere else.
//! Random nonces are safe for some 2^32 values a key (SP 800-38D, 8.3): rotate well before.

use std::collections::HashMap;

use regard_types::TenantId;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::rand::{SecureRandom as _, SystemRandom};
use uuid::Uuid;
use zeroize::Zeroizing;

use super::Vault;
use super::master::KeyBytes;
use crate::engine::Engine;
use crate::error::StoreError;
use crate::tx::Tx;

/// Bytes of a nonce.
pub(super) const NONCE: usize = 12;
const FORMAT: u8 = 1;
/// Bytes before the nonce.
const HEADER: usize = 5;
const TAG: usize = 16;

/// Bytes that sealing adds to a value.
pub const OVERHEAD: usize = HEADER + NONCE + TAG;

/// Where a sealed value lies; a value that is moved elsewhere does not open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context(Vec<u8>);

/// A column of sealed values, and the key of its table after `tenant`.
#[derive(Debug, Clone, Copy)]
pub struct SealedColumn {
    /// The table.
    pub table: &'static str,
    /// The column of sealed bytes.
    pub column: &'static str,
    /// The rest of the primary key, in its order.
    pub key: &'static [KeyColumn],
}

/// A column of a key.
#[derive(Debug, Clone, Copy)]
pub enum KeyColumn {
    /// An id.
    Uuid(&'static str),
    /// A whole number.
    I64(&'static str),
    /// A text.
    Text(&'static str),
}

impl KeyColumn {
    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Uuid(name) | Self::I64(name) | Self::Text(name) => name,
        }
    }
}

/// A value of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyValue<'a> {
    /// An id.
    Uuid(Uuid),
    /// A whole number.
    I64(i64),
    /// A text.
    Text(&'a str),
}

impl SealedColumn {
    /// The context of the value in the row with this key, the tenant apart.
    #[must_use]
    pub fn context(&self, key: &[KeyValue<'_>]) -> Context {
        let mut out = Vec::with_capacity(96);
        let mut part = |bytes: &[u8]| {
            out.extend_from_slice(&(bytes.len() as u64).to_be_bytes());
            out.extend_from_slice(bytes);
        };
        part(self.table.as_bytes());
        part(self.column.as_bytes());
        for value in key {
            match value {
                KeyValue::Uuid(id) => part(id.as_bytes()),
                KeyValue::I64(number) => part(&number.to_be_bytes()),
                KeyValue::Text(text) => part(text.as_bytes()),
            }
        }
        Context(out)
    }
}

/// Seals values of one tenant by its active key. Make one for each transaction.
pub struct Sealer {
    vault: Vault,
    tenant: TenantId,
    number: u32,
    key: LessSafeKey,
    random: SystemRandom,
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sealer({}, key {})", self.tenant, self.number)
    }
}

impl Sealer {
    pub(super) fn new(
        vault: &Vault,
        tenant: TenantId,
        number: u32,
        key: &KeyBytes,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            vault: vault.clone(),
            tenant,
            number,
            key: expand(key)?,
            random: SystemRandom::new(),
        })
    }

    /// Seals a value: about 1 µs, and [`OVERHEAD`] bytes more.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn seal(&self, context: &Context, plain: &[u8]) -> Result<Vec<u8>, StoreError> {
        let mut out = Vec::with_capacity(plain.len() + OVERHEAD);
        out.push(FORMAT);
        out.extend_from_slice(&self.number.to_be_bytes());
        let data = associated(self.tenant, context);
        encrypt(&self.key, &self.random, &data, plain, &mut out)?;
        Ok(out)
    }

    /// Keeps the key from being replaced until the transaction ends. Call it in each transaction that writes what was
    /// sealed, before its end.
    ///
    /// # Errors
    /// [`StoreError::Busy`] if the key was replaced meanwhile: roll back, and begin again with another sealer.
    pub async fn fence(&self, tx: &Tx) -> Result<(), StoreError> {
        let sql = match tx.engine() {
            // There is one writer.
            Engine::Sqlite => {
                "SELECT 1 FROM data_key WHERE tenant = $1 AND id = $2 AND state = 'active'"
            }
            Engine::Postgres => {
                "SELECT 1 FROM data_key WHERE tenant = $1 AND id = $2 AND state = 'active' FOR SHARE"
            }
        };
        let values = vec![self.tenant.0.into(), i64::from(self.number).into()];
        if tx.fetch_one(sql, values).await?.is_some() {
            return Ok(());
        }
        self.vault.state.active.invalidate(&self.tenant);
        Err(StoreError::Busy("the data key was replaced".into()))
    }
}

/// Opens values of one tenant by the keys that they need.
pub struct Opener {
    tenant: TenantId,
    keys: HashMap<u32, LessSafeKey>,
}

impl std::fmt::Debug for Opener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Opener({})", self.tenant)
    }
}

impl Opener {
    /// The value, if it was sealed by this tenant's key for this place.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if not.
    pub fn open(&self, context: &Context, sealed: &[u8]) -> Result<Vec<u8>, StoreError> {
        let number = key_number(sealed)?;
        let key = self
            .keys
            .get(&number)
            .ok_or_else(|| StoreError::corrupt("a sealed value's key was not asked for"))?;
        let rest = sealed.get(HEADER..).unwrap_or_default();
        decrypt(key, &associated(self.tenant, context), rest)
            .ok_or_else(|| StoreError::corrupt("a sealed value was altered or moved"))
    }
}

impl Vault {
    /// What opens these sealed values, which the transaction has read. Keys that this process does not hold yet are read
    /// and unwrapped.
    ///
    /// # Errors
    /// [`StoreError::Busy`] if a key was destroyed while the values were read: read again;
    /// [`StoreError::Corrupt`] if the values are no sealed ones or the key does not exist; [`StoreError::Down`] if the key
    /// service does not answer.
    pub async fn opener<'a>(
        &self,
        tx: &Tx,
        tenant: TenantId,
        sealed: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Opener, StoreError> {
        let mut needed = sealed
            .into_iter()
            .map(key_number)
            .collect::<Result<Vec<_>, _>>()?;
        needed.sort_unstable();
        needed.dedup();
        let mut keys = HashMap::new();
        for number in needed {
            let key = self.known(tx, tenant, number).await?;
            keys.insert(number, expand(&key.bytes)?);
        }
        Ok(Opener { tenant, keys })
    }
}

/// The number of the key that sealed a value.
pub(super) fn key_number(sealed: &[u8]) -> Result<u32, StoreError> {
    match sealed.split_first_chunk::<HEADER>() {
        Some(([FORMAT, a, b, c, d], rest)) if rest.len() >= NONCE + TAG => {
            Ok(u32::from_be_bytes([*a, *b, *c, *d]))
        }
        _ => Err(StoreError::corrupt(
            "a value that should be sealed is not: the store is older than sealing, or was damaged",
        )),
    }
}

fn associated(tenant: TenantId, context: &Context) -> Vec<u8> {
    let mut data = Vec::with_capacity(16 + context.0.len());
    data.extend_from_slice(tenant.0.as_bytes());
    data.extend_from_slice(&context.0);
    data
}

/// ring's expanded keys are not wiped: they live for one transaction, while the cache holds bytes that are.
fn expand(key: &KeyBytes) -> Result<LessSafeKey, StoreError> {
    let key = UnboundKey::new(&AES_256_GCM, key.as_slice())
        .map_err(|_| StoreError::corrupt("a data key of another length"))?;
    Ok(LessSafeKey::new(key))
}

fn encrypt(
    key: &LessSafeKey,
    random: &SystemRandom,
    data: &[u8],
    plain: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), StoreError> {
    let mut nonce = [0; NONCE];
    random
        .fill(&mut nonce)
        .map_err(|_| StoreError::corrupt("the system gives no random numbers"))?;
    out.extend_from_slice(&nonce);
    let start = out.len();
    out.extend_from_slice(plain);
    let body = out.get_mut(start..).unwrap_or_default();
    let nonce = Nonce::assume_unique_for_key(nonce);
    let tag = key
        .seal_in_place_separate_tag(nonce, Aad::from(data), body)
        .map_err(|_| StoreError::corrupt("a value that is too long to be sealed"))?;
    out.extend_from_slice(tag.as_ref());
    Ok(())
}

fn decrypt(key: &LessSafeKey, data: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let (nonce, body) = sealed.split_first_chunk::<NONCE>()?;
    let mut out = body.to_vec();
    let nonce = Nonce::assume_unique_for_key(*nonce);
    let plain = key
        .open_in_place(nonce, Aad::from(data), &mut out)
        .ok()?
        .len();
    out.truncate(plain);
    Some(out)
}

/// Nonce, ciphertext and tag of a value under a key used once.
pub(super) fn seal_with(
    key: &KeyBytes,
    data: &[u8],
    plain: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), StoreError> {
    encrypt(&expand(key)?, &SystemRandom::new(), data, plain, out)
}

/// The inverse of [`seal_with`].
pub(super) fn open_with(key: &KeyBytes, data: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    decrypt(&expand(key).ok()?, data, sealed)
}

/// A fresh random key.
pub(super) fn fresh() -> Result<KeyBytes, StoreError> {
    let mut key = Zeroizing::new([0; 32]);
    SystemRandom::new()
        .fill(key.as_mut_slice())
        .map_err(|_| StoreError::corrupt("the system gives no random numbers"))?;
    Ok(key)
}
