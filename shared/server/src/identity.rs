//! Who calls: a static key, the service at the other end of the in-memory pipe, or the embedded default caller.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

use http::HeaderMap;
use regard_types::{Caller, Fault, IdSecret, Permissions};
use sha2::{Digest as _, Sha256};

use crate::settings::{IdentitySettings, KeySettings, SettingsError};

/// Name of the default caller and of its tenant.
const DEFAULT: &str = "default";

/// The callers that the server knows.
#[derive(Clone)]
pub struct Identity {
    /// By SHA-256 of the key, so that a look-up tells nothing about a key by its time.
    keys: HashMap<[u8; 32], Caller>,
    embedded: Option<Caller>,
}

impl Identity {
    /// The callers of the settings; `at` is the section's name.
    ///
    /// # Errors
    /// Every wrong key, named by its place.
    pub fn new(
        settings: &IdentitySettings,
        ids: &IdSecret,
        at: &str,
    ) -> Result<Self, Vec<SettingsError>> {
        let mut keys = HashMap::new();
        let mut bad = Vec::new();
        for (index, key) in settings.keys.iter().enumerate() {
            let at = format!("{at}.keys[{index}]");
            let before = bad.len();
            check(key, &at, &mut bad);
            if bad.len() == before
                && keys
                    .insert(digest(key.key.as_bytes()), known(key, ids))
                    .is_some()
            {
                bad.push(SettingsError::new(
                    format!("{at}.key"),
                    "***",
                    "a key that no other caller has",
                ));
            }
        }
        if !bad.is_empty() {
            return Err(bad);
        }
        let embedded = settings
            .embedded
            .then(|| Caller::new(ids.tenant_id(DEFAULT), DEFAULT, DEFAULT));
        Ok(Self { keys, embedded })
    }

    /// Only the embedded default caller.
    #[must_use]
    pub fn embedded(ids: &IdSecret) -> Self {
        let embedded = Some(Caller::new(ids.tenant_id(DEFAULT), DEFAULT, DEFAULT));
        Self {
            keys: HashMap::new(),
            embedded,
        }
    }

    /// The caller of a call; a service at the pipe is who the pipe says.
    pub(crate) fn caller(
        &self,
        headers: &HeaderMap,
        trusted: Option<&Caller>,
        request_id: &Arc<str>,
        deadline: Option<Instant>,
    ) -> Result<Caller, Fault> {
        let known = match key(headers)? {
            Some(key) => self.keys.get(&digest(key)).ok_or_else(|| {
                Fault::unauthenticated("the key is not known to this server; send a valid one")
            })?,
            None => trusted.or(self.embedded.as_ref()).ok_or_else(|| {
                Fault::unauthenticated(
                    "the call carries no key; send `authorization: Bearer KEY` or `x-api-key: KEY`",
                )
            })?,
        };
        Ok(Caller {
            request_id: Arc::clone(request_id),
            deadline,
            ..known.clone()
        })
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity")
            .field("keys", &self.keys.len())
            .field("embedded", &self.embedded.is_some())
            .finish()
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

fn key(headers: &HeaderMap) -> Result<Option<&[u8]>, Fault> {
    if let Some(value) = headers.get(http::header::AUTHORIZATION) {
        let scheme = value.as_bytes().split_at_checked(7);
        return match scheme {
            Some((scheme, key)) if scheme.eq_ignore_ascii_case(b"bearer ") => {
                Ok(Some(key.trim_ascii()))
            }
            _ => Err(Fault::unauthenticated(
                "the authorization is not of the form `Bearer KEY`",
            )),
        };
    }
    Ok(headers.get("x-api-key").map(http::HeaderValue::as_bytes))
}

fn known(key: &KeySettings, ids: &IdSecret) -> Caller {
    let permissions = if key.permissions.iter().any(|permission| permission == "*") {
        Permissions::All
    } else {
        Permissions::Set(Arc::new(
            key.permissions.iter().cloned().collect::<BTreeSet<_>>(),
        ))
    };
    Caller {
        permissions,
        all_tenants: key.all_tenants,
        ..Caller::new(ids.tenant_id(&key.tenant), &key.tenant, &key.name)
    }
}

fn check(key: &KeySettings, at: &str, bad: &mut Vec<SettingsError>) {
    if !(16..=256).contains(&key.key.len()) || !key.key.bytes().all(|byte| byte.is_ascii_graphic())
    {
        bad.push(SettingsError::new(
            format!("{at}.key"),
            "***",
            "16 to 256 visible ASCII characters",
        ));
    }
    if !(1..=64).contains(&key.name.chars().count()) {
        bad.push(SettingsError::new(
            format!("{at}.name"),
            &key.name,
            "1 to 64 characters",
        ));
    }
    let dash = |byte: Option<u8>| byte == Some(b'-');
    let name = key.tenant.as_bytes();
    let letters = name
        .iter()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'-');
    let edges = !dash(name.first().copied()) && !dash(name.last().copied());
    if !(1..=63).contains(&name.len()) || !letters || !edges {
        let expected = "lower case letters, digits and inner dashes, 1 to 63 characters";
        bad.push(SettingsError::new(
            format!("{at}.tenant"),
            &key.tenant,
            expected,
        ));
    }
    for permission in &key.permissions {
        if permission != "*"
            && !regard_proto::METHODS
                .iter()
                .any(|method| method.permission == permission)
        {
            bad.push(SettingsError::new(
                format!("{at}.permissions"),
                permission,
                "a permission that some RPC declares, such as order.write, or *",
            ));
        }
    }
}

fn digest(key: &[u8]) -> [u8; 32] {
    Sha256::digest(key).into()
}
