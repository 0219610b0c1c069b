//! Definitions: what scores and metrics mean, as documents. The shipped ones are compiled in, parsed and checked at start.

pub mod metric;
pub mod score;

use std::collections::BTreeMap;

pub use metric::MetricDefinition;
pub use score::{Method, ScoreDefinition};
use serde::Deserialize;

/// What every definition says of itself.
#[derive(Debug, Clone, Deserialize)]
pub struct Title {
    /// English.
    pub en: String,
    /// Chinese.
    pub zh: String,
}

/// A shipped document that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("definition {name}: {what}")]
pub struct DefinitionError {
    /// The document.
    pub name: String,
    /// What is wrong, with line and column where the parser knows them.
    pub what: String,
}

/// All definitions by name.
#[derive(Debug)]
pub struct Book {
    /// In the order in which answers list them.
    pub scores: Vec<ScoreDefinition>,
    /// By name.
    pub metrics: BTreeMap<String, MetricDefinition>,
    /// Of the scores' names, versions and order: what was scored under another one is computed again.
    pub fingerprint: u64,
}

const SCORES: [(&str, &str); 7] = [
    ("rfm", include_str!("../../definitions/score/rfm.toml")),
    (
        "p_alive",
        include_str!("../../definitions/score/p_alive.toml"),
    ),
    (
        "expected_purchases",
        include_str!("../../definitions/score/expected_purchases.toml"),
    ),
    (
        "no_purchase_13w",
        include_str!("../../definitions/score/no_purchase_13w.toml"),
    ),
    (
        "residual_clv",
        include_str!("../../definitions/score/residual_clv.toml"),
    ),
    (
        "historic_value",
        include_str!("../../definitions/score/historic_value.toml"),
    ),
    (
        "satisfaction",
        include_str!("../../definitions/score/satisfaction.toml"),
    ),
];

const METRICS: [(&str, &str); 7] = [
    ("nps", include_str!("../../definitions/metric/nps.toml")),
    ("csat", include_str!("../../definitions/metric/csat.toml")),
    ("ces", include_str!("../../definitions/metric/ces.toml")),
    (
        "churn_period",
        include_str!("../../definitions/metric/churn_period.toml"),
    ),
    (
        "lapsed_share",
        include_str!("../../definitions/metric/lapsed_share.toml"),
    ),
    (
        "repeat_purchase_rate",
        include_str!("../../definitions/metric/repeat_purchase_rate.toml"),
    ),
    (
        "revenue",
        include_str!("../../definitions/metric/revenue.toml"),
    ),
];

impl Book {
    /// The shipped definitions.
    ///
    /// # Errors
    /// The first document that does not parse or contradicts itself.
    pub fn shipped() -> Result<Self, DefinitionError> {
        let mut scores = Vec::with_capacity(SCORES.len());
        for (name, text) in SCORES {
            let definition: ScoreDefinition = parse(name, text)?;
            definition.check().map_err(|what| bad(name, what))?;
            same_name(name, &definition.name)?;
            scores.push(definition);
        }
        let mut metrics = BTreeMap::new();
        for (name, text) in METRICS {
            let definition: MetricDefinition = parse(name, text)?;
            definition.check().map_err(|what| bad(name, what))?;
            same_name(name, &definition.name)?;
            metrics.insert(name.to_owned(), definition);
        }
        let fingerprint = fingerprint();
        Ok(Self {
            scores,
            metrics,
            fingerprint,
        })
    }

    /// The place of a score in the book.
    #[must_use]
    pub fn score(&self, name: &str) -> Option<usize> {
        self.scores.iter().position(|s| s.name == name)
    }

    /// All scores' names, for error messages.
    #[must_use]
    pub fn score_names(&self) -> String {
        let names: Vec<&str> = self.scores.iter().map(|s| s.name.as_str()).collect();
        names.join(", ")
    }
}

/// FNV-1a, 64 bits, over the documents: the same in every build, another with every change of them.
fn fingerprint() -> u64 {
    let bytes = SCORES
        .iter()
        .flat_map(|(name, text)| name.bytes().chain([0]).chain(text.bytes()).chain([0]));
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

fn parse<T: serde::de::DeserializeOwned>(name: &str, text: &str) -> Result<T, DefinitionError> {
    toml::from_str(text).map_err(|e| bad(name, e.to_string()))
}

fn bad(name: &str, what: impl Into<String>) -> DefinitionError {
    DefinitionError {
        name: name.to_owned(),
        what: what.into(),
    }
}

fn same_name(file: &str, name: &str) -> Result<(), DefinitionError> {
    if file == name {
        return Ok(());
    }
    Err(bad(file, format!("is named {name}")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_shipped_definitions_are_sound() {
        let book = Book::shipped().unwrap();
        assert_eq!(book.scores.len(), 7);
        assert_eq!(book.metrics.len(), 7);
        for s in &book.scores {
            assert!(!s.title.zh.is_empty() && !s.source.is_empty() && !s.example.is_empty());
        }
    }

    #[test]
    fn an_unknown_key_is_named() {
        let text = include_str!("../../definitions/score/p_alive.toml").replace("unit", "unti");
        let error = parse::<ScoreDefinition>("p_alive", &text).unwrap_err();
        assert!(error.to_string().contains("unti"), "{error}");
    }

    #[test]
    fn weights_that_cannot_be_reached_are_refused() {
        let text = include_str!("../../definitions/score/satisfaction.toml")
            .replace("minimum_weight = 0.5", "minimum_weight = 1.5");
        let definition: ScoreDefinition = parse("satisfaction", &text).unwrap();
        assert!(definition.check().unwrap_err().contains("minimum_weight"));
    }
}
