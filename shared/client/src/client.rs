//! The client: the way to the servers, and a typed stub for every service.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use regard_proto::{customer, feedback, scoring};
use tonic::codec::CompressionEncoding::{Gzip, Zstd};
use tonic::transport::Channel;

use crate::address::Addresses;
use crate::balance::Balancer;
use crate::credential::Credential;
use crate::transport::{Transport, Way};
use crate::{MESSAGE_LIMIT, Session, Tls};

/// How calls are made. Every call carries the trace of the [`regard_types::Scope`] that it is made in.
#[derive(Clone)]
pub struct Options {
    /// The key that names the caller; none on a server with an embedded default caller.
    pub api_key: Option<String>,
    /// A file with the token that names the caller, in the place of a key; it is read again when another program, such as
    /// Kubernetes, has renewed it.
    pub token_file: Option<PathBuf>,
    /// Certificates for an `https` address; none trusts what browsers trust.
    pub tls: Option<Tls>,
    /// Longest time of a unary call that sets none itself, retries included; none leaves it to the server. 30 s.
    pub deadline: Option<Duration>,
    /// How often a call is tried that may safely be repeated, at least 1: one that reads, that carries a `request_id`, or
    /// that no server has seen. Repetitions are a tenth of the calls at most in the long run. 4.
    pub attempts: u32,
    /// Whether answers may come compressed. No.
    pub compressed: bool,
    /// Longest time to connect. 5 s.
    pub connect: Duration,
    /// Pause between keepalive pings, and how long one may stay unanswered. 10 s and 5 s.
    pub keepalive: (Duration, Duration),
    /// Pause between two questions to the resolver which servers a name has. 10 s.
    pub resolve: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            api_key: None,
            token_file: None,
            tls: None,
            deadline: Some(Duration::from_secs(30)),
            attempts: 4,
            compressed: false,
            connect: Duration::from_secs(5),
            keepalive: (Duration::from_secs(10), Duration::from_secs(5)),
            resolve: Duration::from_secs(10),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("api_key", &self.api_key.as_ref().map(|_| "***"))
            .field("token_file", &self.token_file)
            .field("tls", &self.tls)
            .field("deadline", &self.deadline)
            .field("attempts", &self.attempts)
            .field("compressed", &self.compressed)
            .field("connect", &self.connect)
            .field("keepalive", &self.keepalive)
            .field("resolve", &self.resolve)
            .finish()
    }
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The address is none.
    #[error(
        "{0:?} is no address of a server; expected one such as http://127.0.0.1:7400 or https://regard.example:7400, or several \
         with commas between"
    )]
    Address(String),
    /// The key cannot be sent.
    #[error("the API key holds characters that a header cannot carry; expected visible ASCII")]
    Key,
    /// Two ways to say who calls.
    #[error("an API key and a token's file are both given; expected one of them")]
    TwoCredentials,
    /// Certificates that cannot be used.
    #[error("TLS: {0}")]
    Tls(String),
    /// Nobody answers.
    #[error("no server answers at {address}: {reason}; is `regard serve` running there?")]
    Away {
        /// The address.
        address: String,
        /// Why.
        reason: String,
    },
}

/// A way to a suite: to one server, or to several of which each call takes one. Cheap to clone; clones share the
/// connections.
#[derive(Debug, Clone)]
pub struct Client {
    transport: Transport,
    compressed: bool,
}

impl Client {
    /// Connects now. The address is `http://host:port` or `https://host:port`, or several with commas between, where the
    /// first alone needs the scheme; a name may have many servers.
    ///
    /// # Errors
    /// See [`ConnectError`].
    pub async fn connect(address: &str, options: &Options) -> Result<Self, ConnectError> {
        let balancer = Balancer::new(Addresses::parse(address)?, options)?;
        let this = Self::by(Way::Balancer(balancer.clone()), options)?;
        balancer
            .ready()
            .await
            .map_err(|reason| ConnectError::Away {
                address: address.to_owned(),
                reason,
            })?;
        Ok(this)
    }

    /// Connects by itself, and again whenever needed; calls wait for it. Addresses as for [`Client::connect`]. Needs a
    /// runtime of tokio.
    ///
    /// # Errors
    /// All but [`ConnectError::Away`].
    pub fn lazy(address: &str, options: &Options) -> Result<Self, ConnectError> {
        let balancer = Balancer::new(Addresses::parse(address)?, options)?;
        Self::by(Way::Balancer(balancer), options)
    }

    /// Uses a channel that is there already, such as an in-memory pipe; `tls`, `connect`, `keepalive` and `resolve` are then
    /// the channel's own matter.
    ///
    /// # Errors
    /// [`ConnectError::Key`], [`ConnectError::TwoCredentials`].
    pub fn over(channel: Channel, options: &Options) -> Result<Self, ConnectError> {
        Self::by(Way::Channel(channel), options)
    }

    fn by(way: Way, options: &Options) -> Result<Self, ConnectError> {
        let credential = match (&options.api_key, &options.token_file) {
            (None, None) => Credential::None,
            (Some(key), None) => Credential::key(key)?,
            (None, Some(file)) => Credential::file(file.clone()),
            (Some(_), Some(_)) => return Err(ConnectError::TwoCredentials),
        };
        Ok(Self {
            transport: Transport::new(way, credential, options),
            compressed: options.compressed,
        })
    }

    /// A client whose calls belong together: the change tokens that its unary writes are answered with go into the session, and
    /// its reads ask for data at least that new. Batches of an ingest are noted by hand, see [`Session::note`]. Answers never
    /// come compressed.
    #[must_use]
    pub fn with_session(&self, session: Arc<Session>) -> Self {
        Self {
            transport: self.transport.clone().with_session(session),
            compressed: false,
        }
    }

    /// The transport, for stubs that are not listed here (health, reflection).
    #[must_use]
    pub fn transport(&self) -> Transport {
        self.transport.clone()
    }
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
    /// API keys and roles.
    access: customer::access_service_client::AccessServiceClient;
    /// Tenants.
    tenants: customer::tenant_service_client::TenantServiceClient;
    /// Exports, keys and erasures of the customer service.
    privacy: customer::privacy_service_client::PrivacyServiceClient;
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
    /// Exports and keys of the feedback service.
    feedback_privacy: feedback::privacy_service_client::PrivacyServiceClient;
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
