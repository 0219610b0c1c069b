//! A process that serves a plan, and its sudden end.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use regard_client::{Client, Options};

use crate::plan::{Plan, key_of};

/// A running process; killed when dropped.
pub struct Process {
    child: Child,
    /// `http://127.0.0.1:port`.
    pub address: String,
}

impl Process {
    /// Starts the program on the plan and waits until it serves. Needs [`Plan::listen`].
    ///
    /// # Panics
    /// When it ends early; its log is on the standard error.
    #[must_use]
    pub fn start(program: &str, plan: &Plan) -> Self {
        Self::begin(plan, &mut Command::new(program))
    }

    /// As [`Process::start`], with a log of this level in a file.
    ///
    /// # Panics
    /// As there, and when the file cannot be made.
    #[must_use]
    pub fn start_logged(program: &str, plan: &Plan, level: &str, log: &Path) -> Self {
        let log = File::create(log).unwrap();
        let mut command = Command::new(program);
        Self::begin(plan, command.env("SUITE_LOG", level).stderr(log))
    }

    fn begin(plan: &Plan, command: &mut Command) -> Self {
        let mut child = command
            .arg(serde_json::to_string(plan).unwrap())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let Some(address) = line.strip_prefix("ready ") else {
            let _ = child.kill();
            panic!("the process of {plan:?} did not start: {:?}", child.wait());
        };
        Self {
            child,
            address: format!("http://{}", address.trim()),
        }
    }

    /// Kills it with SIGKILL and waits until it is gone.
    pub fn kill(mut self) {
        self.end();
    }

    /// Asks it to stop (SIGTERM) and waits until it is gone; whether it ended well.
    ///
    /// # Panics
    /// When it cannot be asked.
    pub fn terminate(&mut self) -> bool {
        let id = self.child.id().to_string();
        let asked = Command::new("kill").args(["-TERM", &id]).status().unwrap();
        assert!(asked.success());
        self.child.wait().unwrap().success()
    }

    /// The memory that it holds, in bytes; 0 where the system does not tell.
    #[must_use]
    pub fn memory(&self) -> u64 {
        self.memory_of()()
    }

    /// As [`Process::memory`], to be asked from elsewhere.
    pub fn memory_of(&self) -> impl Fn() -> u64 + Send + 'static {
        let path = format!("/proc/{}/status", self.child.id());
        move || {
            let status = std::fs::read_to_string(&path).unwrap_or_default();
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
            let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse().ok());
            kib.unwrap_or(0_u64) * 1024
        }
    }

    fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// A client of a tenant.
    #[must_use]
    pub fn client(&self, tenant: &str) -> Client {
        client_at(&self.address, tenant)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

/// A client of a tenant at an address; connects when it is used.
///
/// # Panics
/// When the address is none.
#[must_use]
pub fn client_at(address: &str, tenant: &str) -> Client {
    let api_key = (tenant != "default").then(|| key_of(tenant));
    Client::lazy(
        address,
        &Options {
            api_key,
            ..Options::default()
        },
    )
    .unwrap()
}
