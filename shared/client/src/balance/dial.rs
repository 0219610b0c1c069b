//! A new connection: TCP, TLS where asked for, HTTP/2.

use std::net::SocketAddr;
use std::time::Duration;

use http::uri::Scheme;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tonic::body::Body;

use crate::address::Host;
use crate::tls::Connector;
use crate::{CONNECTION_WINDOW, ConnectError, Options, STREAM_WINDOW};

pub(super) type Link = http2::SendRequest<Body>;
/// Works until the connection ends or the server wants no more calls on it.
pub(super) type Work = std::pin::Pin<Box<dyn Future<Output = Result<(), hyper::Error>> + Send>>;

/// Makes connections.
pub(crate) struct Dialer {
    tls: Option<Connector>,
    http: http2::Builder<TokioExecutor>,
    patience: Duration,
}

impl Dialer {
    pub(crate) fn new(secure: bool, options: &Options) -> Result<Self, ConnectError> {
        let tls = if secure {
            let tls = options.tls.clone().unwrap_or_default();
            Some(Connector::new(tls).map_err(ConnectError::Tls)?)
        } else if options.tls.is_some() {
            let problem = "the address begins with http://; expected https://, or no certificates";
            return Err(ConnectError::Tls(problem.to_owned()));
        } else {
            None
        };
        let mut http = http2::Builder::new(TokioExecutor::new());
        http.timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .keep_alive_interval(options.keepalive.0)
            .keep_alive_timeout(options.keepalive.1)
            .keep_alive_while_idle(true);
        Ok(Self {
            tls,
            http,
            patience: options.connect,
        })
    }

    pub(super) fn scheme(&self) -> Scheme {
        if self.tls.is_some() {
            Scheme::HTTPS
        } else {
            Scheme::HTTP
        }
    }

    /// A connection, in bounded time.
    pub(super) async fn dial(
        &self,
        host: &Host,
        address: SocketAddr,
    ) -> Result<(Link, Work), String> {
        tokio::time::timeout(self.patience, self.connect(host, address))
            .await
            .unwrap_or_else(|_| {
                Err(format!(
                    "{address}: no connection within {:?}",
                    self.patience
                ))
            })
            .map_err(|problem| {
                tracing::debug!(%address, problem, "no connection");
                problem
            })
    }

    async fn connect(&self, host: &Host, address: SocketAddr) -> Result<(Link, Work), String> {
        let stream = TcpStream::connect(address)
            .await
            .map_err(|error| format!("{address}: {error}"))?;
        let _ = stream.set_nodelay(true);
        let Some(tls) = &self.tls else {
            return self.speak(stream).await;
        };
        let connector = tokio_rustls::TlsConnector::from(tls.config()?);
        let name = tls.server_name(&host.name)?;
        let stream = connector
            .connect(name, stream)
            .await
            .map_err(|error| format!("{address}: TLS: {error}"))?;
        if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
            return Err(format!("{address}: TLS: the server does not speak HTTP/2"));
        }
        self.speak(stream).await
    }

    async fn speak<I>(&self, stream: I) -> Result<(Link, Work), String>
    where
        I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (link, work) = self
            .http
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| error.to_string())?;
        Ok((link, Box::pin(work)))
    }
}
