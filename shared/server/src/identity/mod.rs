//! Who calls. In this order: the service at the other end of the in-memory pipe, a client certificate, a key of the
//! settings, an API key, a signed token; and where nobody is named, the default caller if there is one. A credential that
//! is present and wrong is UNAUTHENTICATED: it never falls through to a weaker way.

mod certificate;
mod directory;
mod fetch;
mod jwks;
mod remote;
pub mod role;
mod settings;
mod strangers;
mod token;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::HeaderMap;
use moka::sync::Cache;
use regard_types::{Caller, CallerLimits, Fault, IdSecret, Micros};
use sha2::{Digest as _, Sha256};

use crate::serve::PeerCertificate;
use crate::settings::{IdentitySettings, SettingsError};
use directory::{BELIEVED, Believed, KEPT};
use strangers::Strangers;
use token::Tokens;

pub use directory::{Directory, TenantAccess, Verdict};
pub use remote::RemoteDirectory;

/// Name of the default caller and of its tenant.
const DEFAULT: &str = "default";
/// Roles of a caller at most.
const MOST_ROLES: usize = 32;
/// An API key: `rgd_`, 12 characters to look it up, `_`, 43 characters of secret.
pub const API_KEY_PREFIX: usize = 16;
const API_KEY_LENGTH: usize = 60;

/// The callers that the server knows.
#[derive(Clone)]
pub struct Identity {
    /// By SHA-256 of the key, so that a look-up tells nothing about a key by its time.
    keys: Arc<HashMap<[u8; 32], Fixed>>,
    /// By DNS name.
    certificates: Arc<HashMap<String, Named>>,
    tokens: Option<Arc<Tokens>>,
    embedded: Option<Caller>,
    directory: Option<Believed>,
    /// By SHA-256 of the credential: what the last call of a caller found out.
    callers: Cache<[u8; 32], Arc<Seen>>,
    strangers: Strangers,
    ids: IdSecret,
}

/// Who a credential names.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Named {
    tenant: String,
    name: String,
    roles: Vec<String>,
}

/// A caller of the settings: what it may do by itself, and its roles.
#[derive(Debug, Clone)]
struct Fixed {
    caller: Caller,
    roles: Vec<String>,
}

/// A caller that was found, and until when that is believed.
struct Seen {
    caller: Caller,
    until: Instant,
}

/// What the headers and the connection say at once.
pub(crate) enum Found {
    /// The caller.
    Caller(Caller),
    /// It must be asked for.
    Ask(Ask),
}

/// A credential that must be looked up or verified.
pub(crate) struct Ask {
    digest: [u8; 32],
    who: Who,
}

enum Who {
    Fixed(Fixed),
    Certificate(PeerCertificate),
    ApiKey(String),
    Token(String),
}

impl Identity {
    /// The callers of the settings; `at` is the section's name.
    ///
    /// # Errors
    /// Every wrong value, named by its place.
    pub fn new(
        settings: &IdentitySettings,
        ids: &IdSecret,
        at: &str,
    ) -> Result<Self, Vec<SettingsError>> {
        let mut bad = Vec::new();
        let keys = settings::keys(settings, ids, at, &mut bad);
        let certificates = settings::certificates(settings, at, &mut bad);
        let tokens = settings
            .jwt
            .as_ref()
            .and_then(|jwt| settings::tokens(jwt, &format!("{at}.jwt"), &mut bad));
        if !bad.is_empty() {
            return Err(bad);
        }
        let embedded = settings.embedded.then(|| default_caller(ids));
        Ok(Self {
            keys: Arc::new(keys),
            certificates: Arc::new(certificates),
            tokens: tokens.map(Arc::new),
            embedded,
            directory: None,
            callers: Cache::new(KEPT),
            strangers: Strangers::new(),
            ids: ids.clone(),
        })
    }

    /// Only the embedded default caller: every call without a credential may do everything in the tenant `default`.
    #[must_use]
    pub fn embedded(ids: &IdSecret) -> Self {
        Self {
            keys: Arc::default(),
            certificates: Arc::default(),
            tokens: None,
            embedded: Some(default_caller(ids)),
            directory: None,
            callers: Cache::new(KEPT),
            strangers: Strangers::new(),
            ids: ids.clone(),
        }
    }

    /// Knows API keys, roles of tenants and limits from a directory, unless it has one already.
    #[must_use]
    pub fn with_directory(mut self, directory: Option<Arc<dyn Directory>>) -> Self {
        if self.directory.is_none() {
            self.directory = directory.map(Believed::new);
        }
        self
    }

    /// One more static key: that of the machine's own user, an operator of every tenant. It acts in the tenant `default`.
    #[must_use]
    pub fn with_local_key(mut self, key: &str) -> Self {
        let caller = Caller {
            all_tenants: true,
            ..Caller::new(self.ids.tenant_id(DEFAULT), DEFAULT, "local")
        };
        let fixed = Fixed {
            caller,
            roles: Vec::new(),
        };
        Arc::make_mut(&mut self.keys).insert(digest(&[key.as_bytes()]), fixed);
        self
    }

    /// What is known of a call without asking anybody; a service at the pipe is who the pipe says.
    pub(crate) fn find(
        &self,
        headers: &HeaderMap,
        certificate: Option<&PeerCertificate>,
        trusted: Option<&Caller>,
    ) -> Result<Found, Fault> {
        let credential = credential(headers)?;
        let digest = match (trusted, certificate, credential) {
            (Some(trusted), _, None) => return Ok(Found::Caller(trusted.clone())),
            (None, Some(_), Some(_)) => {
                return Err(Fault::unauthenticated(
                    "the call names its caller twice, by a client certificate and by a header; send one",
                ));
            }
            (None, Some(shown), None) => digest(&[b"certificate:", leaf(shown)]),
            (_, _, Some(key)) => digest(&[key]),
            (None, None, None) => {
                let caller = self.embedded.clone().ok_or_else(|| {
                    Fault::unauthenticated(
                        "the call names no caller; send `authorization: Bearer KEY` or `x-api-key: KEY`",
                    )
                })?;
                return Ok(Found::Caller(caller));
            }
        };
        if let Some(seen) = self.callers.get(&digest)
            && seen.until > Instant::now()
        {
            return Ok(Found::Caller(seen.caller.clone()));
        }
        let who = match (credential, certificate) {
            (Some(key), _) => match self.keys.get(&digest) {
                Some(fixed) if self.directory.is_none() && fixed.roles.is_empty() => {
                    return Ok(Found::Caller(fixed.caller.clone()));
                }
                Some(fixed) => Who::Fixed(fixed.clone()),
                None => self.dynamic(key)?,
            },
            (None, Some(shown)) => Who::Certificate(shown.clone()),
            (None, None) => return Err(Fault::bug("a credential that is none")),
        };
        Ok(Found::Ask(Ask { digest, who }))
    }

    /// A credential that is no key of the settings: by its form.
    fn dynamic(&self, key: &[u8]) -> Result<Who, Fault> {
        let unknown =
            || Fault::unauthenticated("the key is not known to this server; send a valid one");
        let text = std::str::from_utf8(key).map_err(|_| unknown())?;
        if text.len() == API_KEY_LENGTH && text.starts_with("rgd_") && self.directory.is_some() {
            return Ok(Who::ApiKey(text.to_owned()));
        }
        if token::is_token(text) {
            return if self.tokens.is_some() {
                Ok(Who::Token(text.to_owned()))
            } else {
                Err(Fault::unauthenticated(
                    "this server takes no signed tokens; identity.jwt is not set",
                ))
            };
        }
        Err(unknown())
    }

    /// Looks a credential up, which came from an address.
    pub(crate) async fn ask(&self, ask: Ask, peer: Option<IpAddr>) -> Result<Caller, Fault> {
        let Ask { digest, who } = ask;
        let (caller, until) = match who {
            Who::Fixed(fixed) => self.fixed(fixed).await?,
            Who::Certificate(shown) => {
                let named = certificate::named(leaf(&shown), &self.certificates)?;
                let id = format!("cert:{}/{}", named.tenant, named.name);
                self.named(id, &named).await?
            }
            Who::ApiKey(key) => self.api_key(&key, digest, peer).await?,
            Who::Token(token) => {
                let tokens = self
                    .tokens
                    .as_ref()
                    .ok_or_else(|| Fault::bug("no tokens"))?;
                let verified = tokens.verify(&token, digest).await?;
                let id = format!("jwt:{}|{}", tokens.issuer, verified.named.name);
                let (caller, until) = self.named(id, &verified.named).await?;
                (
                    caller,
                    until.min(Instant::now() + verified.left().min(BELIEVED)),
                )
            }
        };
        let seen = Seen {
            caller: caller.clone(),
            until,
        };
        self.callers.insert(digest, Arc::new(seen));
        Ok(caller)
    }

    async fn api_key(
        &self,
        key: &str,
        digest: [u8; 32],
        peer: Option<IpAddr>,
    ) -> Result<(Caller, Instant), Fault> {
        let invalid =
            || Fault::unauthenticated("the key is unknown, revoked or expired; send a valid one");
        let prefix = key.get(..API_KEY_PREFIX).ok_or_else(invalid)?;
        let directory = self.directory.as_ref().ok_or_else(invalid)?;
        let entry = self.strangers.enter(&digest, peer).await?;
        let asked = directory.api_key(prefix, digest).await;
        let (verdict, mut until) = asked.inspect_err(|_| {
            if let Some(entry) = &entry {
                entry.forgive();
            }
        })?;
        let Some(verdict) = verdict else {
            self.strangers.bad(&digest);
            return Err(invalid());
        };
        self.strangers.good(digest, entry.as_ref());
        drop(entry);
        if let Some(Micros(end)) = verdict.expires {
            let left = end.saturating_sub(regard_types::Clock::System.now().0);
            let left = Duration::from_micros(u64::try_from(left).unwrap_or(0));
            until = until.min(Instant::now() + left.min(BELIEVED));
        }
        let tenant = &verdict.tenant;
        let caller = Caller {
            id: format!("key:{prefix}").into(),
            ..self.caller(&tenant.name, &verdict.name, &verdict.roles, Some(tenant))
        };
        Ok((caller, until))
    }

    /// A caller by its roles and its tenant.
    async fn named(&self, id: String, named: &Named) -> Result<(Caller, Instant), Fault> {
        let own = named.roles.iter().any(|name| role::role(name).is_none());
        let (tenant, until) = self.tenant(&named.tenant, own).await?;
        let caller = Caller {
            id: id.into(),
            ..self.caller(&named.tenant, &named.name, &named.roles, tenant.as_deref())
        };
        Ok((caller, until))
    }

    /// A caller of the settings, with what its roles add and the limits of its tenant.
    async fn fixed(&self, fixed: Fixed) -> Result<(Caller, Instant), Fault> {
        let Fixed { caller, roles } = fixed;
        let own = roles.iter().any(|name| role::role(name).is_none());
        let (tenant, until) = self.tenant(&caller.tenant_name, own).await?;
        let limits = tenant
            .as_deref()
            .map_or(caller.limits, |tenant| tenant.limits);
        if roles.is_empty() {
            return Ok((Caller { limits, ..caller }, until));
        }
        let mut by_roles =
            self.caller(&caller.tenant_name, &caller.name, &roles, tenant.as_deref());
        by_roles.id = caller.id;
        by_roles.all_tenants |= caller.all_tenants;
        by_roles.permissions = settings::both(caller.permissions, by_roles.permissions);
        Ok((by_roles, until))
    }

    /// What the directory knows of a tenant. Limits can be done without while it is away or slow, roles cannot.
    async fn tenant(
        &self,
        name: &str,
        needed: bool,
    ) -> Result<(Option<Arc<TenantAccess>>, Instant), Fault> {
        let nothing = (None, Instant::now() + BELIEVED);
        let Some(directory) = &self.directory else {
            return Ok(nothing);
        };
        if needed {
            directory.tenant(name).await
        } else {
            Ok(directory.tenant_soon(name).await)
        }
    }

    fn caller(
        &self,
        tenant: &str,
        name: &str,
        roles: &[String],
        access: Option<&TenantAccess>,
    ) -> Caller {
        let none = std::collections::BTreeMap::new();
        let resolved = role::resolve(roles, access.map_or(&none, |access| &access.roles));
        Caller {
            permissions: resolved.permissions,
            roles: resolved.roles,
            all_tenants: resolved.all_tenants,
            limits: access.map_or(CallerLimits::default(), |access| access.limits),
            ..Caller::new(self.ids.tenant_id(tenant), tenant, name)
        }
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity")
            .field("keys", &self.keys.len())
            .field("certificates", &self.certificates.len())
            .field("tokens", &self.tokens.is_some())
            .field("directory", &self.directory.is_some())
            .field("embedded", &self.embedded.is_some())
            .finish_non_exhaustive()
    }
}

/// A caller for the services of this process: every permission, every tenant's changes.
#[must_use]
pub fn service_caller(name: &str, ids: &IdSecret) -> Caller {
    Caller {
        all_tenants: true,
        ..Caller::new(ids.tenant_id(DEFAULT), DEFAULT, name)
    }
}

fn default_caller(ids: &IdSecret) -> Caller {
    Caller::new(ids.tenant_id(DEFAULT), DEFAULT, DEFAULT)
}

/// The key or token that the headers carry: at most one.
fn credential(headers: &HeaderMap) -> Result<Option<&[u8]>, Fault> {
    let mut bearers = headers.get_all(http::header::AUTHORIZATION).iter();
    let mut keys = headers.get_all("x-api-key").iter();
    let (bearer, key) = (bearers.next(), keys.next());
    if bearers.next().is_some() || keys.next().is_some() || (bearer.is_some() && key.is_some()) {
        return Err(Fault::unauthenticated(
            "the call carries more than one key; send one, in `authorization` or in `x-api-key`",
        ));
    }
    let Some(value) = bearer else {
        return Ok(key.map(http::HeaderValue::as_bytes));
    };
    match value.as_bytes().split_at_checked(7) {
        Some((scheme, key)) if scheme.eq_ignore_ascii_case(b"bearer ") => {
            Ok(Some(key.trim_ascii()))
        }
        _ => Err(Fault::unauthenticated(
            "the authorization is not of the form `Bearer KEY`",
        )),
    }
}

/// Whether a text can be a tenant's name: lower case letters, digits and inner dashes, 1 to 63 characters.
fn is_tenant(name: &str) -> bool {
    let bytes = name.as_bytes();
    let dash = |byte: Option<&u8>| byte == Some(&b'-');
    let letters = bytes
        .iter()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-');
    (1..=63).contains(&bytes.len()) && letters && !dash(bytes.first()) && !dash(bytes.last())
}

/// The caller's own certificate, DER.
fn leaf(shown: &PeerCertificate) -> &[u8] {
    shown.0.first().map(AsRef::as_ref).unwrap_or_default()
}

/// By which a credential is found. Certificates are no secrets: what stands before them parts them from keys.
fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
    }
    hash.finalize().into()
}
