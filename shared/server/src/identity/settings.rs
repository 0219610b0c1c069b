//! The callers of the settings, checked.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use regard_types::{Caller, IdSecret, Permissions};

use super::fetch::Fetch;
use super::jwks::{KeySet, Source};
use super::role::SERVICE;
use super::token::Tokens;
use super::{Fixed, MOST_ROLES, Named, digest, is_tenant, role};
use crate::settings::{
    CertificateSettings, IdentitySettings, JwtSettings, KeySettings, SettingsError,
};

/// Largest difference of clocks that is allowed for, in seconds.
const MOST_SKEW: u64 = 60;
const TENANT: &str = "lower case letters, digits and inner dashes, 1 to 63 characters";

type Bad = Vec<SettingsError>;

/// Static keys by their digest.
pub(super) fn keys(
    settings: &IdentitySettings,
    ids: &IdSecret,
    at: &str,
    bad: &mut Bad,
) -> HashMap<[u8; 32], Fixed> {
    let mut keys = HashMap::new();
    for (index, key) in settings.keys.iter().enumerate() {
        let at = format!("{at}.keys[{index}]");
        let before = bad.len();
        check(key, &at, bad);
        if bad.len() == before
            && keys
                .insert(digest(&[key.key.as_bytes()]), fixed(key, ids))
                .is_some()
        {
            bad.push(SettingsError::new(
                format!("{at}.key"),
                "***",
                "a key that no other caller has",
            ));
        }
    }
    keys
}

/// What a key may do by itself: without permissions and roles everything.
fn fixed(key: &KeySettings, ids: &IdSecret) -> Fixed {
    let every = key.permissions.iter().any(|permission| permission == "*")
        || (key.permissions.is_empty() && key.roles.is_empty());
    let permissions = if every {
        Permissions::All
    } else {
        Permissions::Set(Arc::new(role::granted(&key.permissions)))
    };
    Fixed {
        caller: Caller {
            permissions,
            all_tenants: key.all_tenants,
            id: format!("static:{}/{}", key.tenant, key.name).into(),
            ..Caller::new(ids.tenant_id(&key.tenant), &key.tenant, &key.name)
        },
        roles: key.roles.clone(),
    }
}

/// All that either grants.
pub(super) fn both(one: Permissions, other: Permissions) -> Permissions {
    match (one, other) {
        (Permissions::Set(one), Permissions::Set(other)) if one.is_empty() => {
            Permissions::Set(other)
        }
        (Permissions::Set(one), Permissions::Set(other)) => {
            let all: BTreeSet<String> = one.union(&other).cloned().collect();
            Permissions::Set(Arc::new(all))
        }
        _ => Permissions::All,
    }
}

fn check(key: &KeySettings, at: &str, bad: &mut Bad) {
    if !(16..=256).contains(&key.key.len()) || !key.key.bytes().all(|byte| byte.is_ascii_graphic())
    {
        bad.push(SettingsError::new(
            format!("{at}.key"),
            "***",
            "16 to 256 visible ASCII characters",
        ));
    }
    who(at, &key.tenant, &key.name, &key.roles, bad);
    for permission in &key.permissions {
        if permission != "*" && !role::is_declared(permission) {
            bad.push(SettingsError::new(
                format!("{at}.permissions"),
                permission,
                "a permission that some RPC declares, such as order.write or order.*, or *",
            ));
        }
    }
}

fn who(at: &str, tenant: &str, name: &str, roles: &[String], bad: &mut Bad) {
    if !(1..=64).contains(&name.chars().count()) {
        bad.push(SettingsError::new(
            format!("{at}.name"),
            name,
            "1 to 64 characters",
        ));
    }
    if !is_tenant(tenant) {
        bad.push(SettingsError::new(format!("{at}.tenant"), tenant, TENANT));
    }
    let fits = |role: &String| {
        let bytes = role.as_bytes();
        (1..=63).contains(&bytes.len())
            && bytes
                .iter()
                .all(|b| b.is_ascii_alphanumeric() || *b == b'-')
    };
    if roles.len() > MOST_ROLES || !roles.iter().all(fits) {
        bad.push(SettingsError::new(
            format!("{at}.roles"),
            roles.join(", "),
            format!("at most {MOST_ROLES} names of roles, such as reader"),
        ));
    }
}

/// Who DNS names of certificates stand for.
pub(super) fn certificates(
    settings: &IdentitySettings,
    at: &str,
    bad: &mut Bad,
) -> HashMap<String, Named> {
    let mut known = HashMap::new();
    for (index, certificate) in settings.certificates.iter().enumerate() {
        let CertificateSettings {
            san,
            tenant,
            name,
            roles,
        } = certificate;
        let at = format!("{at}.certificates[{index}]");
        who(&at, tenant, name, roles, bad);
        let named = Named {
            tenant: tenant.clone(),
            name: name.clone(),
            roles: roles.clone(),
        };
        let fits =
            (1..=253).contains(&san.len()) && san.bytes().all(|byte| byte.is_ascii_graphic());
        if !fits || known.insert(san.to_ascii_lowercase(), named).is_some() {
            bad.push(SettingsError::new(
                format!("{at}.san"),
                san,
                "a DNS name that no other entry has",
            ));
        }
    }
    known
}

/// How tokens are verified.
pub(super) fn tokens(jwt: &JwtSettings, at: &str, bad: &mut Bad) -> Option<Tokens> {
    let before = bad.len();
    let mut wrong = |key: &str, found: &dyn std::fmt::Display, expected: &str| {
        bad.push(SettingsError::new(format!("{at}.{key}"), found, expected));
    };
    if jwt.issuer.is_empty() {
        wrong("issuer", &"nothing", "the claim iss of the tokens");
    }
    if jwt.audience.is_empty() || jwt.audience.iter().any(String::is_empty) {
        wrong(
            "audience",
            &"nothing",
            "the claim aud of the tokens: one name or more",
        );
    }
    if jwt.skew_s > MOST_SKEW {
        wrong("skew_s", &jwt.skew_s, "0 to 60");
    }
    for (key, claim) in [
        ("tenant_claim", &jwt.tenant_claim),
        ("roles_claim", &jwt.roles_claim),
    ] {
        if claim.is_empty() {
            wrong(key, &"nothing", "the name of a claim");
        }
    }
    for role in &jwt.roles {
        if role == SERVICE || role::role(role).is_none() {
            wrong(
                "roles",
                role,
                "roles that Regard brings, such as reader, without service",
            );
        }
    }
    let source = match (jwt.jwks_file.as_str(), jwt.jwks_url.as_str()) {
        ("", "") => Err((
            "jwks_url",
            "nothing".to_owned(),
            "jwks_file or jwks_url".to_owned(),
        )),
        (file, "") => Ok(Source::File(PathBuf::from(file))),
        ("", url) => Fetch::new(url, &jwt.jwks_ca_file)
            .map(|fetch| Source::Url(Box::new(fetch)))
            .map_err(|expected| ("jwks_url", url.to_owned(), expected)),
        (_, url) => Err((
            "jwks_url",
            url.to_owned(),
            "nothing, as jwks_file is set".to_owned(),
        )),
    };
    let keys = match source {
        Ok(source) => KeySet::new(source),
        Err((key, found, expected)) => {
            wrong(key, &found, &expected);
            return None;
        }
    };
    if let Err(problem) = keys.check() {
        let expected = format!("a JSON Web Key Set; it {problem}");
        wrong("jwks_file", &jwt.jwks_file, &expected);
    }
    (bad.len() == before).then(|| {
        let claims = (jwt.tenant_claim.as_str(), jwt.roles_claim.as_str());
        Tokens::new(&jwt.issuer, &jwt.audience, claims, jwt.skew_s, keys).naming(&jwt.roles)
    })
}
