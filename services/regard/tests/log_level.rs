//! `regard log-level`, against a running server.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Served, fails, ok};

#[test]
fn the_level_of_a_running_server_is_changed_from_its_machine() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("data").display().to_string();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let figures = free.local_addr().unwrap().to_string();
    drop(free);
    let listen = format!("server.metrics_listen={figures}");
    let _served = Served::start(&["--data", &folder, "--set", &listen]);
    let told = ok(&["log-level", "info,regard_scoring=debug", "--set", &listen]);
    assert!(told.contains("regard_scoring=debug"), "{told}");
    ok(&["log-level", "warn", "--metrics", &figures]);

    let (code, wrong) = fails(&["log-level", "loud", "--metrics", &figures]);
    assert!(
        code == 1 && wrong.contains("expected error, warn"),
        "{wrong}"
    );
    let (_, unset) = fails(&["log-level", "debug"]);
    assert!(unset.contains("server.metrics_listen"), "{unset}");
    let (_, away) = fails(&["log-level", "debug", "--metrics", "127.0.0.1:1"]);
    assert!(away.contains("127.0.0.1:1"), "{away}");
}
