//! gRPC between services of one process: the same HTTP/2 and the same edge as over TCP, through memory.

use std::sync::{Arc, Mutex, PoisonError};

use hyper_util::rt::TokioIo;
use regard_types::Caller;
use tokio::io::DuplexStream;
use tokio::sync::mpsc;
use tonic::transport::{Channel, Endpoint};

/// Bytes in flight each way.
const BUFFER: usize = 64 * 1024;
/// Connections that wait to be accepted.
const BACKLOG: usize = 64;

/// A connection at the door, and who it is where the pipe vouches for it.
pub(crate) struct Knock {
    pub(crate) stream: DuplexStream,
    pub(crate) trusted: Option<Arc<Caller>>,
}

/// An in-memory way to a server of the same process. Channels may be made, and used, before it is served: their calls
/// wait until it is.
#[derive(Debug, Clone)]
pub struct Pipe {
    knock: mpsc::Sender<Knock>,
    door: Arc<Mutex<Option<mpsc::Receiver<Knock>>>>,
}

impl Default for Pipe {
    fn default() -> Self {
        Self::new()
    }
}

impl Pipe {
    /// A pipe that is not served yet.
    #[must_use]
    pub fn new() -> Self {
        let (knock, door) = mpsc::channel(BACKLOG);
        Self {
            knock,
            door: Arc::new(Mutex::new(Some(door))),
        }
    }

    /// A channel whose caller is known by its key, or is the default caller.
    #[must_use]
    pub fn channel(&self) -> Channel {
        self.connect(None)
    }

    /// A channel of a service of this process, see [`crate::service_caller`].
    #[must_use]
    pub fn channel_of(&self, caller: Caller) -> Channel {
        self.connect(Some(Arc::new(caller)))
    }

    /// The end that the server takes; once.
    pub(crate) fn door(&self) -> Option<mpsc::Receiver<Knock>> {
        self.door
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    fn connect(&self, trusted: Option<Arc<Caller>>) -> Channel {
        let knock = self.knock.clone();
        let connector = tower::service_fn(move |_: http::Uri| {
            let knock = knock.clone();
            let trusted = trusted.clone();
            async move {
                let (near, far) = tokio::io::duplex(BUFFER);
                let gone = |_| {
                    std::io::Error::new(
                        std::io::ErrorKind::ConnectionRefused,
                        "the server has stopped",
                    )
                };
                knock
                    .send(Knock {
                        stream: far,
                        trusted,
                    })
                    .await
                    .map_err(gone)?;
                Ok::<_, std::io::Error>(TokioIo::new(near))
            }
        });
        Endpoint::from_static("http://pipe")
            .initial_stream_window_size(crate::serve::STREAM_WINDOW)
            .initial_connection_window_size(crate::serve::CONNECTION_WINDOW)
            .connect_with_connector_lazy(connector)
    }
}
