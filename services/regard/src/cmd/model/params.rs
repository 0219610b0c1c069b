//! `--params r=…,alpha=…`.

use std::collections::BTreeMap;

use regard_models::{Parameters, bgnbd, gamma_gamma};

use super::Kind;
use crate::failure::usage;

/// Parameters given by hand.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Given {
    pub purchases: Option<bgnbd::Params>,
    pub values: Option<gamma_gamma::Params>,
}

/// Reads the argument; those of the model must be complete, those of Gamma-Gamma may come with a purchase model.
pub(super) fn parse(text: &str, kind: Kind) -> anyhow::Result<Given> {
    let mut named: BTreeMap<&str, f64> = BTreeMap::new();
    for part in text
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
    {
        let Some((name, value)) = part.split_once('=') else {
            return Err(usage(format!(
                "--params: found {part:?}; expected NAME=VALUE such as r=0.243"
            )));
        };
        // lifetimes calls gamma v.
        let name = match name.trim() {
            "v" => "gamma",
            name => name,
        };
        let known = bgnbd::Params::NAMES
            .iter()
            .chain(gamma_gamma::Params::NAMES);
        if !known.clone().any(|k| *k == name) {
            let known: Vec<&str> = known.copied().collect();
            return Err(usage(format!(
                "--params: no parameter is called {name:?}; expected {}",
                known.join(", ")
            )));
        }
        let number = crate::read::plain(value.trim()).ok_or_else(|| {
            usage(format!(
                "--params: {name}: found {value:?}; expected a positive number"
            ))
        })?;
        if named.insert(name, number).is_some() {
            return Err(usage(format!("--params: {name} is given twice; keep one")));
        }
    }
    let given = Given {
        purchases: take(&named)?,
        values: take(&named)?,
    };
    let complete = if kind == Kind::GammaGamma {
        given.values.is_some()
    } else {
        given.purchases.is_some()
    };
    if !complete {
        let names = if kind == Kind::GammaGamma {
            gamma_gamma::Params::NAMES
        } else {
            bgnbd::Params::NAMES
        };
        return Err(usage(format!(
            "--params: {} needs {}",
            kind.as_str(),
            names.join(", ")
        )));
    }
    Ok(given)
}

fn take<P: Parameters>(named: &BTreeMap<&str, f64>) -> anyhow::Result<Option<P>> {
    let values: Vec<Option<f64>> = P::NAMES
        .iter()
        .map(|name| named.get(name).copied())
        .collect();
    if values.iter().all(Option::is_none) {
        return Ok(None);
    }
    let missing: Vec<&str> = P::NAMES
        .iter()
        .zip(&values)
        .filter(|(_, v)| v.is_none())
        .map(|(name, _)| *name)
        .collect();
    if !missing.is_empty() {
        return Err(usage(format!(
            "--params: {} missing; expected {} together",
            missing.join(", "),
            P::NAMES.join(", ")
        )));
    }
    let params = P::from_values(&values.into_iter().flatten().collect::<Vec<f64>>());
    params
        .validate()
        .map_err(|e| usage(format!("--params: {e}")))?;
    Ok(Some(params))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn complete_sets_are_taken() {
        let given = parse("r=.2, alpha=4,a=1,b=2", Kind::Bgnbd).unwrap();
        assert_eq!(given.purchases.map(|p| p.alpha), Some(4.0));
        assert_eq!(given.values, None);
        let given = parse("p=6,q=4,v=15", Kind::GammaGamma).unwrap();
        assert_eq!(given.values.map(|p| p.gamma), Some(15.0));
    }

    #[test]
    fn wrong_sets_name_the_parameter() {
        for (text, kind, part) in [
            ("r=.2", Kind::Bgnbd, "alpha"),
            ("s=1", Kind::Bgnbd, "\"s\""),
            ("r=x,alpha=1,a=1,b=1", Kind::Mbgnbd, "r: found"),
            ("r=-1,alpha=1,a=1,b=1", Kind::Mbgnbd, "r = -1"),
            ("r=1,r=1", Kind::Mbgnbd, "twice"),
            ("r", Kind::Mbgnbd, "NAME=VALUE"),
            ("r=1,alpha=1,a=1,b=1", Kind::GammaGamma, "p, q, gamma"),
            ("r=inf,alpha=1,a=1,b=1", Kind::Bgnbd, "positive"),
            ("", Kind::Bgnbd, "needs r"),
        ] {
            let error = parse(text, kind).unwrap_err();
            assert!(error.to_string().contains(part), "{text}: {error}");
            assert_eq!(crate::failure::exit_code(&error), 2);
        }
    }
}
