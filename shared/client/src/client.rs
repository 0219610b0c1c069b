//! The client: one connection, a typed stub for every service.

use std::fmt;
use std::time::Duration;

use http::HeaderValue;
use regard_proto::{customer, feedback, scoring};
use tonic::codec::CompressionEncoding::{Gzip, Zstd};
use tonic::transport::{Channel, Endpoint};

use crate::MESSAGE_LIMIT;
use crate::transport::Transport;

/// HTTP/2 windows: batches of some megabytes must not wait for window updates.
const STREAM_WINDOW: u32 = 1024 * 1024;
const CONNECTION_WINDOW: u32 = 4 * 1024 * 1024;

/// How calls are made.
#[derive(Clone)]
pub struct Options {
    /// The key that names the caller; none on a server with an embedded default caller.
    pub api_key: Option<String>,
    /// Longest time of a unary call that sets none itself, retries included; none leaves it to the server. 30 s.
    pub deadline: Option<Duration>,
    /// How often a call is tried that may safely be repeated, at least 1. 4.
    pub attempts: u32,
    /// Whether answers may come compressed. No.
    pub compressed: bool,
    /// Longest time to connect. 5 s.
    pub connect: Duration,
    /// Pause between keepalive pings, and how long one may stay unanswered. 10 s and 5 s.
    pub keepalive: (Duration, Duration),
}

impl Default for Options {
    fn default() -> Self {
        Self {
            api_key: None,
            deadline: Some(Duration::from_secs(30)),
            attempts: 4,
            compressed: false,
            connect: Duration::from_secs(5),
            keepalive: (Duration::from_secs(10), Duration::from_secs(5)),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("api_key", &self.api_key.as_ref().map(|_| "***"))
            .field("deadline", &self.deadline)
            .field("attempts", &self.attempts)
            .field("compressed", &self.compressed)
            .field("connect", &self.connect)
            .field("keepalive", &self.keepalive)
            .finish()
    }
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The address is none.
    #[error("{0:?} is no address of a server; expected one such as http://127.0.0.1:7400")]
    Address(String),
    /// The key cannot be sent.
    #[error("the API key holds characters that a header cannot carry; expected visible ASCII")]
    Key,
    /// Nobody answers.
    #[error("no server answers at {address}: {source}; is `regard serve` running there?")]
    Away {
        /// The address.
        address: String,
        /// Why.
        source: tonic::transport::Error,
    },
}

/// A connection to a suite. Cheap to clone; clones share the connection.
#[derive(Debug, Clone)]
pub struct Client {
    transport: Transport,
    compressed: bool,
}

impl Client {
    /// Connects now.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn connect(address: &str, options: &Options) -> Result<Self, ConnectError> {
        let channel = endpoint(address, options)?.connect().await;
        let channel = channel.map_err(|source| ConnectError::Away {
            address: address.to_owned(),
            source,
        })?;
        Self::over(channel, options)
    }

    /// Connects at the first call, and again whenever needed.
    ///
    /// # Errors
    /// [`ConnectError::Address`], [`ConnectError::Key`].
    pub fn lazy(address: &str, options: &Options) -> Result<Self, ConnectError> {
        Self::over(endpoint(address, options)?.connect_lazy(), options)
    }

    /// Uses a channel that is there already, such as an in-memory pipe.
    ///
    /// # Errors
    /// [`ConnectError::Key`].
    pub fn over(channel: Channel, options: &Options) -> Result<Self, ConnectError> {
        let key = options.api_key.as_ref().map(|key| {
            let mut value =
                HeaderValue::from_str(&format!("Bearer {key}")).map_err(|_| ConnectError::Key)?;
            value.set_sensitive(true);
            Ok(value)
        });
        let transport = Transport::new(
            channel,
            key.transpose()?,
            options.deadline,
            options.attempts,
        );
        Ok(Self {
            transport,
            compressed: options.compressed,
        })
    }

    /// The transport, for stubs that are not listed here (health, reflection).
    #[must_use]
    pub fn transport(&self) -> Transport {
        self.transport.clone()
    }
}

fn endpoint(address: &str, options: &Options) -> Result<Endpoint, ConnectError> {
    let wrong = || ConnectError::Address(address.to_owned());
    let uri = address.parse::<http::Uri>().map_err(|_| wrong())?;
    if uri.scheme_str() != Some("http") || uri.host().is_none_or(str::is_empty) {
        return Err(wrong());
    }
    Ok(Endpoint::from(uri)
        .connect_timeout(options.connect)
        .http2_keep_alive_interval(options.keepalive.0)
        .keep_alive_timeout(options.keepalive.1)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .tcp_nodelay(true))
}

macro_rules! stubs {
    ($($(#[$doc:meta])* $name:ident: $package:ident :: $module:ident :: $stub:ident;)*) => {
        impl Client {
            $(
                $(#[$doc])*
                #[must_use]
                pub fn $name(&self) -> $package::v1::$module::$stub<Transport> {
                    let stub = $package::v1::$module::$stub::new(self.transport.clone())
                        .max_decoding_message_size(MESSAGE_LIMIT)
                        .max_encoding_message_size(MESSAGE_LIMIT);
                    if self.compressed { stub.accept_compressed(Zstd).accept_compressed(Gzip) } else { stub }
                }
            )*
        }
    };
}

stubs! {
    /// Customers.
    customers: customer::customer_service_client::CustomerServiceClient;
    /// Orders and refunds.
    orders: customer::order_service_client::OrderServiceClient;
    /// Tenants.
    tenants: customer::tenant_service_client::TenantServiceClient;
    /// Changes of the customer service.
    customer_changes: customer::change_service_client::ChangeServiceClient;
    /// Surveys.
    surveys: feedback::survey_service_client::SurveyServiceClient;
    /// Responses to surveys.
    responses: feedback::response_service_client::ResponseServiceClient;
    /// Feedback items.
    feedback_items: feedback::feedback_item_service_client::FeedbackItemServiceClient;
    /// Complaints.
    complaints: feedback::complaint_service_client::ComplaintServiceClient;
    /// Changes of the feedback service.
    feedback_changes: feedback::change_service_client::ChangeServiceClient;
    /// Scores.
    scores: scoring::score_service_client::ScoreServiceClient;
    /// Models.
    models: scoring::model_service_client::ModelServiceClient;
    /// Metrics.
    metrics: scoring::metric_service_client::MetricServiceClient;
    /// Operations.
    operations: scoring::operation_service_client::OperationServiceClient;
}
