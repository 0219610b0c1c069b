//! Token buckets that several processes share.

use std::sync::LazyLock;
use std::time::Duration;

use redis::Script;

use super::Redis;

static SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("bucket.lua")));

/// What a bucket gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drawn {
    /// Tokens taken, at most as many as were wanted.
    pub granted: u32,
    /// If there was none: how long until there is one.
    pub wait: Duration,
}

impl Redis {
    /// Takes up to `wanted` tokens from the bucket `key`, which holds `burst` of them and gets one every `pause`.
    /// None when Redis was not reached in time: it says nothing about the bucket then.
    pub async fn draw(&self, key: &str, pause: Duration, burst: u32, wanted: u32) -> Option<Drawn> {
        let micros = pause.as_secs_f64() * 1e6;
        let (granted, wait): (u32, u64) = self
            .trip(1, |mut line| async move {
                let mut call = SCRIPT.key(key);
                call.arg(format!("{micros:.3}")).arg(burst).arg(wanted);
                call.invoke_async(&mut line).await
            })
            .await?;
        Some(Drawn {
            granted,
            wait: Duration::from_micros(wait),
        })
    }
}
