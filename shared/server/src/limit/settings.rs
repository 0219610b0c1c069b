//! Settings of the limits, with their bounds. Units stand in the names.

use serde::{Deserialize, Serialize};

use crate::settings::SettingsError;

/// How much is taken in.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitSettings {
    /// Calls a second of one tenant that has no limits of its own in the long run, 0 (no limit) to 1,000,000.
    pub tenant_per_second: u32,
    /// Calls of one tenant at once after a pause, 0 (one second's) to 1,000,000.
    pub tenant_burst: u32,
    /// Calls a second of one caller in the long run, 0 (no limit) to 1,000,000.
    pub caller_per_second: u32,
    /// Calls of one caller at once after a pause, 0 (one second's) to 1,000,000.
    pub caller_burst: u32,
    /// Tenants and callers whose rate is kept, 1,000 to 10,000,000. With more at once some begin anew.
    pub buckets_max: usize,
    /// Redis through which replicas share the rates; empty: each replica by itself.
    #[serde(skip_serializing)]
    pub redis_url: String,
    /// Longest wait for Redis, milliseconds: 1 to 10,000.
    pub redis_answer_ms: u64,
    /// Unary calls in work at once that are never refused, 1 to 1,000,000.
    pub concurrency_min: usize,
    /// Unary calls in work at once at most, `concurrency_min` to 1,000,000.
    pub concurrency_max: usize,
    /// Waiting that is fine however quick a call is by itself, milliseconds: 0 to 60,000. Calls that wait longer (and
    /// take 1.6 times as long as without waiting) lower the limit.
    pub slack_ms: u64,
    /// Streams open at once (and calls that wait on purpose), half of them of one tenant; and a quarter as many of health
    /// and reflection: 1 to 1,000,000.
    pub streams_max: usize,
    /// Connections at once, 1 to 1,000,000.
    pub connections_max: usize,
    /// Connections at once from one address (of an IPv6 network of 64 bits), 1 to 1,000,000.
    pub connections_per_peer: usize,
    /// Calls at once on one connection, 1 to 1,000,000; a caller's further ones wait.
    pub streams_per_connection: u32,
    /// Largest head of a call, bytes: 4,096 to 1,048,576.
    pub header_bytes: u32,
    /// How long a new connection may be without a call, milliseconds: 100 to 3,600,000.
    pub first_call_ms: u64,
    /// How long a connection may be without a call later, milliseconds: 1,000 to 86,400,000.
    pub idle_ms: u64,
    /// How long an answer, or a part of one, may stay unread before its connection is left and cut, milliseconds: 1,000 to
    /// 3,600,000; up to twice as long in effect.
    pub unread_ms: u64,
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            tenant_per_second: 100_000,
            tenant_burst: 200_000,
            caller_per_second: 50_000,
            caller_burst: 100_000,
            buckets_max: 100_000,
            redis_url: String::new(),
            redis_answer_ms: 100,
            concurrency_min: 16,
            concurrency_max: 1_024,
            slack_ms: 10,
            streams_max: 1_024,
            connections_max: 10_000,
            connections_per_peer: 1_000,
            streams_per_connection: 1_024,
            header_bytes: 16 * 1_024,
            first_call_ms: 30_000,
            idle_ms: 900_000,
            unread_ms: 120_000,
        }
    }
}

impl std::fmt::Debug for LimitSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LimitSettings")
            .field("tenant_per_second", &self.tenant_per_second)
            .field("caller_per_second", &self.caller_per_second)
            .field("concurrency_min", &self.concurrency_min)
            .field("concurrency_max", &self.concurrency_max)
            .field("redis", &!self.redis_url.is_empty())
            .finish_non_exhaustive()
    }
}

impl LimitSettings {
    /// Least and most of a setting; none if there is no such setting of a number.
    #[must_use]
    pub fn bounds(name: &str) -> Option<(u64, u64)> {
        Some(match name {
            "tenant_per_second" | "tenant_burst" | "caller_per_second" | "caller_burst" => {
                (0, 1_000_000)
            }
            "concurrency_min"
            | "concurrency_max"
            | "streams_max"
            | "connections_max"
            | "connections_per_peer"
            | "streams_per_connection" => (1, 1_000_000),
            "buckets_max" => (1_000, 10_000_000),
            "redis_answer_ms" => (1, 10_000),
            "slack_ms" => (0, 60_000),
            "header_bytes" => (4_096, 1_048_576),
            "first_call_ms" => (100, 3_600_000),
            "idle_ms" => (1_000, 86_400_000),
            "unread_ms" => (1_000, 3_600_000),
            _ => return None,
        })
    }

    /// Adds every value out of bounds; `at` is the section's name.
    pub(crate) fn check(&self, at: &str, bad: &mut Vec<SettingsError>) {
        let many = |value: usize| u64::try_from(value).unwrap_or(u64::MAX);
        let values = [
            ("tenant_per_second", self.tenant_per_second.into()),
            ("tenant_burst", self.tenant_burst.into()),
            ("caller_per_second", self.caller_per_second.into()),
            ("caller_burst", self.caller_burst.into()),
            ("buckets_max", many(self.buckets_max)),
            ("redis_answer_ms", self.redis_answer_ms),
            ("concurrency_min", many(self.concurrency_min)),
            ("concurrency_max", many(self.concurrency_max)),
            ("slack_ms", self.slack_ms),
            ("streams_max", many(self.streams_max)),
            ("connections_max", many(self.connections_max)),
            ("connections_per_peer", many(self.connections_per_peer)),
            ("streams_per_connection", self.streams_per_connection.into()),
            ("header_bytes", self.header_bytes.into()),
            ("first_call_ms", self.first_call_ms),
            ("idle_ms", self.idle_ms),
            ("unread_ms", self.unread_ms),
        ];
        for (name, value) in values {
            let (mut least, most) = Self::bounds(name).unwrap_or((0, u64::MAX));
            if name == "concurrency_max" {
                least = least.max(many(self.concurrency_min)).min(most);
            }
            if value < least || value > most {
                let expected = format!("{least} to {most}");
                bad.push(SettingsError::new(format!("{at}.{name}"), value, expected));
            }
        }
    }
}
