//! `regard config`.
#![allow(clippy::unwrap_used)]

mod common;

use common::{fails, json, ok};

#[test]
fn values_come_with_their_origin_and_secrets_hidden() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("regard.toml");
    std::fs::write(
        &path,
        "[cache]\nttl_ms = 5000\n[customer.database]\nurl = 'postgres://u:hush@h/d'\n[[identity.keys]]\nkey = '0123456789abcdef0123456789abcdef'\ntenant = 't'\nname = 'n'\n",
    )
    .unwrap();
    let path = path.display().to_string();
    let got = json(&[
        "config",
        "--json",
        "--config",
        &path,
        "--listen",
        "127.0.0.1:0",
        "--set",
        "scoring.stale_ms=7",
    ]);
    assert_eq!(got["settings"]["cache"]["ttl_ms"], 5000);
    assert_eq!(got["settings"]["server"]["listen"], "127.0.0.1:0");
    assert_eq!(got["settings"]["scoring"]["stale_ms"], 7);
    assert_eq!(
        got["settings"]["customer"]["database"]["url"],
        "postgres://u:***@h/d"
    );
    assert_eq!(got["settings"]["identity"]["keys"][0]["key"], "***");
    assert_eq!(got["origins"]["cache.ttl_ms"], format!("file {path}"));
    assert_eq!(got["origins"]["server.listen"], "flag --listen");
    assert_eq!(got["origins"]["data.folder"], "default");
    let text = ok(&["config", "--config", &path]);
    assert!(
        !text.contains("hush")
            && !text.contains("0123456789abcdef")
            && text.contains("server.listen"),
        "{text}"
    );
}

#[test]
fn wrong_flags_are_exit_code_2_and_wrong_files_1() {
    for (set, part) in [
        ("cache.ttl_m=1", "cache.ttl_ms"),
        ("cache.ttl_ms=x", "whole number"),
        ("cache.ttl_ms", "KEY=VALUE"),
        ("identity.keys=1", "list"),
    ] {
        let (code, message) = fails(&["config", "--set", set]);
        assert!(code == 2 && message.contains(part), "{code} {message}");
    }
    let (code, message) = fails(&["config", "--config", "no-such.toml"]);
    assert!(code == 1 && message.contains("no-such.toml"), "{message}");
}
