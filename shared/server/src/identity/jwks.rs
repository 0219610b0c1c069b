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
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio::task::JoinHandle;

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
pub(super) struct KeySet(Arc<Shared>);

/// A reading outlives the call that began it: calls hold it together.
struct Shared {
    source: Source,
    keys: ArcSwap<Keys>,
    /// Held while one reads; when the last reading began.
    reading: Arc<Mutex<Option<Instant>>>,
}

impl KeySet {
    /// A set that is read at its first use.
    pub fn new(source: Source) -> Self {
        Self(Arc::new(Shared {
            source,
            keys: ArcSwap::from_pointee(Keys::default()),
            reading: Arc::default(),
        }))
    }

    /// Reads a file now, so that a wrong one is told at the start; an address may be away and is asked later.
    pub fn check(&self) -> Result<(), String> {
        let Source::File(path) = &self.0.source else {
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
        let now = self.0.keys.load_full();
        match &self.0.source {
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
                    if let Ok(tried) = Arc::clone(&self.0.reading).try_lock_owned()
                        && tried.is_none_or(|tried| tried.elapsed() >= PAUSE)
                    {
                        // Nobody waits for it: what is there is good.
                        drop(self.take(tried));
                    }
                }
                _ => self.read_again(&now).await,
            },
        }
        let now = self.0.keys.load_full();
        let usable = match (&self.0.source, now.read) {
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
        if matches!(self.0.source, Source::File(_)) {
            return Ok(None);
        }
        self.read_again(&keys).await;
        let keys = self.0.keys.load_full();
        Ok(keys.find(id, algorithm).map(|key| with(&keys, key)))
    }

    /// Reads the set unless another did since `seen`, or the last try is too recent.
    async fn read_again(&self, seen: &Arc<Keys>) {
        let tried = Arc::clone(&self.0.reading).lock_owned().await;
        let now = self.0.keys.load_full();
        if !Arc::ptr_eq(&now, seen) {
            return;
        }
        let pause = match (&self.0.source, now.read) {
            (Source::File(_), _) => Duration::ZERO,
            (Source::Url(_), None) => PAUSE_AT_FIRST,
            (Source::Url(_), Some(_)) => PAUSE,
        };
        if tried.is_none_or(|tried| tried.elapsed() >= pause) {
            let _ = self.take(tried).await; // a panic has left all as it was
        }
    }

    /// Begins to read the set. It is noted as tried before anything is waited for, and goes on when the call that began it
    /// does not: else calls in a hurry would ask without a pause, and never get an answer.
    fn take(&self, mut tried: OwnedMutexGuard<Option<Instant>>) -> JoinHandle<()> {
        *tried = Some(Instant::now());
        let shared = Arc::clone(&self.0);
        tokio::spawn(async move {
            shared.take().await;
            drop(tried);
        })
    }
}

impl Shared {
    async fn take(&self) {
        let before = self.keys.load_full();
        let read_at = Some(Instant::now());
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
                read: read_at,
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const SET: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"one","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

    /// An issuer that takes its time, and counts who comes.
    async fn issuer(time: Duration) -> (KeySet, Arc<AtomicUsize>) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}/keys", listener.local_addr().unwrap());
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(async move {
                    let _ = stream.read(&mut [0; 4_096]).await;
                    tokio::time::sleep(time).await;
                    let answer = format!(
                        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{SET}",
                        SET.len()
                    );
                    let _ = stream.write_all(answer.as_bytes()).await;
                });
            }
        });
        let source = Source::Url(Box::new(Fetch::new(&address, "").unwrap()));
        (KeySet::new(source), asked)
    }

    #[tokio::test]
    async fn calls_in_a_hurry_ask_once_and_the_answer_is_there_for_later_ones() {
        let (keys, asked) = issuer(Duration::from_millis(500)).await;
        for _ in 0..5 {
            let find = keys.find(Some("one"), Algorithm::EdDSA, |_, _| ());
            let _ = tokio::time::timeout(Duration::from_millis(30), find).await;
        }
        let found = keys.find(Some("one"), Algorithm::EdDSA, |_, _| ()).await;
        assert!(found.unwrap().is_some());
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        // An unknown key asks once more at most within the pause, whoever gives up.
        for _ in 0..20 {
            let find = keys.find(Some("other"), Algorithm::EdDSA, |_, _| ());
            let _ = tokio::time::timeout(Duration::from_millis(5), find).await;
        }
        assert_eq!(asked.load(Ordering::SeqCst), 1);
    }
}
