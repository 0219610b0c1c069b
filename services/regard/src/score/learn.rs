//! Fits the models of the scores and gives each its grade.

use regard_models::{Fit, Grade, bgnbd, gamma_gamma, mbgnbd};
use regard_types::Day;

use super::counting::{History, Row};
use super::holdout::{self, Holdout};

/// The models of a file, each there or with the reason why not.
#[derive(Debug)]
pub struct Learnt {
    pub bgnbd: Result<Fit<bgnbd::Params>, String>,
    pub mbgnbd: Result<Fit<mbgnbd::Params>, String>,
    pub gamma_gamma: Result<Fit<gamma_gamma::Params>, String>,
    pub holdout: Result<Holdout, String>,
}

/// Fits all models as of a day, and tests them on the last part of the data.
#[must_use]
pub fn learn(sorted: &[Row], known: &[History], as_of: Day, horizon_weeks: f64) -> Learnt {
    let stats: Vec<_> = known.iter().filter_map(|h| h.stat(as_of)).collect();
    let spends: Vec<_> = known
        .iter()
        .filter(|h| h.days.is_some())
        .map(History::spend)
        .collect();
    let first = known
        .iter()
        .filter_map(|h| h.days)
        .map(|(first, _)| first)
        .min();
    let ((bgnbd, mbgnbd), (gamma_gamma, tested)) = rayon::join(
        || rayon::join(|| bgnbd::fit(&stats), || mbgnbd::fit(&stats)),
        || {
            let none = || Err("no hold-out: nobody bought".to_owned());
            rayon::join(
                || gamma_gamma::fit(&spends),
                || {
                    first.map_or_else(none, |first| {
                        holdout::test(sorted, first, as_of, horizon_weeks)
                    })
                },
            )
        },
    );
    let purchases = |model: &str| {
        let found = tested
            .as_ref()
            .ok()
            .and_then(|h| h.purchases.iter().find(|f| f.model == model));
        judged(found.map(|f| (f.judged, f.reason.clone())), &tested)
    };
    let value = tested
        .as_ref()
        .ok()
        .and_then(|h| h.value.as_ref())
        .map(|v| (v.judged, v.reason.clone()));
    let value = judged(value, &tested);
    let (by_bgnbd, by_mbgnbd) = (purchases("bgnbd"), purchases("mbgnbd"));
    Learnt {
        bgnbd: bgnbd
            .map(|fit| fit.with_holdout(by_bgnbd.0, by_bgnbd.1))
            .map_err(|e| e.to_string()),
        mbgnbd: mbgnbd
            .map(|fit| fit.with_holdout(by_mbgnbd.0, by_mbgnbd.1))
            .map_err(|e| e.to_string()),
        gamma_gamma: gamma_gamma
            .map(|fit| fit.with_holdout(value.0, value.1))
            .map_err(|e| e.to_string()),
        holdout: tested,
    }
}

fn judged(found: Option<(Grade, String)>, tested: &Result<Holdout, String>) -> (Grade, String) {
    found.unwrap_or_else(|| {
        let reason = tested.as_ref().err().cloned();
        (
            Grade::E,
            reason.unwrap_or_else(|| {
                "no hold-out: the first part of the data is too little to fit this model".to_owned()
            }),
        )
    })
}
