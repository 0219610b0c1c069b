//! One server: its connection is made in the background, and again whenever it is lost.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use http::uri::{Parts, Scheme};
use http::{Request, Uri};
use tokio::sync::Notify;
use tonic::body::Body;

use super::rest::Rest;
use super::{Dialer, News};
use crate::address::Host;

pub(super) use super::dial::Link;

/// First and longest pause after a connection that could not be made.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));
/// A connection that lives shorter counts as one that could not be made.
const BRIEF: Duration = Duration::from_secs(1);
/// Callers shorten a pause to this at least: else their load would decide how often a server that is in trouble is dialed.
const URGED: Duration = Duration::from_secs(1);

/// A server.
pub(super) struct Replica {
    pub(super) host: Arc<Host>,
    pub(super) address: SocketAddr,
    state: ArcSwap<State>,
    open: AtomicUsize,
    /// Whether the connection had a call.
    used: AtomicBool,
    pub(super) rest: Rest,
    wake: Arc<Notify>,
    news: Arc<News>,
}

/// What is known of its connection.
pub(super) enum State {
    /// It is being made.
    Dialing,
    Up(Link),
    /// It ended, and nobody had called: it is made again when somebody does.
    Idle,
    /// It could not be made; why.
    Down(Arc<str>),
}

#[cfg(test)]
impl State {
    pub(super) fn is_up(&self) -> bool {
        matches!(self, Self::Up(link) if !link.is_closed())
    }
}

impl Replica {
    /// A server whose connection is made from now on.
    pub(super) fn start(
        host: Arc<Host>,
        address: SocketAddr,
        dialer: Arc<Dialer>,
        news: Arc<News>,
    ) -> Arc<Self> {
        let this = Arc::new(Self {
            host,
            address,
            state: ArcSwap::from_pointee(State::Dialing),
            open: AtomicUsize::new(0),
            used: AtomicBool::new(false),
            rest: Rest::default(),
            wake: Arc::default(),
            news,
        });
        tokio::spawn(keep(Arc::downgrade(&this), Arc::clone(&this.wake), dialer));
        this
    }

    pub(super) fn state(&self) -> arc_swap::Guard<Arc<State>> {
        self.state.load()
    }

    /// Makes the next attempt to connect as soon as the last one's failure allows it.
    pub(super) fn try_now(&self) {
        if matches!(&**self.state.load(), State::Down(_) | State::Idle) {
            self.set(State::Dialing);
            self.wake.notify_one();
        }
    }

    /// Calls that wait for its answer.
    pub(super) fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// Counts a call until dropped.
    pub(super) fn busy(&self) -> Busy<'_> {
        self.open.fetch_add(1, Ordering::Relaxed);
        self.used.store(true, Ordering::Relaxed);
        Busy(self)
    }

    /// Names the server in a call.
    pub(super) fn address_to(&self, request: &mut Request<Body>, scheme: Scheme) {
        let mut parts = Parts::default();
        parts.scheme = Some(scheme);
        parts.authority = Some(self.host.authority.clone());
        parts.path_and_query = request.uri().path_and_query().cloned();
        if let Ok(uri) = Uri::from_parts(parts) {
            *request.uri_mut() = uri;
        }
    }

    fn set(&self, state: State) {
        self.state.store(Arc::new(state));
        self.news.changed.send_replace(());
    }
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.wake.notify_one(); // who keeps it connected ends, too
    }
}

/// See [`Replica::busy`].
pub(super) struct Busy<'a>(&'a Replica);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Keeps a server connected as long as it is in use.
async fn keep(replica: Weak<Replica>, wake: Arc<Notify>, dialer: Arc<Dialer>) {
    let mut failures = 0_u32;
    loop {
        let Some((host, address)) = replica.upgrade().map(|r| (Arc::clone(&r.host), r.address))
        else {
            return;
        };
        let problem = match dialer.dial(&host, address).await {
            Err(problem) => problem,
            Ok((link, work)) => {
                let Some(used) = replica.upgrade() else {
                    return;
                };
                let began = Instant::now();
                used.set(State::Up(link));
                drop(used);
                let ended = work.await;
                if began.elapsed() >= BRIEF {
                    failures = 0;
                    let Some(replica) = replica.upgrade() else {
                        return;
                    };
                    // Servers end connections without calls: to remake them at once would go on for ever.
                    if replica.used.swap(false, Ordering::Relaxed) {
                        replica.set(State::Dialing);
                        continue;
                    }
                    replica.set(State::Idle);
                    drop(replica);
                    wake.notified().await;
                    continue;
                }
                let why = ended
                    .err()
                    .map_or_else(String::new, |error| format!(": {error}"));
                format!("{address}: the server closed the connection at once{why}")
            }
        };
        let Some(used) = replica.upgrade() else {
            return;
        };
        used.set(State::Down(problem.into()));
        used.news.down.notify_one();
        drop(used);
        let pause = PAUSE.0.saturating_mul(1 << failures.min(10)).min(PAUSE.1);
        failures = failures.saturating_add(1);
        let pause = pause.mul_f64(rand::random_range(0.5..1.0));
        let least = pause.min(URGED);
        tokio::time::sleep(least).await;
        let _ = tokio::time::timeout(pause - least, wake.notified()).await;
        let Some(used) = replica.upgrade() else {
            return;
        };
        used.set(State::Dialing);
    }
}
