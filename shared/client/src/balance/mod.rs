//! Load balancing: every server behind the addresses has a connection of its own, made and remade in the background; a
//! call goes to the less busy of two that are up, and never waits for one that is gone, or goes to one that refuses, while
//! another is there.

mod dial;
mod replica;
mod rest;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::{Request, Response};
use tokio::sync::{Mutex, Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tonic::body::Body;

use crate::address::{Addresses, Host};
use crate::{ConnectError, Options, failed};
pub(crate) use dial::Dialer;
use replica::{Replica, State};

/// Shortest pause between two questions to the resolver.
const BREATH: Duration = Duration::from_secs(1);
/// Longest time that the resolver may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// A balancer; clones share the connections.
#[derive(Clone)]
pub(crate) struct Balancer(Arc<Inner>);

struct Inner {
    hosts: Vec<Arc<Host>>,
    dialer: Arc<Dialer>,
    replicas: ArcSwap<Vec<Arc<Replica>>>,
    news: Arc<News>,
    /// One asks the resolver at a time; when it was asked last.
    asking: Mutex<Option<Instant>>,
    resolver: std::sync::OnceLock<JoinHandle<()>>,
}

/// What replicas tell.
pub(crate) struct News {
    /// Some replica's state has changed.
    changed: watch::Sender<()>,
    /// One is down: perhaps the name has other servers by now.
    down: Notify,
}

/// Which servers a call has tried in vain.
#[derive(Debug, Default)]
pub(crate) struct Tried(Vec<SocketAddr>);

/// Why a call was not answered.
#[derive(Debug)]
pub(crate) enum Lost {
    /// The server has not seen it: it may be sent elsewhere at once.
    Unsent(String),
    /// No server can be reached now.
    Away(String),
    /// It was on its way: the server may have done it.
    Broken(String),
    /// Its time has passed.
    Late,
}

impl Balancer {
    pub(crate) fn new(addresses: Addresses, options: &Options) -> Result<Self, ConnectError> {
        let dialer = Arc::new(Dialer::new(addresses.secure, options)?);
        let hosts: Vec<Arc<Host>> = addresses.hosts.into_iter().map(Arc::new).collect();
        let news = Arc::new(News {
            changed: watch::Sender::new(()),
            down: Notify::new(),
        });
        let named = hosts.iter().any(|host| number(host).is_none());
        let inner = Inner {
            hosts,
            dialer,
            replicas: ArcSwap::default(),
            news,
            asking: Mutex::new(None),
            resolver: std::sync::OnceLock::new(),
        };
        // Numbers need no resolver.
        let known = inner
            .hosts
            .iter()
            .filter_map(|host| Some((Arc::clone(host), number(host)?)))
            .collect();
        inner.replace(known);
        let this = Self(Arc::new(inner));
        if named {
            let weak = Arc::downgrade(&this.0);
            let (news, pause) = (Arc::clone(&this.0.news), options.resolve);
            let task = tokio::spawn(async move {
                loop {
                    match weak.upgrade() {
                        None => return,
                        Some(inner) => inner.resolve().await,
                    }
                    tokio::time::sleep(BREATH.min(pause)).await;
                    let _ = tokio::time::timeout(pause, news.down.notified()).await;
                }
            });
            let _ = this.0.resolver.set(task);
        }
        Ok(this)
    }

    /// Waits until some server is connected.
    pub(crate) async fn ready(&self) -> Result<(), String> {
        match self.0.pick(&Tried::default()).await {
            Ok(_) => Ok(()),
            Err(Lost::Unsent(why) | Lost::Away(why) | Lost::Broken(why)) => Err(why),
            Err(Lost::Late) => Err("no answer in time".to_owned()),
        }
    }

    /// Sends a call to one server.
    pub(crate) async fn send(
        &self,
        mut request: Request<Body>,
        tried: &mut Tried,
    ) -> Result<Response<Body>, Lost> {
        let (replica, mut link) = self.0.pick(tried).await?;
        let _busy = replica.busy();
        replica.address_to(&mut request, self.0.dialer.scheme());
        match link.send_request(request).await {
            Ok(response) => {
                // An answer that refuses is the reason to ask another one, too.
                if failed::refuses(response.headers()) {
                    tried.0.push(replica.address);
                }
                match failed::rest(response.headers()) {
                    Some(asked) => replica.rest.refused(asked),
                    None => replica.rest.answered(),
                }
                Ok(response.map(Body::new))
            }
            Err(error) => {
                tried.0.push(replica.address);
                let lost = failed::lost(&error);
                if matches!(lost, Lost::Broken(_)) {
                    replica.rest.refused(Duration::ZERO);
                }
                Err(lost)
            }
        }
    }
}

impl Inner {
    /// A server that is up; waits while the first connections are made, and asks those that are down once more.
    async fn pick(&self, tried: &Tried) -> Result<(Arc<Replica>, replica::Link), Lost> {
        let mut changed = self.news.changed.subscribe();
        let mut again = false;
        loop {
            changed.mark_unchanged();
            let replicas = self.replicas.load_full();
            let mut dialing = false;
            let mut why = None;
            let mut up = Vec::with_capacity(replicas.len());
            for replica in replicas.iter() {
                match &**replica.state() {
                    State::Up(link) if !link.is_closed() => up.push(replica),
                    State::Up(_) | State::Dialing => dialing = true,
                    State::Idle => {
                        replica.try_now();
                        dialing = true;
                    }
                    State::Down(reason) => why = Some(Arc::clone(reason)),
                }
            }
            if up.iter().any(|replica| !tried.0.contains(&replica.address)) {
                up.retain(|replica| !tried.0.contains(&replica.address));
            }
            if let Some(replica) = less_busy(best(up)) {
                match &**replica.state() {
                    State::Up(link) => {
                        replica.rest.tried();
                        return Ok((Arc::clone(replica), link.clone()));
                    }
                    _ => continue, // it has gone just now
                }
            }
            if dialing {
                let _ = changed.changed().await;
                continue;
            }
            if again {
                let why = why.map_or_else(
                    || "its name has no address".to_owned(),
                    |why| why.to_string(),
                );
                return Err(Lost::Away(why));
            }
            again = true;
            if replicas.is_empty() {
                self.resolve().await;
            }
            for replica in self.replicas.load().iter() {
                replica.try_now();
            }
        }
    }

    /// Asks the resolver, unless it was asked just now.
    async fn resolve(&self) {
        let mut asked = self.asking.lock().await;
        if asked.is_some_and(|at| at.elapsed() < BREATH) {
            return;
        }
        let mut found = Vec::new();
        for host in &self.hosts {
            if let Some(address) = number(host) {
                found.push((Arc::clone(host), address));
                continue;
            }
            let answer = tokio::net::lookup_host((host.name.as_str(), host.port));
            let problem = match tokio::time::timeout(PATIENCE, answer).await {
                Ok(Ok(answer)) => {
                    let before = found.len();
                    found.extend(answer.map(|address| (Arc::clone(host), address)));
                    if found.len() > before {
                        continue;
                    }
                    "no address".to_owned()
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("no answer within {} s", PATIENCE.as_secs()),
            };
            tracing::debug!(
                host = host.name,
                problem,
                "name not resolved; its known servers stay"
            );
            let known = self.replicas.load();
            let known = known.iter().filter(|replica| replica.host == *host);
            found.extend(known.map(|replica| (Arc::clone(host), replica.address)));
        }
        self.replace(found);
        *asked = Some(Instant::now());
    }

    /// Takes these servers in use: what is known keeps its connection, what is gone loses it after its calls.
    fn replace(&self, mut found: Vec<(Arc<Host>, SocketAddr)>) {
        found.sort_by_key(|(_, address)| *address);
        found.dedup_by_key(|(_, address)| *address);
        let before = self.replicas.load();
        let now: Vec<Arc<Replica>> = found
            .into_iter()
            .map(|(host, address)| {
                let known = before
                    .iter()
                    .find(|r| r.address == address && r.host == host);
                known.map_or_else(
                    || {
                        Replica::start(
                            host,
                            address,
                            Arc::clone(&self.dialer),
                            Arc::clone(&self.news),
                        )
                    },
                    Arc::clone,
                )
            })
            .collect();
        self.replicas.store(Arc::new(now));
        self.news.changed.send_replace(());
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(resolver) = self.resolver.get() {
            resolver.abort();
        }
    }
}

impl std::fmt::Debug for Balancer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let replicas = self.0.replicas.load();
        f.debug_list()
            .entries(replicas.iter().map(|replica| replica.address))
            .finish()
    }
}

/// The address of a host that is a number.
fn number(host: &Host) -> Option<SocketAddr> {
    let ip: IpAddr = host.name.parse().ok()?;
    Some(SocketAddr::new(ip, host.port))
}

/// Those that refuse the least.
fn best(up: Vec<&Arc<Replica>>) -> Vec<&Arc<Replica>> {
    if up.len() < 2 {
        return up;
    }
    let graded: Vec<_> = up.iter().map(|replica| replica.rest.grade()).collect();
    let best = graded.iter().min().copied();
    let of = up.into_iter().zip(graded);
    of.filter(|(_, grade)| Some(*grade) == best)
        .map(|(replica, _)| replica)
        .collect()
}

/// The less busy of two that are drawn.
fn less_busy(mut up: Vec<&Arc<Replica>>) -> Option<&Arc<Replica>> {
    if up.len() < 2 {
        return up.pop();
    }
    let one = up.swap_remove(rand::random_range(0..up.len()));
    let other = up.swap_remove(rand::random_range(0..up.len()));
    Some(if other.open() < one.open() {
        other
    } else {
        one
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use tokio::net::TcpListener;

    use super::*;

    /// Connections to a server that says nothing: enough to be up.
    async fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    async fn balancer(of: &[SocketAddr]) -> Balancer {
        let text: Vec<String> = of.iter().map(ToString::to_string).collect();
        let addresses = Addresses::parse(&format!("http://{}", text.join(","))).unwrap();
        Balancer::new(addresses, &Options::default()).unwrap()
    }

    async fn drawn(balancer: &Balancer) -> Vec<SocketAddr> {
        let mut drawn = Vec::new();
        for _ in 0..64 {
            let (replica, _) = balancer.0.pick(&Tried::default()).await.unwrap();
            drawn.push(replica.address);
        }
        drawn.sort();
        drawn.dedup();
        drawn
    }

    #[tokio::test]
    async fn servers_come_and_go_with_the_name() {
        let (_one, first) = listener().await;
        let (_other, second) = listener().await;
        let balancer = balancer(&[first]).await;
        assert_eq!(drawn(&balancer).await, [first]);
        let host = Arc::clone(&balancer.0.hosts[0]);
        let known = balancer.0.replicas.load().first().map(Arc::clone).unwrap();
        // The name has another one, too: it is used as soon as it is connected, and the first keeps its connection.
        let both = vec![(Arc::clone(&host), second), (Arc::clone(&host), first)];
        balancer.0.replace(both.clone());
        let mut sorted = [first, second];
        sorted.sort();
        while drawn(&balancer).await != sorted {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(
            balancer
                .0
                .replicas
                .load()
                .iter()
                .any(|r| Arc::ptr_eq(r, &known))
        );
        // And then the second alone.
        balancer.0.replace(both[..1].to_vec());
        assert_eq!(drawn(&balancer).await, [second]);
        assert!(known.state().is_up());
    }

    #[tokio::test]
    async fn a_call_goes_where_it_was_not_yet() {
        let (_one, first) = listener().await;
        let (_other, second) = listener().await;
        let balancer = balancer(&[first, second]).await;
        while drawn(&balancer).await.len() < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let tried = Tried(vec![first]);
        for _ in 0..32 {
            assert_eq!(balancer.0.pick(&tried).await.unwrap().0.address, second);
        }
        // The less busy of two.
        let other = balancer.0.pick(&tried).await.unwrap().0;
        let _busy = other.busy();
        assert_eq!(drawn(&balancer).await, [first]);
        // All were tried: any will do.
        let tried = Tried(vec![first, second]);
        assert!(balancer.0.pick(&tried).await.is_ok());
    }

    #[tokio::test]
    async fn a_connection_without_calls_is_remade_when_there_is_one() {
        let (one, first) = listener().await;
        let balancer = balancer(&[first]).await;
        balancer.ready().await.unwrap();
        let (stream, _) = one.accept().await.unwrap();
        // Long enough not to count as one that could not be made.
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        drop(stream);
        let dialed = tokio::time::timeout(Duration::from_millis(300), one.accept()).await;
        assert!(dialed.is_err(), "nobody called");
        balancer.ready().await.unwrap();
        one.accept().await.unwrap();
    }

    #[tokio::test]
    async fn callers_do_not_shorten_the_pauses_of_a_server_that_is_in_trouble() {
        let (one, first) = listener().await;
        let balancer = balancer(&[first]).await;
        let calls = tokio::spawn(async move {
            loop {
                let _ = balancer.ready().await;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        let end = Instant::now() + Duration::from_millis(700);
        let mut dialed = 0;
        while let Ok(accepted) = tokio::time::timeout_at(end, one.accept()).await {
            drop(accepted); // closed as soon as it is open
            dialed += 1;
        }
        calls.abort();
        // After 25, 50, 100, 200, 400 ms at the earliest.
        assert!((1..=6).contains(&dialed), "{dialed} connections");
    }

    #[tokio::test]
    async fn a_client_that_is_dropped_leaves_nothing_behind() {
        let (one, first) = listener().await;
        let balancer = balancer(&[first]).await;
        balancer.ready().await.unwrap();
        let (mut stream, _) = one.accept().await.unwrap();
        let weak = Arc::downgrade(&balancer.0.replicas.load()[0]);
        drop(balancer);
        // The connection ends, and with it the task that kept it.
        let mut rest = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut rest)
            .await
            .unwrap();
        assert!(weak.upgrade().is_none());
    }
}
