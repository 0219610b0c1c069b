//! `regard audit`, against the stores of a suite that ran and was stopped.
#![allow(clippy::unwrap_used)]

mod common;

use std::path::{Path, PathBuf};

use common::{Served, fails, json, ok};
use sqlx::Connection as _;

/// Makes tenants by a suite that is started and stopped for it.
fn written(folder: &str, tenants: &[&str]) {
    let served = Served::start(&["--data", folder]);
    for tenant in tenants {
        ok(&[
            "admin",
            "tenant",
            "create",
            tenant,
            "--server",
            &served.address,
        ]);
    }
    assert!(served.stop().0);
}

/// The files of the customer service's store.
fn store(folder: &Path) -> Vec<PathBuf> {
    let files = std::fs::read_dir(folder).unwrap();
    let files = files.map(|file| file.unwrap().path());
    files
        .filter(|path| {
            let name = path.file_name().unwrap().to_string_lossy();
            path.is_file() && name.starts_with("customer")
        })
        .collect()
}

fn copied(from: &Path, to: &Path) {
    store(to)
        .iter()
        .for_each(|file| std::fs::remove_file(file).unwrap());
    let files = store(from);
    assert!(!files.is_empty());
    for file in files {
        std::fs::copy(&file, to.join(file.file_name().unwrap())).unwrap();
    }
}

/// Changes a row as whoever has the file can.
fn meddle(folder: &Path) {
    let files = store(folder);
    let file = files.iter().find(|file| {
        let start = std::fs::read(file).unwrap();
        start.starts_with(b"SQLite format 3")
    });
    let url = format!("sqlite:{}", file.unwrap().display());
    let sql = "DROP TRIGGER audit_stays; UPDATE audit SET caller = 'somebody' \
               WHERE sequence = (SELECT max(sequence) FROM audit)";
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    });
}

#[test]
fn what_was_changed_or_put_back_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let (data, backup) = (dir.path().join("data"), dir.path().join("backup"));
    std::fs::create_dir(&backup).unwrap();
    let folder = data.display().to_string();
    written(&folder, &["one"]);
    copied(&data, &backup);
    written(&folder, &["two", "three"]);

    let told = ok(&["audit", "verify", "--data", &folder]);
    assert_eq!(told.matches(": as written").count(), 3, "{told}");
    let heads = ok(&["audit", "heads", "--data", &folder]);
    assert!(
        heads.lines().any(|line| line.starts_with("customer ")),
        "{heads}"
    );
    let anchor = dir.path().join("heads").display().to_string();
    std::fs::write(&anchor, &heads).unwrap();
    let verify = ["audit", "verify", "--data", &folder];
    let anchored = [&verify[..], &["--anchor", &anchor]].concat();
    let told = ok(&anchored);
    assert!(told.contains("0 not sealed yet"), "{told}");

    // A store that was put back whole is as it was written; only heads that were kept elsewhere tell.
    let newest = dir.path().join("newest");
    std::fs::create_dir(&newest).unwrap();
    copied(&data, &newest);
    copied(&backup, &data);
    ok(&verify);
    let (code, message) = fails(&anchored);
    assert_eq!(code, 1, "{message}");
    assert!(message.contains("not as it was written"), "{message}");
    let output = String::from_utf8(common::run(&anchored).stdout).unwrap();
    assert!(output.contains("not as it was noted"), "{output}");

    copied(&newest, &data);
    ok(&anchored);
    meddle(&data);
    let (code, message) = fails(&verify);
    assert_eq!(code, 1, "{message}");
    let found = common::run(&[&verify[..], &["--json"]].concat());
    let found: serde_json::Value = serde_json::from_slice(&found.stdout).unwrap();
    let findings = found["customer"]["findings"].as_array().unwrap();
    assert_eq!(findings.len(), 1, "{found}");
    let what = findings[0]["what"].as_str().unwrap();
    assert!(what.starts_with("changed"), "{found}");
    assert_eq!(found["feedback"]["findings"].as_array().unwrap().len(), 0);
    // Of the other services alone, all is well.
    let others = json(&[
        "audit", "verify", "feedback", "scoring", "--data", &folder, "--json",
    ]);
    assert!(others.get("customer").is_none(), "{others}");

    let bad = dir.path().join("bad").display().to_string();
    std::fs::write(&bad, "customer 0 3 nothing\n").unwrap();
    let (code, message) = fails(&[&verify[..], &["--anchor", &bad]].concat());
    assert!(code == 2 && message.contains("line 1"), "{code}: {message}");
}
