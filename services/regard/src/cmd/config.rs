//! `regard config`, and the settings flags that every command with a configuration shares.

use std::collections::BTreeMap;
use std::io::{Write as _, stdout};
use std::path::PathBuf;

use clap::Args;
use serde_json::{Map, Value, json};

use crate::failure::usage;
use crate::settings::{Loaded, Sources, load};
use crate::show;

/// Flags that choose and override settings.
#[derive(Debug, Clone, Args)]
pub struct SettingsArgs {
    /// Settings file (TOML).
    #[arg(long, value_name = "FILE", env = "REGARD_CONFIG")]
    config: Option<PathBuf>,
    /// Folder of the embedded stores (data.folder).
    #[arg(long, value_name = "FOLDER")]
    data: Option<String>,
    /// Address and port of gRPC (server.listen).
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Any setting, such as --set cache.ttl_ms=5000; may be repeated.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl SettingsArgs {
    /// Loads the settings with the environment of the process.
    ///
    /// # Errors
    /// A key or value that does not fit, or an unreadable file.
    pub fn load(&self) -> anyhow::Result<Loaded> {
        let environment: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| {
                Some((
                    name.into_string().ok()?,
                    value.to_string_lossy().into_owned(),
                ))
            })
            .filter(|(name, _)| name.starts_with("REGARD_"))
            .collect();
        let mut flags = Vec::new();
        for text in &self.set {
            let Some((key, value)) = text.split_once('=') else {
                return Err(usage(format!(
                    "--set {text}: expected KEY=VALUE such as cache.ttl_ms=5000"
                )));
            };
            flags.push((
                key.trim().to_owned(),
                value.to_owned(),
                format!("--set {}", key.trim()),
            ));
        }
        for (key, value, flag) in [
            ("data.folder", &self.data, "--data"),
            ("server.listen", &self.listen, "--listen"),
        ] {
            flags.extend(
                value
                    .iter()
                    .map(|v| (key.to_owned(), v.clone(), flag.to_owned())),
            );
        }
        load(&Sources {
            file: self
                .config
                .clone()
                .filter(|path| !path.as_os_str().is_empty()),
            environment,
            flags,
        })
    }
}

/// Arguments of `regard config`.
#[derive(Debug, Args)]
pub struct ConfigCommand {
    #[command(flatten)]
    settings: SettingsArgs,
    /// Print one JSON document: {"settings": …, "origins": {key: origin}}.
    #[arg(long)]
    json: bool,
}

impl ConfigCommand {
    /// Runs the command.
    ///
    /// # Errors
    /// A key or value that does not fit, or an unreadable file.
    pub fn run(self) -> anyhow::Result<()> {
        let loaded = self.settings.load()?;
        let mut out = stdout().lock();
        if self.json {
            serde_json::to_writer_pretty(&mut out, &document(&loaded)?)?;
            writeln!(out)?;
            return Ok(());
        }
        let mut table = show::table(&["setting", "value", "from"], &[]);
        for (key, value, origin) in loaded.shown() {
            table.add_row([key.to_owned(), value.to_string(), origin.to_string()]);
        }
        show::print(&mut out, &table)?;
        Ok(())
    }
}

fn document(loaded: &Loaded) -> anyhow::Result<Value> {
    let mut settings = Map::new();
    let mut origins = Map::new();
    for (key, value, origin) in loaded.shown() {
        origins.insert(key.to_owned(), json!(origin.to_string()));
        let mut parts: Vec<&str> = key.split('.').collect();
        let Some(last) = parts.pop() else { continue };
        let mut at = &mut settings;
        for part in parts {
            let inner = at.entry(part).or_insert_with(|| Value::Object(Map::new()));
            let Value::Object(map) = inner else {
                anyhow::bail!("setting {key} lies below a value")
            };
            at = map;
        }
        at.insert(last.to_owned(), serde_json::to_value(&value)?);
    }
    Ok(json!({ "settings": settings, "origins": origins }))
}
