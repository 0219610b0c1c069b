//! Takes connections in.

use std::sync::Arc;
use std::time::Duration;

use regard_types::Caller;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::connection::Host;
use super::tls::Tls;
use crate::limit::Doors;
use crate::pipe::Knock;

/// A door's host and the connections behind it.
#[derive(Clone)]
pub(super) struct Accept {
    pub(super) host: Arc<Host>,
    pub(super) connections: TaskTracker,
}

impl Accept {
    pub(super) fn new(host: Host) -> Self {
        Self {
            host: Arc::new(host),
            connections: TaskTracker::new(),
        }
    }

    /// Waits for the connections to end, and cuts those that have not by then; true if there were none.
    pub(super) async fn end(&self, until: Instant) -> bool {
        if tokio::time::timeout_at(until, self.connections.wait())
            .await
            .is_ok()
        {
            return true;
        }
        let connections = self.connections.len();
        tracing::warn!(connections, "calls still open after the grace are cut");
        self.host.end.cancel();
        // Dropping a connection takes no time; a task that hangs nevertheless must not keep the process.
        let _ = tokio::time::timeout(Duration::from_secs(1), self.connections.wait()).await;
        false
    }

    /// Over TCP, as many as `doors` lets in. Ends when asked to, after those that wait already: a caller that got as far as
    /// being connected must not be cut without a word.
    pub(super) async fn tcp(self, listener: TcpListener, tls: Option<Arc<Tls>>, doors: Arc<Doors>) {
        loop {
            let next = tokio::select! {
                biased;
                next = listener.accept() => next,
                () = self.host.close.cancelled() => return,
            };
            match next {
                Ok((stream, peer)) => {
                    let Some(entrance) = doors.enter(peer.ip()) else {
                        tracing::debug!(%peer, "too many connections, one is closed");
                        continue;
                    };
                    // Small answers must not wait for more to send; a socket that refuses is about to break anyway.
                    let _ = stream.set_nodelay(true);
                    let host = Arc::clone(&self.host);
                    let tls = tls.clone();
                    self.connections.spawn(async move {
                        match tls {
                            Some(tls) => host.serve_tls(stream, tls, peer.ip()).await,
                            None => host.serve(stream, (None, None), Some(peer.ip())).await,
                        }
                        drop(entrance);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await; // out of descriptors, most likely
                }
            }
        }
    }

    /// Through memory; ends when nobody can knock any more.
    pub(super) async fn pipe(self, mut door: mpsc::Receiver<Knock>) {
        while let Some(Knock { stream, trusted }) = door.recv().await {
            let trusted: Option<Arc<Caller>> = trusted;
            self.connections
                .spawn(Arc::clone(&self.host).serve(stream, (trusted, None), None));
        }
    }
}
