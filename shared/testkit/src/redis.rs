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
        match OWN.get_or_init(|| RedisServer::open(Kind::Single)) {
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

#[derive(Clone, Copy)]
enum Kind {
    Single,
    /// All slots on one node: enough to see what a cluster refuses.
    Cluster,
    /// Watches the server on this port under the name [`SERVICE`].
    Sentinel(u16),
}

/// The name by which a test's Sentinel knows its server.
const SERVICE: &str = "main";

/// A private Redis on a port that stays its own over stops and starts.
pub struct RedisServer {
    kind: Kind,
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
        Self::start_kind(Kind::Single).await
    }

    /// Starts a cluster of one node.
    ///
    /// # Panics
    /// When it does not start; the message says why.
    pub async fn start_cluster() -> Self {
        let server = Self::start_kind(Kind::Cluster).await;
        let address = format!("127.0.0.1:{}", server.port);
        if let Err(why) = command(&address, &["CLUSTER ADDSLOTSRANGE 0 16383"]) {
            panic!("{why}");
        }
        let limit = Instant::now() + START_LIMIT;
        while command(&address, &["GET x"]).is_ok_and(|answer| answer.starts_with("-CLUSTERDOWN")) {
            assert!(
                Instant::now() < limit,
                "the cluster at {address} stays down"
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        server
    }

    /// Starts a Sentinel that watches this server.
    ///
    /// # Panics
    /// When it does not start; the message says why.
    pub async fn start_sentinel(&self) -> Self {
        Self::start_kind(Kind::Sentinel(self.port)).await
    }

    async fn start_kind(kind: Kind) -> Self {
        match tokio::task::spawn_blocking(move || Self::open(kind)).await {
            Ok(Ok(server)) => server,
            Ok(Err(why)) => panic!("{why}"),
            Err(e) => panic!("{e}"),
        }
    }

    fn open(kind: Kind) -> Result<Self, String> {
        let program = programs::redis_server()?;
        let mut why = String::new();
        for _ in 0..5 {
            let folder = tempfile::Builder::new()
                .prefix("regard-redis.")
                .tempdir()
                .map_err(|e| e.to_string())?;
            let mut server = Self {
                kind,
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

    fn settings(&self) -> String {
        let common = format!(
            "port {}\nbind 127.0.0.1\ndir {}\ndaemonize no\n",
            self.port,
            self.folder.path().display()
        );
        let more = match self.kind {
            Kind::Single => format!("save \"\"\nappendonly no\ndatabases {DATABASES}\n"),
            Kind::Cluster => {
                format!(
                    "save \"\"\nappendonly no\ncluster-enabled yes\ncluster-port {}\n",
                    free_port()
                )
            }
            Kind::Sentinel(port) => format!("sentinel monitor {SERVICE} 127.0.0.1 {port} 1\n"),
        };
        common + &more
    }

    fn launch(&mut self) -> Result<(), String> {
        let folder = self.folder.path();
        let file = folder.join("redis.conf");
        std::fs::create_dir_all(folder).map_err(|e| e.to_string())?;
        std::fs::write(&file, self.settings()).map_err(|e| e.to_string())?;
        let mut args = vec![file.display().to_string()];
        if matches!(self.kind, Kind::Sentinel(_)) {
            args.push("--sentinel".to_owned());
        }
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
            if self.is_ours(&file) {
                self.guard = Some(guard);
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let log = guard.log();
        guard.stop();
        Err(log)
    }

    /// The server that answers was started with our file.
    fn is_ours(&self, file: &Path) -> bool {
        let ask = || -> std::io::Result<bool> {
            let stream = TcpStream::connect(("127.0.0.1", self.port))?;
            stream.set_read_timeout(Some(Duration::from_secs(2)))?;
            (&stream).write_all(b"INFO server\r\nQUIT\r\n")?;
            let theirs = BufReader::new(stream)
                .lines()
                .map_while(Result::ok)
                .find_map(|line| line.strip_prefix("config_file:").map(str::to_owned));
            Ok(theirs.is_some_and(|theirs| Path::new(&theirs) == file))
        };
        ask().unwrap_or(false)
    }

    /// Where a client finds it: `redis://127.0.0.1:port`, or the cluster's or the Sentinel's form.
    pub fn url(&self) -> String {
        match self.kind {
            Kind::Single => format!("redis://127.0.0.1:{}", self.port),
            Kind::Cluster => format!("redis+cluster://127.0.0.1:{}", self.port),
            Kind::Sentinel(_) => format!("redis+sentinel://127.0.0.1:{}/{SERVICE}", self.port),
        }
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
        if let Err(why) = self.launch() {
            panic!("Redis did not start again on port {}: {why}", self.port);
        }
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.stop();
    }
}
