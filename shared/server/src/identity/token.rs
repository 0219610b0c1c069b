//! Signed tokens (JSON Web Tokens, RFC 7519): RS256, ES256 and EdDSA by the keys of the issuer's set.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use moka::sync::Cache;
use regard_types::Fault;
use serde_json::Value;

use super::certificate::LONGEST_NAME;
use super::directory::KEPT;
use super::jwks::KeySet;
use super::{MOST_ROLES, Named, is_tenant, role};

/// Longest token in bytes.
const LONGEST: usize = 8 * 1024;

/// Who tokens are taken from, and how they are read.
pub(super) struct Tokens {
    pub issuer: String,
    pub audience: Vec<String>,
    pub tenant_claim: String,
    pub roles_claim: String,
    /// How far clocks may differ, in seconds.
    pub skew: u64,
    pub keys: KeySet,
    /// Which of Regard's own roles they may name.
    roles: Vec<String>,
    /// What was verified, by the token's SHA-256.
    verified: Cache<[u8; 32], Arc<Verified>>,
}

/// A token that was verified.
pub(super) struct Verified {
    pub named: Named,
    /// When it ends, in seconds since 1970, skew included.
    until: u64,
    generation: u64,
}

impl Verified {
    /// How long it holds still.
    pub fn left(&self) -> Duration {
        Duration::from_secs(self.until.saturating_sub(now()))
    }
}

fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// Whether a credential has the form of a token: three parts of base64url, the first a JSON object.
pub(super) fn is_token(text: &str) -> bool {
    text.starts_with("ey") && text.bytes().filter(|byte| *byte == b'.').count() == 2
}

impl Tokens {
    pub fn new(
        issuer: &str,
        audience: &[String],
        claims: (&str, &str),
        skew: u64,
        keys: KeySet,
    ) -> Self {
        Self {
            issuer: issuer.to_owned(),
            audience: audience.to_vec(),
            tenant_claim: claims.0.to_owned(),
            roles_claim: claims.1.to_owned(),
            skew,
            keys,
            roles: crate::settings::JwtSettings::default().roles,
            verified: Cache::new(KEPT),
        }
    }

    /// Tokens may name these of Regard's own roles, and no other.
    pub fn naming(mut self, roles: &[String]) -> Self {
        self.roles = roles.to_vec();
        self
    }

    /// A role of a tenant's own, or one of Regard's that tokens may name.
    fn may_name(&self, name: &String) -> bool {
        role::role(name).is_none() || self.roles.contains(name)
    }

    /// The caller that a token names; `digest` is its SHA-256.
    pub async fn verify(&self, token: &str, digest: [u8; 32]) -> Result<Arc<Verified>, Fault> {
        if let Some(known) = self.verified.get(&digest) {
            let keys = self.keys.current().await?;
            if keys.generation == known.generation && !known.left().is_zero() {
                return Ok(known);
            }
            self.verified.invalidate(&digest);
        }
        let verified = Arc::new(self.read(token).await?);
        self.verified.insert(digest, Arc::clone(&verified));
        Ok(verified)
    }

    async fn read(&self, token: &str) -> Result<Verified, Fault> {
        if token.len() > LONGEST {
            return Err(refused(format!("is longer than {LONGEST} bytes")));
        }
        let header = decode_header(token).map_err(|error| match error.kind() {
            ErrorKind::Json(_) => refused(
                "has a header that cannot be read; expected the algorithm RS256, ES256 or EdDSA",
            ),
            _ => refused("cannot be read; expected a JSON Web Token"),
        })?;
        if !matches!(
            header.alg,
            Algorithm::RS256 | Algorithm::ES256 | Algorithm::EdDSA
        ) {
            return Err(refused(
                "is signed by an algorithm that is not taken; expected RS256, ES256 or EdDSA",
            ));
        }
        // RFC 7515 section 4.1.11: what must be understood and is not, is refused.
        if header.crit.is_some() {
            return Err(refused(
                "demands an extension that this server does not know",
            ));
        }
        let validation = self.validation(header.alg);
        let checked = self
            .keys
            .find(header.kid.as_deref(), header.alg, |keys, key| {
                let claims = decode::<HashMap<String, Value>>(token, &key.key, &validation);
                (claims.map(|data| data.claims), keys.generation)
            });
        let Some((claims, generation)) = checked.await? else {
            return Err(refused(
                "is signed by a key that the issuer's key set does not hold",
            ));
        };
        let claims = claims.map_err(|error| refused(problem(error.kind())))?;
        let until = claims
            .get("exp")
            .and_then(Value::as_f64)
            .map_or(0, |exp| (exp as u64).saturating_add(self.skew));
        Ok(Verified {
            named: self.named(&claims)?,
            until,
            generation,
        })
    }

    fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        validation.leeway = self.skew;
        validation.validate_nbf = true;
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(&self.audience);
        validation.required_spec_claims =
            HashSet::from(["exp", "iss", "aud", "sub"].map(str::to_owned));
        validation
    }

    fn named(&self, claims: &HashMap<String, Value>) -> Result<Named, Fault> {
        let text = |claim: &str| {
            claims
                .get(claim)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let tenant = text(&self.tenant_claim);
        if !is_tenant(tenant) {
            return Err(refused(format!(
                "names no tenant in the claim {}",
                self.tenant_claim
            )));
        }
        let name = text("sub");
        if !(1..=LONGEST_NAME).contains(&name.len()) || name.chars().any(char::is_control) {
            return Err(refused(format!(
                "names no caller in the claim sub; expected 1 to {LONGEST_NAME} bytes"
            )));
        }
        let roles = match claims.get(&self.roles_claim) {
            None => Some(Vec::new()),
            Some(Value::String(text)) => Some(text.split_whitespace().map(str::to_owned).collect()),
            Some(Value::Array(items)) => items
                .iter()
                .map(|item| item.as_str().map(str::to_owned))
                .collect(),
            Some(_) => None,
        };
        let roles = roles.filter(|roles: &Vec<String>| roles.len() <= MOST_ROLES).ok_or_else(|| {
            refused(format!("has roles in the claim {} that cannot be read; expected at most {MOST_ROLES} names", self.roles_claim))
        })?;
        // Whoever may edit a claim at the issuer must not become a server of the suite by it.
        let (roles, refused): (Vec<_>, Vec<_>) =
            roles.into_iter().partition(|name| self.may_name(name));
        if !refused.is_empty() {
            tracing::debug!(
                roles = refused.join(", "),
                "the token names roles that identity.jwt.roles does not list"
            );
        }
        Ok(Named {
            tenant: tenant.to_owned(),
            name: name.to_owned(),
            roles,
        })
    }
}

fn refused(what: impl std::fmt::Display) -> Fault {
    Fault::unauthenticated(format!("the token {what}"))
}

/// What is wrong, without a word of the token.
fn problem(kind: &ErrorKind) -> &'static str {
    match kind {
        ErrorKind::ExpiredSignature => "has expired; get a new one",
        ErrorKind::ImmatureSignature => "is not valid yet; are the clocks right?",
        ErrorKind::InvalidIssuer => "is of another issuer than identity.jwt.issuer",
        ErrorKind::InvalidAudience => "is for another audience than identity.jwt.audience",
        ErrorKind::MissingRequiredClaim(_) => "lacks a claim; expected iss, aud, sub and exp",
        ErrorKind::InvalidSignature => "has a signature that does not fit",
        _ => "cannot be verified",
    }
}

#[cfg(test)]
#[path = "token_tests.rs"]
mod tests;
