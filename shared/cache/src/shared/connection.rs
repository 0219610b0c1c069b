//! Where Redis is, and the connection to it: single, Sentinel or Cluster, made at first use.

use std::sync::OnceLock;
use std::time::Duration;

use redis::aio::{
    ConnectionLike, ConnectionManager, ConnectionManagerConfig, MultiplexedConnection,
};
use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::cluster_async::ClusterConnection;
use redis::sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType};
use redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, IntoConnectionInfo, Pipeline, RedisFuture,
    RedisResult, TlsMode, Value,
};
use tokio::sync::Mutex;

const CONNECT: Duration = Duration::from_millis(500);
const RETRIES: usize = 2;

/// A Redis url that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error(
    "Redis url: {0}; expected redis://HOST:PORT[/DB], rediss://… with TLS, redis+sentinel://HOST:PORT,HOST:PORT/SERVICE[/DB] or redis+cluster://HOST:PORT,HOST:PORT (each with USER:PASSWORD@ if needed, `s` after redis for TLS)"
)]
pub struct RedisError(String);

pub(crate) enum Server {
    // A manager starts a task, so it is made within the runtime that uses it.
    Single {
        client: Client,
        manager: OnceLock<ConnectionManager>,
        answer: Duration,
    },
    Sentinel {
        client: Mutex<SentinelClient>,
        line: Mutex<Option<MultiplexedConnection>>,
        answer: Duration,
    },
    Cluster {
        client: ClusterClient,
        line: Mutex<Option<ClusterConnection>>,
    },
}

impl Server {
    pub(crate) fn parse(url: &str, answer: Duration) -> Result<Self, RedisError> {
        let Some((scheme, rest)) = url.split_once("://") else {
            return Err(RedisError("it has no scheme".to_owned()));
        };
        let (tls, kind) = match scheme {
            "redis+sentinel" => (false, 's'),
            "rediss+sentinel" => (true, 's'),
            "redis+cluster" => (false, 'c'),
            "rediss+cluster" => (true, 'c'),
            _ => {
                let client = Client::open(url).map_err(|e| RedisError(e.to_string()))?;
                return Ok(Self::Single {
                    client,
                    manager: OnceLock::new(),
                    answer,
                });
            }
        };
        let (login, rest) = rest
            .rsplit_once('@')
            .map_or(("", rest), |(login, rest)| (login, rest));
        let mut parts = rest.split('/');
        let hosts: Vec<&str> = parts.next().unwrap_or_default().split(',').collect();
        let at = if login.is_empty() { "" } else { "@" };
        let plain = if tls { "rediss" } else { "redis" };
        let nodes: Vec<String> = hosts
            .iter()
            .map(|host| format!("{plain}://{login}{at}{host}"))
            .collect();
        if kind == 'c' {
            Self::cluster(&nodes, answer)
        } else {
            Self::sentinel(&nodes, parts, tls, answer)
        }
    }

    fn cluster(nodes: &[String], answer: Duration) -> Result<Self, RedisError> {
        let client = ClusterClientBuilder::new(nodes.iter().map(String::as_str))
            .connection_timeout(CONNECT)
            .response_timeout(answer)
            .retries(u32::try_from(RETRIES).unwrap_or_default())
            .build()
            .map_err(|e| RedisError(e.to_string()))?;
        Ok(Self::Cluster {
            client,
            line: Mutex::new(None),
        })
    }

    fn sentinel<'a>(
        nodes: &[String],
        mut path: impl Iterator<Item = &'a str>,
        tls: bool,
        answer: Duration,
    ) -> Result<Self, RedisError> {
        let wrong = |e: redis::RedisError| RedisError(e.to_string());
        let service = path.next().filter(|s| !s.is_empty());
        let service =
            service.ok_or_else(|| RedisError("it names no Sentinel service".to_owned()))?;
        let infos = nodes.iter().map(|n| n.as_str().into_connection_info());
        let infos = infos.collect::<RedisResult<Vec<_>>>().map_err(wrong)?;
        let addresses: Vec<ConnectionAddr> = infos.iter().map(|i| i.addr().clone()).collect();
        let mut builder =
            SentinelClientBuilder::new(addresses, service, SentinelServerType::Master)
                .map_err(wrong)?;
        if let Some(database) = path.next().filter(|s| !s.is_empty()) {
            let database = database
                .parse()
                .map_err(|_| RedisError(format!("database {database} is no number")))?;
            builder = builder.set_client_to_redis_db(database);
        }
        if tls {
            builder = builder.set_client_to_redis_tls_mode(TlsMode::Secure);
        }
        // The login is the data nodes'; Sentinels on a private network need none.
        let login = infos.first().map(redis::ConnectionInfo::redis_settings);
        if let Some(user) = login.and_then(redis::RedisConnectionInfo::username) {
            builder = builder.set_client_to_redis_username(user);
        }
        if let Some(password) = login.and_then(redis::RedisConnectionInfo::password) {
            builder = builder.set_client_to_redis_password(password);
        }
        let client = Mutex::new(builder.build().map_err(wrong)?);
        Ok(Self::Sentinel {
            client,
            line: Mutex::new(None),
            answer,
        })
    }

    /// Keys lie on several nodes: a request may name only one.
    pub(crate) fn one_key_a_request(&self) -> bool {
        matches!(self, Self::Cluster { .. })
    }

    pub(crate) async fn line(&self) -> RedisResult<Line> {
        match self {
            Self::Single {
                client,
                manager,
                answer,
            } => {
                if let Some(manager) = manager.get() {
                    return Ok(Line::Single(manager.clone()));
                }
                let config = ConnectionManagerConfig::new()
                    .set_connection_timeout(Some(CONNECT))
                    .set_response_timeout(Some(*answer))
                    .set_number_of_retries(RETRIES)
                    .set_max_delay(CONNECT);
                let made = ConnectionManager::new_lazy_with_config(client.clone(), config)?;
                Ok(Line::Single(manager.get_or_init(|| made).clone()))
            }
            Self::Sentinel {
                client,
                line,
                answer,
            } => {
                let mut line = line.lock().await;
                if let Some(line) = &*line {
                    return Ok(Line::Sentinel(line.clone()));
                }
                let config = AsyncConnectionConfig::new()
                    .set_connection_timeout(Some(CONNECT))
                    .set_response_timeout(Some(*answer));
                let made = client
                    .lock()
                    .await
                    .get_async_connection_with_config(&config)
                    .await?;
                *line = Some(made.clone());
                Ok(Line::Sentinel(made))
            }
            Self::Cluster { client, line } => {
                let mut line = line.lock().await;
                if let Some(line) = &*line {
                    return Ok(Line::Cluster(line.clone()));
                }
                let made = client.get_async_connection().await?;
                *line = Some(made.clone());
                Ok(Line::Cluster(made))
            }
        }
    }

    /// After a failure. A manager and a cluster connection mend themselves; a Sentinel is asked again.
    pub(crate) async fn doubt(&self) {
        if let Self::Sentinel { line, .. } = self {
            *line.lock().await = None;
        }
    }
}

/// A shared connection.
#[derive(Clone)]
pub(crate) enum Line {
    Single(ConnectionManager),
    Sentinel(MultiplexedConnection),
    Cluster(ClusterConnection),
}

impl ConnectionLike for Line {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Single(line) => line.req_packed_command(cmd),
            Self::Sentinel(line) => line.req_packed_command(cmd),
            Self::Cluster(line) => line.req_packed_command(cmd),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Single(line) => line.req_packed_commands(pipeline, offset, count),
            Self::Sentinel(line) => line.req_packed_commands(pipeline, offset, count),
            Self::Cluster(line) => line.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Single(line) => line.get_db(),
            Self::Sentinel(line) => line.get_db(),
            Self::Cluster(line) => line.get_db(),
        }
    }
}
