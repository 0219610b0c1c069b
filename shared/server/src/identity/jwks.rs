//! The keys that sign tokens: a JSON Web Key Set (RFC 7517) from a file that is read again when it changes, or from an
//! address that is asked again when its answer is old or a key is missing. One asks at a time, and what was read stays in
//! use while a new one cannot be had.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use regard_types::Fault;
use tokio::sync::Mutex;

use super::fetch::{Fetch, LARGEST};

/// Age at which an address is asked again.
const OLD: Duration = Duration::from_secs(600);
/// Age after which keys of an address that cannot be reached are no longer believed.
const TOO_OLD: Duration = Duration::from_secs(3_600);
/// Shortest pause between two questions to an address.
const PAUSE: Duration = Duration::from_secs(30);
/// The same while nothing is known at all.
const PAUSE_AT_FIRST: Duration = Duration::from_secs(2);
/// Keys of a set that are taken.
const MOST: usize = 100;
/// Smallest RSA modulus in bits (NIST SP 800-131A).
const RSA_BITS: usize = 2_048;

/// A key and the one algorithm that it may be used with.
pub(super) struct Key {
    pub id: Option<String>,
    pub algorithm: Algorithm,
    pub key: DecodingKey,
}

/// The keys as last read.
#[derive(Default)]
pub(super) struct Keys {
    keys: Arc<Vec<Key>>,
    /// Counts readings that differ: what was verified by former keys is verified again.
    pub generation: u64,
    text: Vec<u8>,
    stamp: Option<Stamp>,
    read: Option<Instant>,
    tried: Option<Instant>,
}

/// What tells a changed file.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    length: u64,
    modified: Option<SystemTime>,
}

/// Where keys come from.
pub(super) enum Source {
    /// A file.
    File(PathBuf),
    /// An address.
    Url(Box<Fetch>),
}

/// A key set.
pub(super) struct KeySet {
    source: Source,
    keys: ArcSwap<Keys>,
    reading: Mutex<()>,
}

impl KeySet {
    /// A set that is read at its first use.
    pub fn new(source: Source) -> Self {
        Self {
            source,
            keys: ArcSwap::from_pointee(Keys::default()),
            reading: Mutex::new(()),
        }
    }

    /// Reads a file now, so that a wrong one is told at the start; an address may be away and is asked later.
    pub fn check(&self) -> Result<(), String> {
        let Source::File(path) = &self.source else {
            return Ok(());
        };
        let text = std::fs::read(path).map_err(|error| format!("cannot be read: {error}"))?;
        if read(&text)?.is_empty() {
            return Err("holds no key for RS256, ES256 or EdDSA".to_owned());
        }
        Ok(())
    }

    /// The keys as they are now.
    pub async fn current(&self) -> Result<Arc<Keys>, Fault> {
        let now = self.keys.load_full();
        match &self.source {
            Source::File(path) => {
                let stamp = stamp(path).await;
                if stamp.is_some() && stamp != now.stamp {
                    self.read_again(&now).await;
                }
            }
            Source::Url(_) => match now.read {
                Some(read) if read.elapsed() < OLD => {}
                // Others go on with what is there while one asks.
                Some(read) if read.elapsed() < TOO_OLD => {
                    if now.tried.is_none_or(|tried| tried.elapsed() >= PAUSE)
                        && let Ok(_one) = self.reading.try_lock()
                    {
                        self.take().await;
                    }
                }
                _ => self.read_again(&now).await,
            },
        }
        let now = self.keys.load_full();
        let usable = match (&self.source, now.read) {
            (Source::File(_), read) => read.is_some(),
            (Source::Url(_), read) => read.is_some_and(|read| read.elapsed() < TOO_OLD),
        };
        if usable {
            Ok(now)
        } else {
            Err(Fault::down("the key set of the token issuer"))
        }
    }

    /// The key of a token; a missing one is looked for once more where the set may have changed.
    pub async fn find<T>(
        &self,
        id: Option<&str>,
        algorithm: Algorithm,
        with: impl Fn(&Keys, &Key) -> T,
    ) -> Result<Option<T>, Fault> {
        let keys = self.current().await?;
        if let Some(key) = keys.find(id, algorithm) {
            return Ok(Some(with(&keys, key)));
        }
        if matches!(self.source, Source::File(_)) {
            return Ok(None);
        }
        self.read_again(&keys).await;
        let keys = self.keys.load_full();
        Ok(keys.find(id, algorithm).map(|key| with(&keys, key)))
    }

    /// Reads the set unless another did since `seen`, or the last try is too recent.
    async fn read_again(&self, seen: &Arc<Keys>) {
        let _one = self.reading.lock().await;
        let now = self.keys.load_full();
        if !Arc::ptr_eq(&now, seen) {
            return;
        }
        let pause = match (&self.source, now.read) {
            (Source::File(_), _) => Duration::ZERO,
            (Source::Url(_), None) => PAUSE_AT_FIRST,
            (Source::Url(_), Some(_)) => PAUSE,
        };
        if now.tried.is_none_or(|tried| tried.elapsed() >= pause) {
            self.take().await;
        }
    }

    /// Reads the set; call it under the lock.
    async fn take(&self) {
        let before = self.keys.load_full();
        let tried = Some(Instant::now());
        let (text, stamp) = match &self.source {
            Source::File(path) => {
                let stamp = stamp(path).await;
                let text = match stamp {
                    Some(stamp) if stamp.length > LARGEST as u64 => {
                        Err(format!("is larger than {LARGEST} bytes"))
                    }
                    _ => tokio::fs::read(path)
                        .await
                        .map_err(|e| format!("cannot be read: {e}")),
                };
                (text, stamp)
            }
            Source::Url(fetch) => (fetch.get().await.map(|body| body.to_vec()), None),
        };
        let found = text.and_then(|text| Ok((read(&text)?, text)));
        let next = match found {
            Ok((keys, text)) => Keys {
                generation: before.generation + u64::from(text != before.text),
                keys: Arc::new(keys),
                text,
                stamp,
                read: tried,
                tried,
            },
            Err(problem) => {
                tracing::warn!(
                    problem,
                    "the key set of the token issuer cannot be used; what was read before stays"
                );
                Keys {
                    keys: Arc::clone(&before.keys),
                    generation: before.generation,
                    text: before.text.clone(),
                    stamp,
                    read: before.read,
                    tried,
                }
            }
        };
        self.keys.store(Arc::new(next));
    }
}

impl Keys {
    /// The key that a token names. A token without a key id is taken where only one key has its algorithm.
    fn find(&self, id: Option<&str>, algorithm: Algorithm) -> Option<&Key> {
        let mut fitting = self
            .keys
            .iter()
            .filter(|key| key.algorithm == algorithm && (id.is_none() || key.id.as_deref() == id));
        let first = fitting.next()?;
        (id.is_some() || fitting.next().is_none()).then_some(first)
    }
}

async fn stamp(path: &std::path::Path) -> Option<Stamp> {
    let about = tokio::fs::metadata(path).await.ok()?;
    Some(Stamp {
        length: about.len(),
        modified: about.modified().ok(),
    })
}

/// The keys of a set that sign tokens by an algorithm of ours; the others are passed over.
fn read(text: &[u8]) -> Result<Vec<Key>, String> {
    #[derive(serde::Deserialize)]
    struct Set {
        keys: Vec<serde_json::Value>,
    }
    let set: Set = serde_json::from_slice(text).map_err(|_| "is no JSON Web Key Set".to_owned())?;
    // One by one: a key of a kind that is not known yet must not take the others with it.
    let known = set
        .keys
        .into_iter()
        .filter_map(|key| serde_json::from_value::<Jwk>(key).ok());
    Ok(known.filter_map(|jwk| usable(&jwk)).take(MOST).collect())
}

/// The algorithm follows from the key's type, never from the token: so a public key is never taken for an HMAC secret.
fn usable(jwk: &Jwk) -> Option<Key> {
    let algorithm = match &jwk.algorithm {
        AlgorithmParameters::RSA(rsa) => {
            use base64::Engine as _;
            let modulus = base64::engine::general_purpose::URL_SAFE_NO_PAD
                .decode(&rsa.n)
                .ok()?;
            let bits = modulus.iter().skip_while(|byte| **byte == 0).count() * 8;
            (bits >= RSA_BITS).then_some(Algorithm::RS256)?
        }
        AlgorithmParameters::EllipticCurve(ec) if ec.curve == EllipticCurve::P256 => {
            Algorithm::ES256
        }
        AlgorithmParameters::OctetKeyPair(ed) if ed.curve == EllipticCurve::Ed25519 => {
            Algorithm::EdDSA
        }
        _ => return None,
    };
    let common = &jwk.common;
    let stated = common
        .key_algorithm
        .is_none_or(|stated| stated == algorithm.into());
    let signs = common
        .public_key_use
        .as_ref()
        .is_none_or(|used| *used == PublicKeyUse::Signature);
    if !stated || !signs {
        return None;
    }
    Some(Key {
        id: common.key_id.clone(),
        algorithm,
        key: DecodingKey::from_jwk(jwk).ok()?,
    })
}
