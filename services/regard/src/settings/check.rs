//! What values may be.

use std::ops::RangeInclusive;

use regard_server::LimitSettings;
use toml::Value;

use super::Settings;

/// Whether one value fits by itself; else what was expected.
pub(super) fn range(key: &str, value: &Value) -> Result<(), String> {
    if let Value::Integer(number) = value {
        let allowed = whole(key);
        return if allowed.contains(number) {
            Ok(())
        } else {
            Err(format!(
                "a whole number, {} to {}",
                allowed.start(),
                allowed.end()
            ))
        };
    }
    if let (Value::Float(share), "telemetry.sample_ratio") = (value, key) {
        return if (0.0..=1.0).contains(share) {
            Ok(())
        } else {
            Err("a share, 0 to 1".to_owned())
        };
    }
    let Value::String(text) = value else {
        return Ok(());
    };
    let expect = |fits: bool, expected: &str| {
        if fits {
            Ok(())
        } else {
            Err(expected.to_owned())
        }
    };
    let starts = |schemes: &[&str]| text.is_empty() || schemes.iter().any(|s| text.starts_with(s));
    match key {
        "data.folder" => expect(!text.is_empty(), "the path of a folder"),
        "server.listen" => expect(
            is_address(text),
            "an address with a port, such as 127.0.0.1:7400",
        ),
        "server.metrics_listen" => expect(
            text.is_empty() || is_address(text),
            "empty, or an address with a port, such as 127.0.0.1:7401",
        ),
        "log.format" => expect(
            matches!(text.as_str(), "pretty" | "json" | "auto"),
            "pretty, json or auto",
        ),
        "telemetry.otlp_endpoint" => expect(
            starts(&["http://", "https://"]),
            "empty, or the address of a collector, such as http://collector:4317",
        ),
        "telemetry.service_name" => expect(
            (1..=64).contains(&text.chars().count()),
            "1 to 64 characters",
        ),
        "log.level" => expect(
            !text.is_empty(),
            "error, warn, info, debug, trace, or a filter such as info,regard_scoring=debug",
        ),
        "secrets.id_secret" | "secrets.master_key" => {
            let fits = text.is_empty()
                || (text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit()));
            expect(
                fits,
                "empty, or 64 hexadecimal digits (for example from `openssl rand -hex 32`)",
            )
        }
        "cache.redis_url" => expect(
            starts(&[
                "redis://",
                "rediss://",
                "redis+sentinel://",
                "rediss+sentinel://",
                "redis+cluster://",
                "rediss+cluster://",
            ]),
            "empty, or redis://host:6379",
        ),
        key if key.ends_with(".row_security") => {
            expect(matches!(text.as_str(), "on" | "off"), "on or off")
        }
        key if key.ends_with(".database.migrate_url") => expect(
            starts(&["postgres://", "postgresql://"]),
            "empty (as url), or postgres://owner:password@host/name",
        ),
        key if key.ends_with(".database.url") => expect(
            starts(&["postgres://", "postgresql://", "sqlite:"]),
            "empty (SQLite in the data folder), or postgres://user:password@host/name",
        ),
        "server.tls.client_auth" => expect(
            matches!(text.as_str(), "required" | "optional"),
            "required or optional",
        ),
        key if key.ends_with("_address") => expect(
            starts(&["http://", "https://"]),
            "empty (in this process), or https://host:7400",
        ),
        _ => Ok(()),
    }
}

fn whole(key: &str) -> RangeInclusive<i64> {
    let limit = key.strip_prefix("limits.").and_then(LimitSettings::bounds);
    if let Some((least, most)) = limit {
        return i64::try_from(least).unwrap_or(0)..=i64::try_from(most).unwrap_or(i64::MAX);
    }
    match key {
        "server.default_deadline_ms" | "scoring.stale_ms" => 1..=3_600_000,
        "server.drain_grace_ms" | "server.hand_back_ms" => 0..=600_000,
        "server.keepalive_ms" => 1_000..=3_600_000,
        "server.keepalive_timeout_ms" => 100..=600_000,
        "server.max_connection_age_ms" | "server.max_connection_age_grace_ms" => 0..=86_400_000,
        "server.stop_delay_ms" => 0..=60_000,
        "scoring.ready_lag_s" => 0..=86_400,
        "identity.jwt.skew_s" => 0..=60,
        "telemetry.export_interval_ms" => 100..=3_600_000,
        "server.ready_ms" | "telemetry.timeout_ms" => 100..=60_000,
        "cache.capacity_bytes" => 1_048_576..=1_099_511_627_776,
        "cache.ttl_ms" => 1_000..=86_400_000,
        key if key.ends_with(".keep_changes_days") => 1..=3_650,
        key if key.ends_with(".keep_audit_days") => 0..=36_500,
        key if key.ends_with(".statement_timeout_ms") => 0..=3_600_000,
        key if key.ends_with(".max_connections") => 1..=1_000,
        _ => 1..=600_000,
    }
}

fn is_address(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        let host_fits = !host.is_empty()
            && (!host.contains(':') || (host.starts_with('[') && host.ends_with(']')));
        host_fits && !host.contains(['/', ' ']) && port.parse::<u16>().is_ok()
    })
}

/// What must hold between values: the key and the problem.
pub(super) fn together(settings: &Settings) -> Result<(), (&'static str, String)> {
    if settings.secrets.id_secret.is_set() && !settings.secrets.id_secret_file.is_empty() {
        return Err((
            "secrets.id_secret_file",
            "secrets.id_secret is set too; keep one of them".to_owned(),
        ));
    }
    if settings.cache.redis_url.is_set() && !settings.cache.redis_url_file.is_empty() {
        return Err((
            "cache.redis_url_file",
            "cache.redis_url is set too; keep one of them".to_owned(),
        ));
    }
    let secrets = &settings.secrets;
    let masters = [
        secrets.master_key.is_set(),
        !secrets.master_key_file.is_empty(),
        !secrets.master_key_command.is_empty(),
    ];
    let masters = masters.iter().filter(|set| **set).count();
    if masters > 1 {
        return Err((
            "secrets.master_key_file",
            "of secrets.master_key, secrets.master_key_file and secrets.master_key_command more than one is set; keep one \
             of them"
                .to_owned(),
        ));
    }
    let former = [
        !secrets.former_master_key_file.is_empty(),
        !secrets.former_master_key_command.is_empty(),
    ];
    match (former.iter().filter(|set| **set).count(), masters) {
        (0, _) | (1, 1) => {}
        (1, _) => {
            return Err((
                "secrets.former_master_key_file",
                "a former master key is given and no new one; set secrets.master_key_file or secrets.master_key_command"
                    .to_owned(),
            ));
        }
        _ => {
            return Err((
                "secrets.former_master_key_file",
                "secrets.former_master_key_command is set too; keep one of them".to_owned(),
            ));
        }
    }
    if settings.limits.concurrency_min > settings.limits.concurrency_max {
        return Err((
            "limits.concurrency_min",
            "it is more than limits.concurrency_max".to_owned(),
        ));
    }
    let peer = &settings.peer;
    let credentials = [
        peer.api_key.is_set(),
        !peer.api_key_file.is_empty(),
        !peer.token_file.is_empty(),
    ];
    if credentials.iter().filter(|set| **set).count() > 1 {
        return Err((
            "peer.api_key_file",
            "of peer.api_key, peer.api_key_file and peer.token_file more than one is set; keep one of them".to_owned(),
        ));
    }
    if peer.cert_file.is_empty() != peer.key_file.is_empty() {
        return Err((
            "peer.key_file",
            "of peer.cert_file and peer.key_file only one is set; a certificate needs its key"
                .to_owned(),
        ));
    }
    for (index, key) in settings.identity.keys.iter().enumerate() {
        let problem = match (key.key.is_set(), key.key_file.is_some()) {
            (true, true) => "key and key_file are both set; keep one of them",
            (false, false) => "neither key nor key_file is set; set one of them",
            (true, false) if key.key.reveal().chars().count() < 32 => {
                "key is short; expected 32 characters or more"
            }
            _ if key.tenant.is_empty() => "tenant is empty; expected the name of a tenant",
            _ if key.name.is_empty() => "name is empty; expected who uses the key",
            _ => continue,
        };
        return Err(("identity.keys", format!("entry {index}: {problem}")));
    }
    Ok(())
}
