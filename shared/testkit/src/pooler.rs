//! A transaction pooler in front of a test database.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sqlx::{Connection as _, PgConnection};

use crate::guard::{Guard, free_port};
use crate::postgres::TestDb;
use crate::programs;

const START_LIMIT: Duration = Duration::from_secs(20);

/// `PgBouncer` in transaction mode with few server connections, so that its clients share them.
pub struct Pooler {
    /// What the services take, through the pooler.
    pub url: String,
    guard: Option<Guard>,
}

impl Pooler {
    /// Starts one in front of a database.
    ///
    /// # Panics
    /// When it cannot be had; the message says what to install.
    pub async fn start(database: &TestDb) -> Self {
        match Self::open(database).await {
            Ok(pooler) => pooler,
            Err(why) => panic!("{why}"),
        }
    }

    async fn open(database: &TestDb) -> Result<Self, String> {
        let program = programs::pgbouncer()?;
        let (_, server) = database.url.split_once('@').ok_or("a url without a user")?;
        let (host, rest) = server.split_once(':').ok_or("a url without a port")?;
        let (port, name) = rest.split_once('/').ok_or("a url without a database")?;
        let mut make = programs::unprivileged(Path::new("mktemp"));
        make.arg("-d")
            .arg(std::env::temp_dir().join("regard-pooler.XXXXXXXX"));
        let home = PathBuf::from(programs::finish(make)?);
        let own = free_port();
        let users: String = ["regard", "regard_owner"]
            .iter()
            .map(|user| format!("\"{user}\" \"\"\n"))
            .collect();
        let settings = format!(
            "[databases]\n{name} = host={host} port={port}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {own}\n\
             unix_socket_dir =\nauth_type = trust\nauth_file = {users}\npool_mode = transaction\ndefault_pool_size = 4\n\
             ignore_startup_parameters = extra_float_digits,options\n",
            users = home.join("users").display()
        );
        for (file, text) in [("users", users), ("settings", settings)] {
            let path = home.join(file);
            std::fs::write(&path, text).map_err(|e| format!("{}: {e}", path.display()))?;
        }
        let args = [home.join("settings").display().to_string()];
        let shell = programs::unprivileged(Path::new("sh"));
        let guard = Guard::start(shell, &home, "TERM", false, &program, &args)?;
        let url = format!("postgres://regard@127.0.0.1:{own}/{name}");
        let limit = Instant::now() + START_LIMIT;
        while PgConnection::connect(&url).await.is_err() {
            if guard.ended() || Instant::now() > limit {
                return Err(format!("PgBouncer does not answer: {}", guard.log()));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(Self {
            url,
            guard: Some(guard),
        })
    }
}

impl Drop for Pooler {
    fn drop(&mut self) {
        if let Some(guard) = self.guard.take() {
            guard.stop();
        }
    }
}
