mod breaker;
mod bucket;
mod connection;
mod wire;

use std::future::Future;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::stream::{self, StreamExt};
use redis::{RedisResult, Script};

use breaker::Breaker;
pub use bucket::Drawn;
pub use connection::RedisError;
use connection::{Line, Server};

use crate::count::Count;
use crate::{Cache, Entry, Key, Settings};

/// Keys of one trip: larger ones would hold up the others on the one connection.
const CHUNK: usize = 256;
/// Requests at a time where each goes alone.
const ABREAST: usize = 32;

/// The cache in Redis. A failure is a miss, counted; nothing waits longer than `answer`; after ten failures in
/// a row Redis is left alone for a second at a time.
pub struct Redis {
    server: Server,
    breaker: Breaker,
    script: Script,
    life_ms: u64,
    answer: Duration,
    count: Count,
}

impl Redis {
    /// Reads the url; connects at first use, so a Redis that is away holds up no start.
    ///
    /// # Errors
    /// The url is none that is understood; the message tells the forms.
    pub fn open(url: &str, settings: &Settings) -> Result<Self, RedisError> {
        Ok(Self {
            server: Server::parse(url, settings.answer)?,
            breaker: Breaker::new(),
            script: Script::new(include_str!("put.lua")),
            // A life of 0 is refused by the server.
            life_ms: u64::try_from(settings.ttl.max(Duration::from_secs(1)).as_millis())
                .unwrap_or(u64::MAX),
            answer: settings.answer,
            count: Count::new("redis", true),
        })
    }

    /// Sets nothing, asks nothing; counts requests that went past.
    pub(crate) fn count_skipped(&self, requests: u64) {
        self.count.get().skipped.increment(requests);
    }

    /// One trip. None when it was not made or failed.
    async fn trip<T, F>(&self, keys: usize, work: impl FnOnce(Line) -> F + Send) -> Option<T>
    where
        F: Future<Output = RedisResult<T>> + Send,
    {
        let keys = u64::try_from(keys).unwrap_or(u64::MAX);
        if !self.breaker.allows() {
            self.count_skipped(keys);
            return None;
        }
        // Boxed: the driver's futures are large, and every caller's future would carry them.
        let trip = Box::pin(async { work(self.server.line().await?).await });
        let asked = Instant::now();
        let trip = tokio::time::timeout(self.answer, trip).await;
        self.count.get().trip.record(asked.elapsed());
        match trip {
            Ok(Ok(answer)) => {
                self.breaker.succeeded();
                return Some(answer);
            }
            Ok(Err(e)) => self.breaker.failed(&e),
            Err(late) => self.breaker.failed(&late),
        }
        self.count.get().error.increment(keys);
        self.server.doubt().await;
        None
    }

    async fn get_chunk(&self, keys: &[Key]) -> Vec<Option<Entry>> {
        let texts: Vec<String> = keys.iter().map(Key::text).collect();
        let found = self
            .trip(keys.len(), |mut line| async move {
                redis::cmd("MGET")
                    .arg(texts)
                    .query_async::<Vec<Option<Vec<u8>>>>(&mut line)
                    .await
            })
            .await;
        let Some(found) = found else {
            return vec![None; keys.len()];
        };
        let mut entries: Vec<Option<Entry>> =
            found.into_iter().map(|bytes| self.read(bytes)).collect();
        entries.resize(keys.len(), None);
        entries
    }

    fn read(&self, bytes: Option<Vec<u8>>) -> Option<Entry> {
        let entry = bytes.and_then(|bytes| wire::decode(Bytes::from(bytes)));
        let count = self.count.get();
        if entry.is_some() {
            &count.hit
        } else {
            &count.miss
        }
        .increment(1);
        entry
    }

    async fn put_chunk(&self, entries: &[(Key, Entry)]) -> bool {
        let mut pipeline = redis::pipe();
        // Loaded with every chunk: a server that was restarted has forgotten it.
        pipeline
            .cmd("SCRIPT")
            .arg("LOAD")
            .arg(include_str!("put.lua"))
            .ignore();
        for (key, entry) in entries {
            pipeline
                .cmd("EVALSHA")
                .arg(self.script.get_hash())
                .arg(1)
                .arg(key.text())
                .arg(wire::encode(entry).as_ref())
                .arg(self.life_ms)
                .ignore();
        }
        self.trip(entries.len(), |mut line| async move {
            pipeline.query_async::<()>(&mut line).await
        })
        .await
        .is_some()
    }
}

impl Cache for Redis {
    async fn get(&self, key: &Key) -> Option<Entry> {
        let found = self
            .trip(1, |mut line| async move {
                redis::cmd("GET")
                    .arg(key.text())
                    .query_async::<Option<Vec<u8>>>(&mut line)
                    .await
            })
            .await?;
        self.read(found)
    }

    async fn get_many(&self, keys: &[Key]) -> Vec<Option<Entry>> {
        if self.server.one_key_a_request() {
            let gets =
                stream::iter(keys.iter().copied()).map(|key| async move { self.get(&key).await });
            return gets.buffered(ABREAST).collect().await;
        }
        let mut entries = Vec::with_capacity(keys.len());
        for chunk in keys.chunks(CHUNK) {
            entries.extend(self.get_chunk(chunk).await);
        }
        entries
    }

    async fn put(&self, key: &Key, entry: Entry) -> bool {
        let bytes = wire::encode(&entry);
        self.trip(1, |mut line| async move {
            let mut call = self.script.key(key.text());
            call.arg(bytes.as_ref()).arg(self.life_ms);
            call.invoke_async::<()>(&mut line).await
        })
        .await
        .is_some()
    }

    async fn put_many(&self, entries: &[(Key, Entry)]) -> bool {
        if self.server.one_key_a_request() {
            let puts = stream::iter(entries.iter().cloned())
                .map(|(key, entry)| async move { self.put(&key, entry).await });
            return puts
                .buffer_unordered(ABREAST)
                .fold(true, |all, one| std::future::ready(all && one))
                .await;
        }
        let mut all = true;
        for chunk in entries.chunks(CHUNK) {
            // The rest is tried too: what arrives need not be said again from another place.
            all &= self.put_chunk(chunk).await;
        }
        all
    }

    async fn remove(&self, key: &Key) -> bool {
        self.trip(1, |mut line| async move {
            redis::cmd("UNLINK")
                .arg(key.text())
                .query_async::<()>(&mut line)
                .await
        })
        .await
        .is_some()
    }
}
