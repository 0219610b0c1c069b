//! The PostgreSQL of this test run, and fresh databases in it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{OnceLock, mpsc};
use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tokio::sync::oneshot;

use crate::guard::{Guard, free_port};
use crate::programs;

const START_LIMIT: Duration = Duration::from_secs(60);
/// Owns the test databases and their tables.
const OWNER: &str = "regard_owner";
/// What the services work as: it owns nothing, and row-level security holds for it.
const ROLE: &str = "regard";
/// What the services' own jobs take for a transaction.
const SYSTEM: &str = "regard_system";

/// A PostgreSQL server for tests.
pub struct Postgres {
    /// Scheme, host and port with the superuser: `postgres://postgres@127.0.0.1:port`.
    admin: String,
    orders: mpsc::Sender<Order>,
    _guard: Option<Guard>,
}

/// A fresh, empty database, dropped when this value is.
pub struct TestDb {
    /// For the services: a role that owns nothing and cannot pass row-level security.
    pub url: String,
    /// For migrations: the role that owns the database.
    pub migrate_url: String,
    /// For set-up and a look at all rows: a superuser.
    pub admin_url: String,
    /// The database's name.
    pub name: String,
    orders: mpsc::Sender<Order>,
}

enum Order {
    Create {
        name: String,
        template: String,
        done: oneshot::Sender<Result<(), String>>,
    },
    Drop {
        name: String,
    },
}

/// The server of this run: the given one, or one of our own, started at the first call (2 to 3 s).
///
/// # Panics
/// When no server can be started or reached; the message says what to install or to set.
pub fn postgres() -> &'static Postgres {
    static SERVER: OnceLock<Result<Postgres, String>> = OnceLock::new();
    match SERVER.get_or_init(Postgres::open) {
        Ok(server) => server,
        Err(why) => panic!("{why}"),
    }
}

impl Postgres {
    fn open() -> Result<Self, String> {
        if let Ok(given) = std::env::var("REGARD_TEST_POSTGRES_URL") {
            let admin = trunk(&given);
            let orders = serve_orders(admin.clone(), None, || false)
                .map_err(|e| format!("REGARD_TEST_POSTGRES_URL ({admin}) does not answer: {e}"))?;
            return Ok(Self {
                admin,
                orders,
                _guard: None,
            });
        }
        let folder = programs::postgres_folder()?;
        let home = init(&folder)?;
        let mut why = String::new();
        // Somebody may take the port between our looking and PostgreSQL's binding.
        for _ in 0..5 {
            let port = free_port();
            let guard = start(&folder, &home, port)?;
            let admin = format!("postgres://postgres@127.0.0.1:{port}");
            match serve_orders(admin.clone(), Some(home.join("data")), || guard.ended()) {
                Ok(orders) => {
                    return Ok(Self {
                        admin,
                        orders,
                        _guard: Some(guard),
                    });
                }
                Err(e) => why = format!("{e}\n{}", guard.log()),
            }
            guard.stop();
        }
        Err(format!(
            "PostgreSQL did not start in {}: {why}",
            home.display()
        ))
    }

    /// A fresh, empty database (0.1 to 0.3 s).
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn database(&self) -> TestDb {
        self.database_from("template0").await
    }

    /// A fresh copy of a database that nobody is connected to, for example one migrated once for many tests.
    ///
    /// # Panics
    /// When the server refuses.
    pub async fn database_from(&self, template: &str) -> TestDb {
        let name = format!("t_{}", uuid::Uuid::new_v4().simple());
        let (done, answer) = oneshot::channel();
        let order = Order::Create {
            name: name.clone(),
            template: template.to_owned(),
            done,
        };
        let sent = self.orders.send(order).is_ok();
        match answer.await {
            Ok(Ok(())) if sent => {}
            Ok(Err(why)) => panic!("database {name} from {template}: {why}"),
            _ => panic!("database {name}: the thread that makes databases is gone"),
        }
        TestDb {
            url: format!(
                "{}/{name}",
                self.admin.replacen("postgres@", &format!("{ROLE}@"), 1)
            ),
            migrate_url: format!(
                "{}/{name}",
                self.admin.replacen("postgres@", &format!("{OWNER}@"), 1)
            ),
            admin_url: format!("{}/{name}", self.admin),
            name,
            orders: self.orders.clone(),
        }
    }

    /// The superuser's url of the database `postgres`.
    pub fn admin_url(&self) -> String {
        format!("{}/postgres", self.admin)
    }
}

impl Drop for TestDb {
    fn drop(&mut self) {
        let _ = self.orders.send(Order::Drop {
            name: std::mem::take(&mut self.name),
        });
    }
}

/// The owner's url of a test store, from what the services take; empty for SQLite, which knows no roles.
#[must_use]
pub fn migrate_url(url: &str) -> String {
    if url.starts_with("sqlite:") {
        return String::new();
    }
    url.replacen(&format!("{ROLE}@"), &format!("{OWNER}@"), 1)
}

/// From what the services take, the url that sees every row: the superuser's on PostgreSQL.
#[must_use]
pub fn admin_url(url: &str) -> String {
    if url.starts_with("sqlite:") {
        return url.to_owned();
    }
    url.replacen(&format!("{ROLE}@"), "postgres@", 1)
}

/// The url without its database.
fn trunk(url: &str) -> String {
    let start = url.find("://").map_or(0, |i| i + 3);
    let end = url[start..].find('/').map_or(url.len(), |i| start + i);
    url[..end].to_owned()
}

fn init(folder: &Path) -> Result<PathBuf, String> {
    let mut make = programs::unprivileged(Path::new("mktemp"));
    make.arg("-d")
        .arg(std::env::temp_dir().join("regard-postgres.XXXXXXXX"));
    let home = PathBuf::from(programs::finish(make)?);
    let mut init = programs::unprivileged(&folder.join("initdb"));
    init.current_dir(&home)
        .args([
            "--no-sync",
            "--no-instructions",
            "-U",
            "postgres",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C.UTF-8",
            "-D",
        ])
        .arg(home.join("data"));
    programs::finish(init)?;
    Ok(home)
}

fn start(folder: &Path, home: &Path, port: u16) -> Result<Guard, String> {
    let mut args = vec!["-D".to_owned(), home.join("data").display().to_string()];
    for setting in [
        "listen_addresses=127.0.0.1".to_owned(),
        format!("port={port}"),
        format!("unix_socket_directories={}", home.display()),
        "fsync=off".to_owned(),
        "full_page_writes=off".to_owned(),
        "max_connections=200".to_owned(),
        "shared_buffers=64MB".to_owned(),
        "max_wal_size=2GB".to_owned(),
        "checkpoint_timeout=30min".to_owned(),
        "jit=off".to_owned(),
    ] {
        args.push("-c".to_owned());
        args.push(setting);
    }
    let shell: Command = programs::unprivileged(Path::new("sh"));
    // SIGQUIT: an immediate stop; what the server held is thrown away anyway.
    Guard::start(shell, home, "QUIT", false, &folder.join("postgres"), &args)
}

/// One thread with one superuser connection makes and drops the databases of all tests, so that no test's
/// runtime owns it. Returns when the server answers, and is the expected one.
fn serve_orders(
    admin: String,
    data: Option<PathBuf>,
    ended: impl Fn() -> bool,
) -> Result<mpsc::Sender<Order>, String> {
    let (orders, inbox) = mpsc::channel();
    let (ready, started) = mpsc::channel();
    std::thread::spawn(move || {
        let runtime = match tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
        {
            Ok(runtime) => runtime,
            Err(e) => return drop(ready.send(Err(e.to_string()))),
        };
        let limit = Instant::now() + START_LIMIT;
        let mut connection = loop {
            match runtime.block_on(connect(&admin, data.as_deref())) {
                Ok(connection) => break connection,
                Err(e) if Instant::now() > limit => return drop(ready.send(Err(e))),
                Err(e) => {
                    // The other side stopped listening: the server has ended.
                    if ready.send(Err(e)).is_err() {
                        return;
                    }
                    std::thread::sleep(Duration::from_millis(25));
                }
            }
        };
        if ready.send(Ok(())).is_err() {
            return;
        }
        for order in inbox {
            runtime.block_on(carry_out(&mut connection, &admin, order));
        }
    });
    loop {
        match started.recv_timeout(START_LIMIT + Duration::from_secs(5)) {
            Ok(Ok(())) => return Ok(orders),
            Ok(Err(why)) if ended() => return Err(why),
            Ok(Err(_)) => {}
            Err(e) => {
                return Err(format!(
                    "no answer within {} s ({e})",
                    START_LIMIT.as_secs()
                ));
            }
        }
    }
}

async fn connect(admin: &str, data: Option<&Path>) -> Result<PgConnection, String> {
    let mut connection = PgConnection::connect(&format!("{admin}/postgres"))
        .await
        .map_err(|e| e.to_string())?;
    if let Some(data) = data {
        let theirs: String = sqlx::query_scalar("SELECT current_setting('data_directory')")
            .fetch_one(&mut connection)
            .await
            .map_err(|e| e.to_string())?;
        if Path::new(&theirs) != data {
            return Err(format!(
                "another server answers on this port: its data is in {theirs}"
            ));
        }
    }
    // several test programs may begin on one server at once
    let roles = format!(
        "BEGIN; SELECT pg_advisory_xact_lock(1); \
         DO $$ BEGIN CREATE ROLE {OWNER} LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$; \
         DO $$ BEGIN CREATE ROLE {SYSTEM} NOLOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$; \
         DO $$ BEGIN CREATE ROLE {ROLE} LOGIN NOINHERIT IN ROLE {SYSTEM}; EXCEPTION WHEN duplicate_object THEN NULL; END $$; \
         COMMIT"
    );
    sqlx::raw_sql(AssertSqlSafe(roles))
        .execute(&mut connection)
        .await
        .map_err(|e| e.to_string())?;
    Ok(connection)
}

async fn carry_out(connection: &mut PgConnection, admin: &str, order: Order) {
    // A test may have cut every connection to the server, ours too.
    if connection.ping().await.is_err()
        && let Ok(again) = connect(admin, None).await
    {
        *connection = again;
    }
    match order {
        Order::Create {
            name,
            template,
            done,
        } => {
            let sql = format!("CREATE DATABASE {name} OWNER {OWNER} TEMPLATE {template}");
            let made = connection.execute(AssertSqlSafe(sql)).await;
            let _ = done.send(made.map(drop).map_err(|e| e.to_string()));
        }
        Order::Drop { name } => {
            let sql = format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)");
            let _ = connection.execute(AssertSqlSafe(sql)).await;
        }
    }
}
