//! Every setting reaches the struct that it configures.
#![allow(clippy::unwrap_used)]

use std::path::Path;

use toml::Value;

use super::services::{customer_settings, database, feedback_settings, scoring_settings};
use super::{Which, identity, peer, secret, server_settings};
use crate::cmd::serve::telemetry;
use crate::settings::{Settings, Sources, load};

/// Lists, of which a flag sets none, and the master key, of which one way excludes the others: `identity_settings` names
/// every field, and the master key's ways have tests of their own.
const ELSEWHERE: [&str; 7] = [
    "identity.keys",
    "identity.certificates",
    "secrets.master_key",
    "secrets.master_key_file",
    "secrets.former_master_key_file",
    "secrets.former_master_key_command",
    "secrets.master_key_command",
];

/// Known by whom it is handed to when the key is fetched, not by a struct.
const PASSED_ON: [&str; 1] = ["secrets.master_key_timeout_ms"];

/// All that the settings become, as text; what Debug hides is written out.
fn mapped(settings: &Settings) -> String {
    let server = server_settings(settings).unwrap();
    let limits = serde_json::to_string(&server.limits).unwrap();
    let mut out = vec![format!("{server:?} {limits} {}", server.limits.redis_url)];
    for which in Which::ALL {
        let given = database(which.database(settings), &settings.data.folder, which);
        out.push(format!("{} {} {given:?}", given.url, given.migrate_url));
        out.push(match which {
            Which::Customer => format!("{:?}", customer_settings(settings, given)),
            Which::Feedback => format!("{:?}", feedback_settings(settings, given, None)),
            Which::Scoring => {
                let scoring = scoring_settings(settings, given).unwrap();
                format!("{} {scoring:?}", scoring.redis_url)
            }
        });
    }
    out.push(format!("{:?}", telemetry(settings)));
    let identity = identity::identity_settings(settings).unwrap();
    out.push(format!("{identity:?}"));
    for address in [
        &settings.peer.customer_address,
        &settings.peer.feedback_address,
    ] {
        let options = peer::options(&settings.peer, address, "peer").unwrap();
        out.push(format!("{address} {:?} {options:?}", options.api_key));
    }
    if settings.secrets.id_secret.is_set() || !settings.secrets.id_secret_file.is_empty() {
        let ids = secret::id_secret(settings, &Which::ALL).unwrap();
        out.push(ids.tenant_id("t").to_string());
    }
    out.join("\n")
}

/// A value other than this one.
fn another(key: &str, value: &Value, file: &Path) -> String {
    let file = file.display();
    match value {
        Value::Integer(number) => (number + 1).to_string(),
        Value::Float(_) => "0.5".to_owned(),
        Value::Boolean(on) => (!on).to_string(),
        _ => match key {
            "server.listen" | "server.metrics_listen" => "127.0.0.1:7499".to_owned(),
            "server.tls.client_auth" => "optional".to_owned(),
            "log.format" => "json".to_owned(),
            "telemetry.otlp_endpoint" => "http://collector:4317".to_owned(),
            "secrets.id_secret" => "2".repeat(64),
            "cache.redis_url" => "redis://elsewhere:6379".to_owned(),
            key if key.ends_with("row_security") => "off".to_owned(),
            key if key.ends_with("database.url") || key.ends_with("migrate_url") => {
                "postgres://somebody@elsewhere/regard".to_owned()
            }
            key if key.ends_with("_address") => "https://elsewhere:7400".to_owned(),
            "peer.api_key_file" | "cache.redis_url_file" | "secrets.id_secret_file" => {
                file.to_string()
            }
            _ => "another".to_owned(),
        },
    }
}

#[test]
fn every_setting_reaches_what_it_configures() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    std::fs::write(&file, "3".repeat(64)).unwrap();
    let data = folder.path().join("data");
    // What other settings need beside them.
    let base = [
        ("data.folder", data.to_str().unwrap()),
        ("identity.jwt.issuer", "https://issuer"),
        ("peer.customer_address", "https://customer:7400"),
        ("peer.feedback_address", "https://feedback:7400"),
        ("peer.cert_file", "cert"),
        ("peer.key_file", "key"),
    ];
    let with = |more: Option<(&str, &str)>| {
        let flags = base.iter().copied().chain(more);
        let flags =
            flags.map(|(key, value)| (key.to_owned(), value.to_owned(), "--set".to_owned()));
        load(&Sources {
            flags: flags.collect(),
            ..Sources::default()
        })
        .unwrap()
    };
    let plain = with(None);
    let usual = mapped(&plain.settings);
    let mut lost = Vec::new();
    let mut tried = 0;
    for (key, value, _) in plain.shown() {
        if ELSEWHERE.contains(&key) || PASSED_ON.contains(&key) {
            continue;
        }
        let text = match key {
            "data.folder" => folder.path().join("other").display().to_string(),
            key => another(key, &value, &file),
        };
        if mapped(&with(Some((key, &text))).settings) == usual {
            lost.push(key.to_owned());
        }
        tried += 1;
    }
    assert_eq!(lost, Vec::<String>::new(), "settings that change nothing");
    assert!(tried > 80, "{tried} settings");
}
