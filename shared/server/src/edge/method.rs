//! The RPCs that a server serves, found by path.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::meter::Meter;
use crate::identity::role;
use crate::limit::Pace;
use crate::service::{Grpc, Route};

/// A service without permissions in the contract: it must not be served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the service {0} declares no permission for its RPCs and is not on the public list; it cannot be served"
)]
pub struct Unprotected(pub String);

/// One RPC.
pub(crate) struct Method {
    pub(crate) service: &'static str,
    pub(crate) name: &'static str,
    /// What a caller needs; empty for a public one.
    pub(crate) permission: &'static str,
    pub(crate) public: bool,
    pub(crate) streaming: bool,
    pub(crate) client_streaming: bool,
    pub(crate) server_streaming: bool,
    /// Unary, but it may wait on purpose: counted among streams.
    pub(crate) waits: bool,
    /// Asked by the suite's own servers alone: never refused for load.
    pub(crate) internal: bool,
    /// Longest time of a public stream, whatever its caller asks for.
    pub(crate) longest: Option<Duration>,
    /// None for an RPC that is not served.
    pub(crate) route: Option<Arc<dyn Route>>,
    pub(crate) meter: Meter,
    /// Its latencies, for the limit of calls in work.
    pub(crate) pace: Arc<Pace>,
}

/// How long a stream of reflection may be open.
const REFLECTION: Duration = Duration::from_secs(60);

/// Service, method, path, whether it streams back: what anyone may call.
const PUBLIC: [(&str, &str, &str, bool); 4] = [
    (
        "grpc.health.v1.Health",
        "Check",
        "/grpc.health.v1.Health/Check",
        false,
    ),
    (
        "grpc.health.v1.Health",
        "Watch",
        "/grpc.health.v1.Health/Watch",
        true,
    ),
    (
        "grpc.reflection.v1.ServerReflection",
        "ServerReflectionInfo",
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        true,
    ),
    (
        "grpc.reflection.v1alpha.ServerReflection",
        "ServerReflectionInfo",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        true,
    ),
];

pub(crate) struct Methods {
    by_path: HashMap<&'static str, Arc<Method>>,
    /// Stands for every other path, so that labels stay a closed set.
    unknown: Arc<Method>,
}

impl Methods {
    /// The methods of the services of `grpc`.
    ///
    /// # Errors
    /// [`Unprotected`] for a service that the contract does not know and the public list does not name.
    pub(crate) fn new(grpc: &Grpc) -> Result<Self, Unprotected> {
        let mut by_path = HashMap::new();
        for (service, route) in &grpc.routes {
            let mut known = false;
            for method in regard_proto::METHODS
                .iter()
                .filter(|method| method.service == *service)
            {
                known = true;
                let name = method.path.rsplit('/').next().unwrap_or_default();
                by_path.insert(
                    method.path,
                    Arc::new(Method {
                        service,
                        name,
                        permission: method.permission,
                        public: false,
                        streaming: method.client_streaming || method.server_streaming,
                        client_streaming: method.client_streaming,
                        server_streaming: method.server_streaming,
                        waits: method.waits,
                        internal: role::is_internal(method.permission),
                        longest: None,
                        route: Some(Arc::clone(route)),
                        meter: Meter::new(service, name),
                        pace: Arc::default(),
                    }),
                );
            }
            for (_, name, path, streaming) in PUBLIC.iter().filter(|(public, ..)| public == service)
            {
                known = true;
                by_path.insert(
                    path,
                    Arc::new(Method {
                        service,
                        name,
                        permission: "",
                        public: true,
                        streaming: *streaming,
                        client_streaming: false,
                        server_streaming: *streaming,
                        waits: false,
                        internal: false,
                        longest: (*name == "ServerReflectionInfo").then_some(REFLECTION),
                        route: Some(Arc::clone(route)),
                        meter: Meter::new(service, name),
                        pace: Arc::default(),
                    }),
                );
            }
            if !known {
                return Err(Unprotected((*service).to_owned()));
            }
        }
        let unknown = Arc::new(Method {
            service: "unknown",
            name: "unknown",
            permission: "",
            public: true,
            streaming: false,
            client_streaming: false,
            server_streaming: false,
            waits: false,
            internal: false,
            longest: None,
            route: None,
            meter: Meter::new("unknown", "unknown"),
            pace: Arc::default(),
        });
        Ok(Self { by_path, unknown })
    }

    /// The latencies of all that is limited.
    pub(crate) fn paces(&self) -> Vec<Arc<Pace>> {
        let limited = |method: &&Arc<Method>| !method.public && !method.streaming && !method.waits;
        let methods = self.by_path.values().filter(limited);
        methods.map(|method| Arc::clone(&method.pace)).collect()
    }

    pub(crate) fn of(&self, path: &str) -> &Arc<Method> {
        self.by_path.get(path).unwrap_or(&self.unknown)
    }
}
