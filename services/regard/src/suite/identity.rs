//! Who may call: the configured keys, and whoever has none.

use std::path::Path;

use anyhow::{Context as _, anyhow};
use regard_server::{Identity, IdentitySettings, KeySettings};
use regard_types::IdSecret;

use crate::settings::{Key, Settings};

pub(super) fn identity(settings: &Settings, ids: &IdSecret) -> anyhow::Result<Identity> {
    let identity = IdentitySettings {
        embedded: settings.identity.allow_default,
        keys: settings
            .identity
            .keys
            .iter()
            .map(key)
            .collect::<anyhow::Result<_>>()?,
        ..IdentitySettings::default()
    };
    Identity::new(&identity, ids, "identity").map_err(|bad| {
        let bad: Vec<String> = bad.iter().map(ToString::to_string).collect();
        anyhow!("{}", bad.join("; "))
    })
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
        roles: Vec::new(),
        permissions: key.permissions.clone(),
        all_tenants: key.all_tenants,
    })
}

/// The first line of a file that a setting names.
pub(super) fn read_secret(key: &str, path: &Path) -> anyhow::Result<String> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("{key}: cannot read {}", path.display()))?;
    Ok(text.trim().to_owned())
}
