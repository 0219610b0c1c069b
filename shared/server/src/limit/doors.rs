//! Connections, counted: in total and by the address that they come from.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use super::LimitSettings;

pub(crate) struct Doors {
    open: Mutex<Open>,
    most: usize,
    per_peer: usize,
}

#[derive(Default)]
struct Open {
    all: usize,
    /// As many entries as there are connections, at most.
    by_peer: HashMap<IpAddr, usize>,
}

/// One connection, until dropped.
pub(crate) struct Entrance {
    doors: Arc<Doors>,
    peer: IpAddr,
}

impl Doors {
    pub(crate) fn new(settings: &LimitSettings) -> Arc<Self> {
        Arc::new(Self {
            open: Mutex::default(),
            most: settings.connections_max,
            per_peer: settings.connections_per_peer,
        })
    }

    /// Lets a connection in; none where there are too many already.
    pub(crate) fn enter(self: &Arc<Self>, peer: IpAddr) -> Option<Entrance> {
        let peer = network(peer);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let here = open.by_peer.get(&peer).copied().unwrap_or(0);
        if open.all >= self.most || here >= self.per_peer {
            drop(open);
            metrics::counter!("regard_refused_total", "scope" => "connections").increment(1);
            return None;
        }
        open.all += 1;
        open.by_peer.insert(peer, here + 1);
        Some(Entrance {
            doors: Arc::clone(self),
            peer,
        })
    }
}

impl Drop for Entrance {
    fn drop(&mut self) {
        let mut open = self
            .doors
            .open
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        open.all -= 1;
        if let Some(here) = open.by_peer.get_mut(&self.peer) {
            *here -= 1;
            if *here == 0 {
                open.by_peer.remove(&self.peer);
            }
        }
    }
}

/// Whoever has one IPv6 address has the 64 bits below its network, too.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => {
            let network = u128::from(address) & !u128::from(u64::MAX);
            IpAddr::V6(network.into())
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn one_peer_cannot_take_all_places() {
        let doors = Doors::new(&LimitSettings {
            connections_max: 3,
            connections_per_peer: 2,
            ..LimitSettings::default()
        });
        let peer = |text: &str| text.parse::<IpAddr>().unwrap();
        let first = doors.enter(peer("10.0.0.1")).unwrap();
        let second = doors.enter(peer("::ffff:10.0.0.1")).unwrap();
        assert!(doors.enter(peer("10.0.0.1")).is_none());
        let other = doors.enter(peer("2001:db8::1")).unwrap();
        assert!(doors.enter(peer("10.0.0.2")).is_none(), "three are in");
        drop(first);
        let third = doors.enter(peer("2001:db8::2:1")).unwrap();
        drop(second);
        assert!(doors.enter(peer("2001:db8::3")).is_none(), "one network");
        drop((other, third));
        let open = doors.open.lock().unwrap();
        assert_eq!((open.all, open.by_peer.len()), (0, 0));
    }
}
