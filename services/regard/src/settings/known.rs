//! Which keys there are: those of the defaults.

use std::collections::BTreeMap;

use anyhow::{anyhow, bail};
use toml::{Table, Value};

use super::{Origin, load::wrong};

/// Fields of a table in `identity.keys`.
const KEY_FIELDS: &[&str] = &[
    "key",
    "key_file",
    "tenant",
    "name",
    "roles",
    "permissions",
    "all_tenants",
];

/// Fields of a table in `identity.certificates`.
const CERTIFICATE_FIELDS: &[&str] = &["san", "tenant", "name", "roles"];

/// All keys with their default values.
pub(super) struct Known(BTreeMap<String, Value>);

impl Known {
    pub(super) fn of(defaults: &Table) -> Self {
        let mut leaves = BTreeMap::new();
        collect("", defaults, &mut leaves);
        Self(leaves)
    }

    pub(super) fn leaves(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value))
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    /// Keys and values of a file, each known and of the right kind.
    pub(super) fn flatten(
        &self,
        table: &Table,
        origin: &Origin,
    ) -> anyhow::Result<Vec<(String, Value)>> {
        let mut leaves = Vec::new();
        self.walk("", table, origin, &mut leaves)?;
        Ok(leaves)
    }

    fn walk(
        &self,
        prefix: &str,
        table: &Table,
        origin: &Origin,
        leaves: &mut Vec<(String, Value)>,
    ) -> anyhow::Result<()> {
        for (name, value) in table {
            let key = if prefix.is_empty() {
                name.clone()
            } else {
                format!("{prefix}.{name}")
            };
            if let Some(default) = self.0.get(&key) {
                if let Some(expected) = mismatch(default, value) {
                    return Err(wrong(&key, value, origin, expected));
                }
                if let Value::Array(items) = value {
                    check_items(&key, items, origin)?;
                }
                leaves.push((key, as_known(default, value)));
            } else if !self.is_section(&key) {
                return Err(self.unknown(&key, origin));
            } else if let Value::Table(inner) = value {
                self.walk(&key, inner, origin, leaves)?;
            } else {
                bail!("{origin}: {key} is a section; expected [{key}] with settings below it");
            }
        }
        Ok(())
    }

    fn is_section(&self, key: &str) -> bool {
        self.0.keys().any(|known| {
            known
                .strip_prefix(key)
                .is_some_and(|rest| rest.starts_with('.'))
        })
    }

    /// A value given as text.
    pub(super) fn parse(&self, key: &str, text: &str, origin: &Origin) -> anyhow::Result<Value> {
        let Some(default) = self.0.get(key) else {
            return Err(self.unknown(key, origin));
        };
        let as_text = Value::String(text.to_owned());
        match default {
            Value::Integer(_) => text
                .parse()
                .map(Value::Integer)
                .map_err(|_| wrong(key, &as_text, origin, "a whole number")),
            Value::Float(_) => text
                .parse()
                .map(Value::Float)
                .map_err(|_| wrong(key, &as_text, origin, "a number")),
            Value::Boolean(_) => text
                .parse()
                .map(Value::Boolean)
                .map_err(|_| wrong(key, &as_text, origin, "true or false")),
            Value::Array(_) => Err(anyhow!(
                "{origin}: {key} is a list; set it in a file (--config)"
            )),
            _ => Ok(as_text),
        }
    }

    fn unknown(&self, key: &str, origin: &Origin) -> anyhow::Error {
        // Whoever writes one underscore for two is told so by the nearest name.
        let flat = |k: &str| k.replace(['.', '_'], "");
        let nearest = self
            .0
            .keys()
            .map(|known| (strsim::damerau_levenshtein(&flat(known), &flat(key)), known))
            .min()
            .filter(|(distance, known)| *distance <= 2 + known.len() / 4)
            .map(|(_, known)| known);
        let shown = match (nearest, origin) {
            (None, _) => {
                return anyhow!(
                    "{origin}: no setting is called {key:?}; `regard config` lists all"
                );
            }
            (Some(known), Origin::Environment(_)) => format!(
                "REGARD_{} ({known})",
                known.to_uppercase().replace('.', "__")
            ),
            (Some(known), _) => known.clone(),
        };
        anyhow!("{origin}: no setting is called {key:?}; the nearest is {shown}")
    }
}

fn collect(prefix: &str, table: &Table, leaves: &mut BTreeMap<String, Value>) {
    for (name, value) in table {
        let key = if prefix.is_empty() {
            name.clone()
        } else {
            format!("{prefix}.{name}")
        };
        match value {
            Value::Table(inner) => collect(&key, inner, leaves),
            leaf => {
                leaves.insert(key, leaf.clone());
            }
        }
    }
}

/// What was expected where the kinds differ.
fn mismatch(default: &Value, value: &Value) -> Option<&'static str> {
    let expected = match default {
        Value::Integer(_) => "a whole number",
        // `sample_ratio = 1` is what everybody writes.
        Value::Float(_) if value.is_integer() => return None,
        Value::Float(_) => "a number",
        Value::Boolean(_) => "true or false",
        Value::Array(_) => "a list",
        _ => "a text",
    };
    (default.type_str() != value.type_str()).then_some(expected)
}

/// A whole number where any number may stand is one.
fn as_known(default: &Value, value: &Value) -> Value {
    match (default, value) {
        (Value::Float(_), Value::Integer(whole)) => {
            Value::Float(f64::from(i32::try_from(*whole).unwrap_or(i32::MAX)))
        }
        _ => value.clone(),
    }
}

fn check_items(key: &str, items: &[Value], origin: &Origin) -> anyhow::Result<()> {
    let (fields, required, expected) = if key == "identity.certificates" {
        let required: &[&str] = &["san", "tenant", "name"];
        (
            CERTIFICATE_FIELDS,
            required,
            "a table with san, tenant, name and roles",
        )
    } else {
        let expected = "a table with tenant, name and key or key_file";
        (KEY_FIELDS, &["tenant", "name"][..], expected)
    };
    for (index, item) in items.iter().enumerate() {
        let at = format!("{key}[{index}]");
        let Value::Table(table) = item else {
            return Err(wrong(&at, item, origin, expected));
        };
        for (name, value) in table {
            let key = format!("{at}.{name}");
            let (fits, expected) = match name.as_str() {
                "all_tenants" => (value.is_bool(), "true or false"),
                "permissions" | "roles" => (
                    value
                        .as_array()
                        .is_some_and(|all| all.iter().all(Value::is_str)),
                    "a list of texts such as [\"customer.read\"] or [\"reader\"]",
                ),
                known if fields.contains(&known) => (value.is_str(), "a text"),
                _ => {
                    let nearest = fields
                        .iter()
                        .min_by_key(|known| strsim::damerau_levenshtein(known, name));
                    bail!(
                        "{origin}: no setting is called {key:?}; the nearest is {}",
                        nearest.copied().unwrap_or("tenant")
                    );
                }
            };
            if !fits {
                return Err(wrong(&key, value, origin, expected));
            }
        }
        if let Some(missing) = required.iter().find(|name| !table.contains_key(**name)) {
            bail!("{origin}: {at}.{missing} is missing; expected a text");
        }
    }
    Ok(())
}
