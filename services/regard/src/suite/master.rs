//! The master key of personal data: configured, or made on the first start and kept with the embedded stores.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, bail};
use regard_database::{CommandKey, LocalKey, MasterKeys};

use super::Which;
use super::identity::read_secret;
use super::secret::{embedded, kept};
use crate::settings::Settings;

/// Its file in the data folder.
const FILE: &str = "master-key";

/// The master key of these services; none if none of them holds personal data.
pub(super) async fn master(
    settings: &Settings,
    services: &[Which],
) -> anyhow::Result<Option<MasterKeys>> {
    if !services.iter().any(|which| which.holds_personal_data()) {
        return Ok(None);
    }
    let secrets = &settings.secrets;
    let limit = Duration::from_millis(secrets.master_key_timeout_ms);
    let keys = if secrets.master_key.is_set() {
        MasterKeys::new(
            LocalKey::parse_hex(secrets.master_key.reveal()).context("secrets.master_key")?,
        )
    } else if !secrets.master_key_file.is_empty() {
        MasterKeys::new(file("secrets.master_key_file", &secrets.master_key_file)?)
    } else if !secrets.master_key_command.is_empty() {
        let key = CommandKey::connect(&secrets.master_key_command, limit).await;
        MasterKeys::new(key.context("secrets.master_key_command")?)
    } else if embedded(settings, services) {
        MasterKeys::new(kept(&settings.data.folder, FILE, LocalKey::parse_hex)?)
    } else {
        bail!(
            "secrets.master_key_file is not set; services that run apart, or on stores outside of the data folder, must be given \
             the key under which they seal personal data: a file of 64 hexadecimal digits, for example from `openssl rand -hex \
             32`, or a program that asks a key service in secrets.master_key_command"
        );
    };
    let keys = if !secrets.former_master_key_file.is_empty() {
        keys.with_former(file(
            "secrets.former_master_key_file",
            &secrets.former_master_key_file,
        )?)
    } else if !secrets.former_master_key_command.is_empty() {
        let key = CommandKey::connect(&secrets.former_master_key_command, limit).await;
        keys.with_former(key.context("secrets.former_master_key_command")?)
    } else {
        keys
    };
    Ok(Some(keys))
}

fn file(setting: &str, path: &str) -> anyhow::Result<LocalKey> {
    let path = Path::new(path);
    let text = read_secret(setting, path)?;
    LocalKey::parse_hex(&text).with_context(|| format!("{setting}: {}", path.display()))
}
