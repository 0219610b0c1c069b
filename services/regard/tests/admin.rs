//! `regard admin`, and the key by which the commands of a machine are known, as processes.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Served, fails, json, ok};

#[test]
fn tenants_keys_and_roles() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("data");
    let served = Served::start(&["--data", &folder.display().to_string()]);
    let at = served.address.clone();
    let admin = |args: &[&str]| json(&[&["admin"], args, &["--server", &at, "--json"]].concat());

    let made = admin(&[
        "tenant",
        "create",
        "shop",
        "--currency",
        "EUR",
        "--requests-per-second",
        "100",
        "--burst",
        "200",
    ]);
    assert_eq!(
        (
            &made["currency"],
            &made["requests_per_second"],
            &made["burst"]
        ),
        (&"EUR".into(), &100.into(), &200.into()),
        "{made}"
    );
    let kept = admin(&["tenant", "limit", "shop", "--retention-days", "730"]);
    assert_eq!(
        (&kept["retention_days"], &kept["burst"]),
        (&730.into(), &0.into()),
        "{kept}"
    );

    let role = dir.path().join("clerk.toml");
    std::fs::write(
        &role,
        "title = 'Takes orders'\npermissions = ['tenant.read', 'order.*']\n",
    )
    .unwrap();
    let role = role.display().to_string();
    assert_eq!(
        admin(&["role", "apply", &role, "--tenant", "shop"])["name"],
        "clerk"
    );
    let roles = admin(&["role", "list", "--tenant", "shop"]);
    let names: Vec<_> = roles["roles"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| r["name"].as_str().unwrap())
        .collect();
    assert!(
        names.contains(&"clerk") && names.contains(&"manager"),
        "{names:?}"
    );
    let (_, message) = fails(&[
        "admin",
        "role",
        "apply",
        "/no/such/file.toml",
        "--server",
        &at,
    ]);
    assert!(message.contains("/no/such/file.toml"), "{message}");

    let key = admin(&[
        "key",
        "create",
        "till 4",
        "--tenant",
        "shop",
        "--role",
        "clerk",
        "--until",
        "2090-12-31",
    ]);
    let secret = key["secret"].as_str().unwrap().to_owned();
    assert_eq!(
        (&key["tenant"], secret.len()),
        (&"shop".into(), 60),
        "{key}"
    );
    let shown = json(&[
        "admin", "tenant", "show", "--server", &at, "--key", &secret, "--json",
    ]);
    assert_eq!(shown["name"], "shop");
    let (_, message) = fails(&["admin", "key", "list", "--server", &at, "--key", &secret]);
    assert!(message.contains("access.read"), "{message}");
    let list = ok(&["admin", "key", "list", "--tenant", "shop", "--server", &at]);
    assert!(
        list.contains("till 4") && list.contains("clerk") && list.contains("until 2091-01-01"),
        "{list}"
    );
    assert!(!list.contains(&secret[17..]), "{list}");
    let id = key["id"].as_str().unwrap();
    assert!(!admin(&["key", "revoke", id, "--tenant", "shop"])["revoke_time"].is_null());
    let began = std::time::Instant::now();
    loop {
        let output = common::run(&["admin", "tenant", "show", "--server", &at, "--key", &secret]);
        if !output.status.success() {
            let message = String::from_utf8(output.stderr).unwrap();
            assert!(message.contains("UNAUTHENTICATED"), "{message}");
            break;
        }
        assert!(began.elapsed().as_secs() < 10, "the key works still");
    }
    assert_eq!(
        admin(&["role", "delete", "clerk", "--tenant", "shop"])["name"],
        "clerk"
    );
    let (_, message) = fails(&["admin", "role", "delete", "reader", "--server", &at]);
    assert!(message.contains("WRONG_STATE"), "{message}");
    let (_, message) = fails(&[
        "admin", "key", "create", "x", "--role", "nobody", "--server", &at,
    ]);
    assert!(message.contains("api_key.roles[0]"), "{message}");
    served.stop();
}

#[test]
fn a_machine_has_a_key_and_nobody_else_has() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("data");
    let served = Served::start(&["--data", &folder.display().to_string()]);
    let file = folder.join("local-key");
    let key = std::fs::read_to_string(&file).unwrap();
    assert_eq!(key.trim().len(), 64);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(
            std::fs::metadata(&file).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
    // Without it nobody is let in; with another suite's neither.
    let nowhere = dir.path().display().to_string();
    let (_, message) = fails(&[
        "admin",
        "tenant",
        "show",
        "--server",
        &served.address,
        "--data",
        &nowhere,
    ]);
    assert!(message.contains("UNAUTHENTICATED"), "{message}");
    std::fs::write(dir.path().join("local-key"), "0".repeat(64)).unwrap();
    let (_, message) = fails(&[
        "admin",
        "tenant",
        "show",
        "--server",
        &served.address,
        "--data",
        &nowhere,
    ]);
    assert!(message.contains("UNAUTHENTICATED"), "{message}");
    let shown = json(&[
        "admin",
        "tenant",
        "show",
        "--server",
        &served.address,
        "--json",
    ]);
    assert_eq!(shown["name"], "default");
    served.stop();
    // It stays.
    let served = Served::start(&["--data", &folder.display().to_string()]);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), key);
    served.stop();
    // One's own door may stay open, where it is said.
    let open = [
        "--data",
        &folder.display().to_string(),
        "--set",
        "identity.allow_default=true",
    ];
    let served = Served::start(&open);
    let shown = json(&[
        "admin",
        "tenant",
        "show",
        "--server",
        &served.address,
        "--data",
        "/no/such/folder",
        "--json",
    ]);
    assert_eq!(shown["name"], "default");
    served.stop();
}

#[test]
fn identity_that_cannot_be_right_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().display().to_string();
    let refused = |settings: &[&str], words: &[&str]| {
        let mut args = vec!["serve", "--data", &folder, "--listen", "127.0.0.1:0"];
        for setting in settings {
            args.extend(["--set", setting]);
        }
        let (_, message) = fails(&args);
        for word in words {
            assert!(message.contains(word), "{settings:?}: {message}");
        }
    };
    refused(&["identity.jwt.audience=regard"], &["identity.jwt.issuer"]);
    refused(
        &["identity.jwt.issuer=https://idp"],
        &["identity.jwt.audience", "jwks_file or jwks_url"],
    );
    let idp = [
        "identity.jwt.issuer=https://idp",
        "identity.jwt.audience=regard",
    ];
    refused(
        &[
            idp[0],
            idp[1],
            "identity.jwt.jwks_url=http://idp.example/keys",
        ],
        &["identity.jwt.jwks_url", "https://"],
    );
    refused(
        &[idp[0], idp[1], "identity.jwt.jwks_file=/no/such/file"],
        &["identity.jwt.jwks_file", "cannot be read"],
    );
    refused(
        &["identity.jwt.skew_s=61"],
        &["identity.jwt.skew_s", "0 to 60"],
    );
    let file = dir.path().join("regard.toml");
    let path = file.display().to_string();
    for (text, word) in [
        (
            "[[identity.certificates]]\nsan='x'\ntenant='a'\n",
            "identity.certificates[0].name",
        ),
        (
            "[[identity.certificates]]\nsan='x'\ntenant='a'\nname='b'\nrole='c'\n",
            "identity.certificates[0].role",
        ),
        (
            "[[identity.certificates]]\nsan='x'\ntenant='A!'\nname='b'\n",
            "identity.certificates[0].tenant",
        ),
        (
            "[[identity.keys]]\nkey='0123456789012345678901234567890123456789'\ntenant='a'\nname='b'\npermissions=['moon.read']\n",
            "moon.read",
        ),
    ] {
        std::fs::write(&file, text).unwrap();
        let (_, message) = fails(&[
            "serve",
            "--data",
            &folder,
            "--listen",
            "127.0.0.1:0",
            "--config",
            &path,
        ]);
        assert!(message.contains(word), "{message}");
    }
}
