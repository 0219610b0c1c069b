//! Where the server programs are on this machine, and under which user they may run.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

const POSTGRES_HINT: &str = "PostgreSQL 15 or newer is needed for the tests: install it (Debian: `apt-get install postgresql`) or set REGARD_TEST_POSTGRES_URL to a server whose user is a superuser";
const REDIS_HINT: &str = "Redis 7 or newer is needed for the tests: install it (Debian: `apt-get install redis-server`) or set REGARD_TEST_REDIS_URL";

/// The folder that holds `initdb` and `postgres`.
pub(crate) fn postgres_folder() -> Result<PathBuf, String> {
    let mut folders = on_path();
    // Debian keeps the servers of all versions off the path; the newest is taken.
    if let Ok(versions) = std::fs::read_dir("/usr/lib/postgresql") {
        let mut found: Vec<(u32, PathBuf)> = versions
            .flatten()
            .filter_map(|v| Some((v.file_name().to_str()?.parse().ok()?, v.path().join("bin"))))
            .collect();
        found.sort();
        folders.extend(found.into_iter().rev().map(|(_, path)| path));
    }
    folders
        .into_iter()
        .find(|f| f.join("initdb").is_file() && f.join("postgres").is_file())
        .ok_or_else(|| POSTGRES_HINT.to_owned())
}

pub(crate) fn redis_server() -> Result<PathBuf, String> {
    on_path()
        .into_iter()
        .flat_map(|f| [f.join("redis-server"), f.join("valkey-server")])
        .find(|p| p.is_file())
        .ok_or_else(|| REDIS_HINT.to_owned())
}

pub(crate) fn pgbouncer() -> Result<PathBuf, String> {
    on_path()
        .into_iter()
        .chain([PathBuf::from("/usr/sbin")])
        .map(|f| f.join("pgbouncer"))
        .find(|p| p.is_file())
        .ok_or_else(|| "no PgBouncer: install it (Debian: `apt-get install pgbouncer`)".to_owned())
}

fn on_path() -> Vec<PathBuf> {
    std::env::var_os("PATH")
        .map(|p| std::env::split_paths(&p).collect())
        .unwrap_or_default()
}

/// A command that runs `program` as an ordinary user: PostgreSQL refuses root.
pub(crate) fn unprivileged(program: &Path) -> Command {
    if is_root() {
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--"]).arg(program);
        command
    } else {
        Command::new(program)
    }
}

fn is_root() -> bool {
    static ROOT: OnceLock<bool> = OnceLock::new();
    *ROOT.get_or_init(|| {
        Command::new("id")
            .arg("-u")
            .output()
            .is_ok_and(|o| String::from_utf8_lossy(&o.stdout).trim() == "0")
    })
}

/// Runs a command to its end; an error carries what it printed.
pub(crate) fn finish(mut command: Command) -> Result<String, String> {
    let out = command
        .stdin(Stdio::null())
        .output()
        .map_err(|e| format!("{command:?}: {e}"))?;
    if out.status.success() {
        return Ok(String::from_utf8_lossy(&out.stdout).trim().to_owned());
    }
    Err(format!(
        "{command:?} ended with {}: {}{}",
        out.status,
        String::from_utf8_lossy(&out.stdout),
        String::from_utf8_lossy(&out.stderr)
    ))
}
