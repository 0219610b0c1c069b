//! Text that is never shown.

use std::fmt;

use serde::Deserialize;

/// A secret from the configuration; `Debug` hides it.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// A secret from elsewhere.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether it is set.
    #[must_use]
    pub const fn is_set(&self) -> bool {
        !self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_set() {
            "(hidden)"
        } else {
            "(not set)"
        })
    }
}

/// What is shown in the place of a secret.
pub const HIDDEN: &str = "***";

/// Whether the last part of a key names a secret.
#[must_use]
pub fn is_secret(key: &str) -> bool {
    let name = key.rsplit(['.', ']']).next().unwrap_or(key);
    matches!(name, "key" | "id_secret" | "master_key" | "api_key")
}

/// A text as it may be shown: secrets hidden, and the password of a URL.
#[must_use]
pub fn shown(key: &str, text: &str) -> String {
    if is_secret(key) && !text.is_empty() {
        return HIDDEN.to_owned();
    }
    without_password(text)
}

fn without_password(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else {
        return text.to_owned();
    };
    let (before_query, query) = rest
        .split_once('?')
        .map_or((rest, None), |(a, q)| (a, Some(q)));
    let authority_end = before_query.find('/').unwrap_or(before_query.len());
    // A password may itself contain `/` or `@`: everything to the last `@` counts as the user's part.
    let end = before_query
        .rfind('@')
        .filter(|at| *at < authority_end || before_query[..*at].contains(':'));
    let mut shown = match end {
        Some(at) => {
            let user = before_query[..at].split(':').next().unwrap_or("");
            let hidden = if before_query[..at].contains(':') {
                format!("{user}:{HIDDEN}")
            } else {
                user.to_owned()
            };
            format!("{scheme}://{hidden}{}", &before_query[at..])
        }
        None => format!("{scheme}://{before_query}"),
    };
    if let Some(query) = query {
        let parts: Vec<String> = query
            .split('&')
            .map(|part| match part.split_once('=') {
                Some((name, _)) if name.to_ascii_lowercase().contains("pass") => {
                    format!("{name}={HIDDEN}")
                }
                _ => part.to_owned(),
            })
            .collect();
        shown.push('?');
        shown.push_str(&parts.join("&"));
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_secret_is_shown() {
        for (url, want) in [
            ("postgres://u:pw@h/db", "postgres://u:***@h/db"),
            (
                "postgres://u:p/w@x@h:5/db?sslmode=require",
                "postgres://u:***@h:5/db?sslmode=require",
            ),
            (
                "postgres://h/db?user=u&password=pw",
                "postgres://h/db?user=u&password=***",
            ),
            ("redis://:pw@h:6379", "redis://:***@h:6379"),
            ("redis://h:6379/0", "redis://h:6379/0"),
            ("sqlite://data/a.db", "sqlite://data/a.db"),
        ] {
            assert_eq!(shown("customer.database.url", url), want);
        }
        assert_eq!(shown("secrets.id_secret", "abc"), HIDDEN);
        assert_eq!(shown("identity.keys[0].key", "abc"), HIDDEN);
        assert_eq!(shown("identity.keys[0].key_file", "/a"), "/a");
        assert_eq!(shown("secrets.id_secret", ""), "");
        assert_eq!(format!("{:?}", Secret("abc".to_owned())), "(hidden)");
    }
}
