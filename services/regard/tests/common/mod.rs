//! Runs the binary as a user would.
#![allow(dead_code, clippy::unwrap_used, clippy::panic)]

use std::path::PathBuf;
use std::process::{Command, Output};

use serde_json::Value;

/// A file of the repository's test data.
pub fn data(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../tests/data")
        .join(name)
}

/// Addresses of suites with their data folders, where their keys lie.
static FOLDERS: std::sync::Mutex<Vec<(String, String)>> = std::sync::Mutex::new(Vec::new());

/// Runs with arguments and no settings from outside but the data folder of the suite that is called.
pub fn run(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_regard"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("REGARD_") {
            command.env_remove(name);
        }
    }
    let server = args.iter().skip_while(|arg| **arg != "--server").nth(1);
    let known = FOLDERS.lock().unwrap();
    if let Some((_, folder)) = server.and_then(|at| known.iter().find(|(address, _)| address == at))
    {
        command.env("REGARD_DATA__FOLDER", folder);
    }
    drop(known);
    command.args(args).output().unwrap()
}

/// Output of a run that succeeds.
pub fn ok(args: &[&str]) -> String {
    let output = run(args);
    assert!(
        output.status.success(),
        "{args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// The JSON of a run that succeeds.
pub fn json(args: &[&str]) -> Value {
    serde_json::from_str(&ok(args)).unwrap()
}

/// Exit code and message of a run that does not.
pub fn fails(args: &[&str]) -> (i32, String) {
    let output = run(args);
    assert!(!output.status.success(), "{args:?} succeeded");
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(!message.contains("panicked"), "{message}");
    (output.status.code().unwrap(), message)
}

/// Asserts that two numbers are within a share of the second.
pub fn near(name: &str, got: &Value, want: f64, relative: f64) {
    let got = got
        .as_f64()
        .unwrap_or_else(|| panic!("{name}: {got} is no number"));
    assert!(
        (got - want).abs() <= relative * want.abs().max(1e-300),
        "{name}: {got} against {want}"
    );
}

/// `reference/cdnow.json`.
pub fn reference() -> Value {
    serde_json::from_str(&std::fs::read_to_string(data("reference/cdnow.json")).unwrap()).unwrap()
}

/// A suite that runs as a process of its own; stopped when it goes.
pub struct Served {
    child: std::process::Child,
    /// Where it answers.
    pub address: String,
}

impl Served {
    /// Starts `regard serve` with arguments, on a free port, and waits until it says where it answers.
    pub fn start(args: &[&str]) -> Self {
        use std::io::{BufRead as _, BufReader};
        let mut command = Command::new(env!("CARGO_BIN_EXE_regard"));
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("REGARD_") {
                command.env_remove(name);
            }
        }
        command.arg("serve").args(args).args([
            "--listen",
            "127.0.0.1:0",
            "--set",
            "log.level=warn",
        ]);
        let mut child = command
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let first = lines
            .next()
            .unwrap_or_else(|| panic!("serve {args:?} ended at once"))
            .unwrap();
        let at = first
            .find("http://")
            .unwrap_or_else(|| panic!("no address in {first:?}"));
        let address = first[at..].to_owned();
        if let Some(folder) = args.iter().skip_while(|arg| **arg != "--data").nth(1) {
            let mut known = FOLDERS.lock().unwrap();
            known.retain(|(before, _)| *before != address);
            known.push((address.clone(), (*folder).to_owned()));
        }
        // What else it prints must find a reader.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address }
    }

    /// Asks it to end by SIGTERM; whether it ended well, and how long it took.
    pub fn stop(mut self) -> (bool, std::time::Duration) {
        let begun = std::time::Instant::now();
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &pid])
                .status()
                .unwrap()
                .success()
        );
        let status = self.child.wait().unwrap();
        (status.success(), begun.elapsed())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // Ended already, mostly.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
