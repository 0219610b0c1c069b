//! The Redis of this test run, and private ones that a test may stop.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::guard::{Guard, free_port};
use crate::programs;

const START_LIMIT: Duration = Duration::from_secs(30);
/// Each test gets a database number of its own; `tests/run` starts its server with as many.
const DATABASES: u64 = 4096;

/// A fresh, empty database on the Redis of this run.
#[derive(Clone, Debug)]
pub struct Redis {
    /// `redis://127.0.0.1:port/number`
    pub url: String,
}

/// A fresh database on the server of this run: the given one, or one of our own.
///
/// # Panics
/// When no server can be started or reached; the message says what to install or to set.
pub fn redis() -> Redis {
    static OWN: OnceLock<Result<RedisServer, String>> = OnceLock::new();
    let base = std::env::var("REGARD_TEST_REDIS_URL").unwrap_or_else(|_| {
        match OWN.get_or_init(RedisServer::open) {
            Ok(server) => server.url(),
            Err(why) => panic!("{why}"),
        }
    });
    let address = base
        .trim_start_matches("redis://")
        .split('/')
        .next()
        .unwrap_or_default()
        .to_owned();
    match fresh_database(&address) {
        Ok(number) => Redis {
            url: format!("redis://{address}/{number}"),
        },
        Err(why) => panic!("the Redis at {address} does not answer: {why}"),
    }
}

fn fresh_database(address: &str) -> Result<u64, String> {
    let count = command(address, &["INCR regard:testkit"])?;
    let count: u64 = count
        .trim_start_matches(':')
        .parse()
        .map_err(|_| format!("INCR answered {count}"))?;
    let number = 1 + count % (DATABASES - 1);
    let answer = command(address, &[&format!("SELECT {number}"), "FLUSHDB"])?;
    if answer.starts_with('+') {
        Ok(number)
    } else {
        Err(answer)
    }
}

/// Sends lines in Redis' inline form; the last answer's first line.
fn command(address: &str, lines: &[&str]) -> Result<String, String> {
    let talk = || -> std::io::Result<String> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut answer = String::new();
        for line in lines {
            (&stream).write_all(format!("{line}\r\n").as_bytes())?;
            answer.clear();
            reader.read_line(&mut answer)?;
        }
        Ok(answer.trim().to_owned())
    };
    talk().map_err(|e| e.to_string())
}

/// A private Redis on a port that stays its own over stops and starts.
pub struct RedisServer {
    port: u16,
    folder: TempDir,
    program: PathBuf,
    guard: Option<Guard>,
}

impl RedisServer {
    /// Starts a private server (20 to 50 ms).
    ///
    /// # Panics
    /// When it does not start; the message says why.
    pub async fn start() -> Self {
        match tokio::task::spawn_blocking(Self::open).await {
            Ok(Ok(server)) => server,
            Ok(Err(why)) => panic!("{why}"),
            Err(e) => panic!("{e}"),
        }
    }

    fn open() -> Result<Self, String> {
        let program = programs::redis_server()?;
        let mut why = String::new();
        for _ in 0..5 {
            let folder = tempfile::Builder::new()
                .prefix("regard-redis.")
                .tempdir()
                .map_err(|e| e.to_string())?;
            let mut server = Self {
                port: free_port(),
                folder,
                program: program.clone(),
                guard: None,
            };
            match server.launch() {
                Ok(()) => return Ok(server),
                Err(e) => why = e,
            }
        }
        Err(format!("Redis did not start: {why}"))
    }

    fn launch(&mut self) -> Result<(), String> {
        let folder = self.folder.path();
        let args: Vec<String> = [
            "--port",
            &self.port.to_string(),
            "--bind",
            "127.0.0.1",
            "--dir",
            &folder.display().to_string(),
            "--save",
            "",
            "--appendonly",
            "no",
            "--databases",
            &DATABASES.to_string(),
            "--daemonize",
            "no",
        ]
        .map(str::to_owned)
        .to_vec();
        let guard = Guard::start(
            Command::new("sh"),
            folder,
            "KILL",
            false,
            &self.program,
            &args,
        )?;
        let limit = Instant::now() + START_LIMIT;
        while Instant::now() < limit && !guard.ended() {
            if self.is_ours(folder) {
                self.guard = Some(guard);
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let log = guard.log();
        guard.stop();
        Err(log)
    }

    /// The server that answers works in our folder.
    fn is_ours(&self, folder: &Path) -> bool {
        let ask = || -> std::io::Result<bool> {
            let stream = TcpStream::connect(("127.0.0.1", self.port))?;
            stream.set_read_timeout(Some(Duration::from_secs(2)))?;
            (&stream).write_all(b"CONFIG GET dir\r\n")?;
            // *2, $3, dir, $n, the folder
            let folder = folder.canonicalize()?;
            Ok(BufReader::new(stream)
                .lines()
                .nth(4)
                .transpose()?
                .is_some_and(|line| Path::new(&line) == folder))
        };
        ask().unwrap_or(false)
    }

    /// `redis://127.0.0.1:port`
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The port, the same over stops and starts.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Kills the server, as a crash would; its data is lost. No effect when it is stopped.
    pub fn stop(&mut self) {
        if let Some(guard) = self.guard.take() {
            guard.stop();
        }
    }

    /// Starts it again, empty, on the same port.
    ///
    /// # Panics
    /// When it does not start, for example because another process took the port.
    pub async fn start_again(&mut self) {
        self.stop();
        if let Err(why) = std::fs::create_dir_all(self.folder.path())
            .map_err(|e| e.to_string())
            .and_then(|()| self.launch())
        {
            panic!("Redis did not start again on port {}: {why}", self.port);
        }
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.stop();
    }
}
