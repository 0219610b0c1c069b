//! Layers: defaults, then a file, then the environment, then flags. Every fault names the key, and where it was set.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};
use config::{Config, Environment, File, FileFormat};
use toml::{Table, Value};

use super::{Origin, Settings, check, known::Known, secret::shown};
use crate::failure::usage;

const DEFAULTS: &str = include_str!("default.toml");
const PREFIX: &str = "REGARD_";
/// Variables that are arguments, not settings.
const ARGUMENTS: &[&str] = &[
    "REGARD_CONFIG",
    "REGARD_ADDRESS",
    "REGARD_KEY",
    "REGARD_KEY_FILE",
    "REGARD_TOKEN_FILE",
    "REGARD_CA_FILE",
    "REGARD_CERT_FILE",
    "REGARD_CERT_KEY_FILE",
    "REGARD_SERVER_NAME",
];

/// What the layers above the defaults are made from.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// A TOML file.
    pub file: Option<PathBuf>,
    /// Variables of the process.
    pub environment: BTreeMap<String, String>,
    /// (key, value, the flag as typed), later ones win.
    pub flags: Vec<(String, String, String)>,
}

/// The settings in effect, and each value with its origin.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// As structs.
    pub settings: Settings,
    /// By key; secrets are still in the values: print through [`Loaded::shown`].
    values: BTreeMap<String, (Value, Origin)>,
}

impl Loaded {
    /// Key, value with secrets hidden, origin; in the order of keys.
    pub fn shown(&self) -> impl Iterator<Item = (&str, Value, &Origin)> {
        self.values
            .iter()
            .map(|(key, (value, origin))| (key.as_str(), hide(key, value), origin))
    }
}

fn hide(key: &str, value: &Value) -> Value {
    match value {
        Value::String(text) => Value::String(shown(key, text)),
        Value::Array(items) => Value::Array(
            items
                .iter()
                .enumerate()
                .map(|(i, item)| hide(&format!("{key}[{i}]"), item))
                .collect(),
        ),
        Value::Table(table) => Value::Table(
            table
                .iter()
                .map(|(name, item)| (name.clone(), hide(&format!("{key}.{name}"), item)))
                .collect(),
        ),
        other => other.clone(),
    }
}

/// Merges the layers and checks every key and value.
///
/// # Errors
/// An unknown key with the nearest known one; a value of the wrong kind or out of range; a file that cannot be read.
pub fn load(sources: &Sources) -> anyhow::Result<Loaded> {
    let defaults: Table =
        toml::from_str(DEFAULTS).context("the compiled-in defaults are broken")?;
    let known = Known::of(&defaults);
    let mut values: BTreeMap<String, (Value, Origin)> = known
        .leaves()
        .map(|(key, value)| (key.to_owned(), (value.clone(), Origin::Default)))
        .collect();
    let mut builder = Config::builder().add_source(File::from_str(DEFAULTS, FileFormat::Toml));

    if let Some(path) = &sources.file {
        let (text, table) = read(path)?;
        let origin = Origin::File(path.display().to_string());
        for (key, value) in known.flatten(&table, &origin)? {
            values.insert(key, (value, origin.clone()));
        }
        builder = builder.add_source(File::from_str(&text, FileFormat::Toml));
    }

    let mut environment = config::Map::new();
    for (name, key) in variables(&sources.environment, &known) {
        let text = sources.environment.get(name).cloned().unwrap_or_default();
        let origin = Origin::Environment(name.to_owned());
        let value = known.parse(&key, &text, &origin)?;
        environment.insert(name.to_owned(), text);
        values.insert(key, (value, origin));
    }
    builder = builder.add_source(
        // No `try_parsing`: a secret of digits must stay a text.
        Environment::with_prefix("REGARD")
            .prefix_separator("_")
            .separator("__")
            .source(Some(environment)),
    );

    for (key, text, flag) in &sources.flags {
        let origin = Origin::Flag(flag.clone());
        let value = known
            .parse(key, text, &origin)
            .map_err(|e| usage(e.to_string()))?;
        values.insert(key.clone(), (value, origin));
        builder = builder
            .set_override(key, text.as_str())
            .map_err(|e| usage(format!("flag {flag}: {e}")))?;
    }

    let origin_of = |key: &str| {
        values
            .get(key)
            .map_or(Origin::Default, |(_, origin)| origin.clone())
    };
    for (key, (value, origin)) in &values {
        check::range(key, value).map_err(|expected| wrong(key, value, origin, &expected))?;
    }
    let settings: Settings = builder
        .build()
        .and_then(Config::try_deserialize)
        .map_err(|e| explain(&e))?;
    check::together(&settings)
        .map_err(|(key, problem)| anyhow!("{}: {key}: {problem}", origin_of(key)))?;
    Ok(Loaded { settings, values })
}

fn read(path: &Path) -> anyhow::Result<(String, Table)> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the configuration file {}", path.display()))?;
    match toml::from_str(&text) {
        Ok(table) => Ok((text, table)),
        Err(e) => {
            // The library's own text quotes the line, which may hold a secret.
            let line = e.span().map_or(0, |span| {
                text.get(..span.start).unwrap_or("").matches('\n').count() + 1
            });
            bail!(
                "{}, line {line}: {}; expected TOML",
                path.display(),
                e.message()
            )
        }
    }
}

/// Our variables with their keys. Kubernetes describes its services in variables of the same prefix: those are passed over.
fn variables<'a>(
    environment: &'a BTreeMap<String, String>,
    known: &Known,
) -> Vec<(&'a str, String)> {
    let mut ours = Vec::new();
    for name in environment.keys() {
        let Some(rest) = name.strip_prefix(PREFIX) else {
            continue;
        };
        let key = rest.to_lowercase().replace("__", ".");
        if ARGUMENTS.contains(&name.as_str()) || (!known.has(&key) && is_kubernetes(rest)) {
            continue;
        }
        ours.push((name.as_str(), key));
    }
    ours
}

fn is_kubernetes(rest: &str) -> bool {
    // Names of services have no two underscores in a row: such a variable is a mistyped one of ours.
    if rest.contains("__") {
        return false;
    }
    let marks = ["_PORT", "_SERVICE_"];
    marks.iter().any(|mark| rest.contains(mark))
        || rest.starts_with("PORT")
        || rest.starts_with("SERVICE_")
}

/// The fault of a value; the value itself is hidden where it is secret.
pub(super) fn wrong(key: &str, value: &Value, origin: &Origin, expected: &str) -> anyhow::Error {
    anyhow!(
        "{origin}: {key} = {}: expected {expected}",
        hide(key, value)
    )
}

fn explain(error: &config::ConfigError) -> anyhow::Error {
    match error {
        // Its text may carry the value; the parts that may be told are enough.
        config::ConfigError::Type { expected, key, .. } => {
            anyhow!(
                "{}: expected {expected}",
                key.as_deref().unwrap_or("a setting")
            )
        }
        other => anyhow!("{other}"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn with(environment: &[(&str, &str)]) -> anyhow::Result<Loaded> {
        let environment = environment
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect();
        load(&Sources {
            environment,
            ..Sources::default()
        })
    }

    fn file(text: &str) -> anyhow::Result<Loaded> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("regard.toml");
        std::fs::write(&path, text).unwrap();
        load(&Sources {
            file: Some(path),
            ..Sources::default()
        })
    }

    #[test]
    fn the_defaults_are_complete_and_valid() {
        let loaded = with(&[]).unwrap();
        assert_eq!(loaded.settings.server.listen, "127.0.0.1:7400");
        assert!(
            loaded
                .shown()
                .all(|(_, _, origin)| *origin == Origin::Default)
        );
    }

    #[test]
    fn later_layers_win() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("regard.toml");
        std::fs::write(
            &path,
            "[cache]\nttl_ms = 1001\n[server]\nlisten = '0.0.0.0:1'\ndrain_grace_ms = 7\n",
        )
        .unwrap();
        let environment = [
            ("REGARD_CACHE__TTL_MS", "2002"),
            ("REGARD_SERVER__LISTEN", "0.0.0.0:2"),
            ("REGARD_CUSTOMER__DATABASE__MAX_CONNECTIONS", "3"),
        ];
        let loaded = load(&Sources {
            file: Some(path),
            environment: environment
                .iter()
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
                .collect(),
            flags: vec![(
                "server.listen".to_owned(),
                "0.0.0.0:3".to_owned(),
                "--listen".to_owned(),
            )],
        })
        .unwrap();
        assert_eq!(loaded.settings.cache.ttl_ms, 2002);
        assert_eq!(loaded.settings.server.listen, "0.0.0.0:3");
        assert_eq!(loaded.settings.server.drain_grace_ms, 7);
        assert_eq!(loaded.settings.customer.database.max_connections, 3);
        let origins: BTreeMap<&str, String> =
            loaded.shown().map(|(k, _, o)| (k, o.to_string())).collect();
        assert_eq!(origins["server.listen"], "flag --listen");
        assert_eq!(origins["cache.ttl_ms"], "environment REGARD_CACHE__TTL_MS");
        assert!(origins["server.drain_grace_ms"].starts_with("file "));
        assert_eq!(origins["data.folder"], "default");
    }

    #[test]
    fn unknown_keys_name_the_nearest() {
        let error = file("[server]\nlistn = 'x'\n").unwrap_err().to_string();
        assert!(
            error.contains("server.listn") && error.contains("server.listen"),
            "{error}"
        );
        let error = with(&[("REGARD_CUSTOMER__DATABSE__URL", "x")])
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("REGARD_CUSTOMER__DATABSE__URL")
                && error.contains("customer.database.url"),
            "{error}"
        );
        let error = with(&[("REGARD_SERVER_LISTEN", "x")])
            .unwrap_err()
            .to_string();
        assert!(error.contains("REGARD_SERVER__LISTEN"), "{error}");
        let error = with(&[("REGARD_SERVER__METRICS_PORT", "1")])
            .unwrap_err()
            .to_string();
        assert!(error.contains("REGARD_SERVER__METRICS_PORT"), "{error}");
        let error = file("[[identity.keys]]\nkey='x'\ntenent='a'\nname='b'\n")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("identity.keys[0].tenent") && error.contains("tenant"),
            "{error}"
        );
        let error = file("server = 1\n").unwrap_err().to_string();
        assert!(
            error.contains("server") && error.contains("section"),
            "{error}"
        );
    }

    #[test]
    fn wrong_values_name_key_value_and_what_was_expected() {
        for (text, parts) in [
            (
                "[cache]\nttl_ms = 'many'\n",
                ["cache.ttl_ms", "many", "whole number"],
            ),
            ("[cache]\nttl_ms = -1\n", ["cache.ttl_ms", "-1", "1000 to"]),
            (
                "[server]\nlisten = 'nowhere'\n",
                ["server.listen", "nowhere", "127.0.0.1:7400"],
            ),
            ("[log]\nformat = 'xml'\n", ["log.format", "xml", "json"]),
            (
                "[identity]\nallow_default = 'perhaps'\n",
                ["identity.allow_default", "perhaps", "true or false"],
            ),
            (
                "[customer.database]\nurl = 'mysql://u:pw@h/d'\n",
                ["customer.database.url", "mysql://u:***@h/d", "postgres://"],
            ),
            (
                "[secrets]\nid_secret = 'abc'\n",
                ["secrets.id_secret", "***", "64"],
            ),
        ] {
            let error = file(text).unwrap_err().to_string();
            assert!(parts.iter().all(|part| error.contains(part)), "{error}");
        }
        let error = with(&[("REGARD_CACHE__TTL_MS", "1e3x")])
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("REGARD_CACHE__TTL_MS") && error.contains("1e3x"),
            "{error}"
        );
        let error = file("[server\n").unwrap_err().to_string();
        assert!(error.contains("line 1"), "{error}");
        let error = file("[secrets]\nid_secret = \"hush\n")
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("line 2") && !error.contains("hush"),
            "{error}"
        );
    }

    #[test]
    fn what_kubernetes_sets_is_passed_over() {
        let environment = [
            ("REGARD_PORT", "tcp://10.0.0.1:7400"),
            ("REGARD_SERVICE_HOST", "10.0.0.1"),
            ("REGARD_SERVICE_PORT_GRPC", "7400"),
            ("REGARD_PORT_7400_TCP_ADDR", "10.0.0.1"),
            ("REGARD_SERVER_PORT", "tcp://10.0.0.1:7400"),
            ("REGARD_SCORING_SERVICE_HOST", "10.0.0.1"),
            ("REGARD_SERVER_SERVICE_PORT", "7400"),
            ("REGARD_CONFIG", "/nowhere"),
            ("HOME", "/"),
        ];
        assert!(
            with(&environment)
                .unwrap()
                .shown()
                .all(|(_, _, origin)| *origin == Origin::Default)
        );
    }

    #[test]
    fn secrets_of_digits_stay_text_and_hidden() {
        let digits = "1".repeat(64);
        let loaded = with(&[("REGARD_SECRETS__ID_SECRET", &digits)]).unwrap();
        assert_eq!(loaded.settings.secrets.id_secret.reveal(), digits);
        assert!(
            loaded
                .shown()
                .all(|(_, value, _)| !value.to_string().contains(&digits))
        );
        assert!(!format!("{:?}", loaded.settings).contains(&digits));
    }
}
