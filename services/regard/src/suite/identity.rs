//! Who may call, and how the server gets to know them.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use regard_server::{
    CertificateSettings, Directory, Identity, IdentitySettings, JwtSettings, KeySettings, Pipe,
    RemoteDirectory, ServerSettings, Shared,
};
use regard_types::IdSecret;

use super::{Which, peer, secret};
use crate::settings::{Key, Settings};

/// The file of the key that the commands of this machine find by themselves, in the data folder.
pub const LOCAL_KEY: &str = "local-key";

/// The callers of the settings; and whoever can read the key of the data folder, where stores lie there or only this machine
/// is listened to.
pub(super) fn identity(
    settings: &Settings,
    services: &[Which],
    server: &ServerSettings,
    ids: &IdSecret,
) -> anyhow::Result<Identity> {
    let identity = identity_settings(settings)?;
    let identity = Identity::new(&identity, ids, "identity").map_err(|bad| {
        let bad: Vec<String> = bad.iter().map(ToString::to_string).collect();
        anyhow!("{}", bad.join("; "))
    })?;
    let stores = services
        .iter()
        .any(|which| !which.database(settings).url.is_set());
    if !stores && !super::is_near(server) {
        return Ok(identity);
    }
    Ok(identity.with_local_key(&local_key(&settings.data.folder)?))
}

pub(super) fn identity_settings(settings: &Settings) -> anyhow::Result<IdentitySettings> {
    let given = &settings.identity;
    Ok(IdentitySettings {
        embedded: given.allow_default,
        keys: given.keys.iter().map(key).collect::<anyhow::Result<_>>()?,
        certificates: given
            .certificates
            .iter()
            .map(|certificate| CertificateSettings {
                san: certificate.san.clone(),
                tenant: certificate.tenant.clone(),
                name: certificate.name.clone(),
                roles: certificate.roles.clone(),
            })
            .collect(),
        jwt: jwt(&given.jwt)?,
    })
}

/// The key of a data folder, made where there is none: 256 random bits that the folder's owner alone can read.
pub(super) fn local_key(folder: &Path) -> anyhow::Result<String> {
    secret::kept(folder, LOCAL_KEY, |text| {
        IdSecret::parse_hex(text).map(|_| text.trim().to_owned())
    })
}

fn jwt(given: &crate::settings::Jwt) -> anyhow::Result<Option<JwtSettings>> {
    if given.issuer.is_empty() {
        let others = [&given.audience, &given.jwks_file, &given.jwks_url];
        if others.iter().any(|text| !text.is_empty()) {
            return Err(anyhow!(
                "identity.jwt.issuer is not set; expected the claim iss of the tokens"
            ));
        }
        return Ok(None);
    }
    let list = |text: &str| {
        let names = text.split(',').map(str::trim);
        names
            .filter(|one| !one.is_empty())
            .map(str::to_owned)
            .collect()
    };
    Ok(Some(JwtSettings {
        issuer: given.issuer.clone(),
        audience: list(&given.audience),
        jwks_file: given.jwks_file.clone(),
        jwks_url: given.jwks_url.clone(),
        jwks_ca_file: given.jwks_ca_file.clone(),
        tenant_claim: given.tenant_claim.clone(),
        roles_claim: given.roles_claim.clone(),
        roles: list(&given.roles),
        skew_s: given.skew_s,
    }))
}

fn key(key: &Key) -> anyhow::Result<KeySettings> {
    let text = match &key.key_file {
        Some(path) => read_secret("identity.keys.key_file", path)?,
        None => key.key.reveal().to_owned(),
    };
    Ok(KeySettings {
        key: text,
        name: key.name.clone(),
        tenant: key.tenant.clone(),
        roles: key.roles.clone(),
        permissions: key.permissions.clone(),
        all_tenants: key.all_tenants,
    })
}

/// Where API keys, roles and limits are looked up if the customer service is not served here: at its address.
pub(super) fn directory(
    settings: &Settings,
    services: &[Which],
    shared: &Shared,
    pipe: &Pipe,
) -> anyhow::Result<Option<Arc<dyn Directory>>> {
    let from = services
        .iter()
        .copied()
        .find(|which| *which != Which::Customer);
    let (Some(from), false) = (from, settings.peer.customer_address.is_empty()) else {
        return Ok(None);
    };
    if services.contains(&Which::Customer) {
        return Ok(None);
    }
    let client = peer::client(settings, services, (from, Which::Customer), shared, pipe)?;
    Ok(Some(Arc::new(RemoteDirectory(client.access()))))
}

/// The first line of a file that a setting names.
pub(super) fn read_secret(key: &str, path: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("{key}: cannot read {}", path.display()))?;
    Ok(text.trim().to_owned())
}
