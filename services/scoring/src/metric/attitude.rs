//! Metrics of answers. The formulas are those of "Attitude" in the mathematics document.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use regard_models::attitude::{self, Answer, rescale, share_from_counts};
use regard_types::Uuid;

use super::domain::{LEVEL, Value, count, ends, number};
use crate::population::answers::Answered;

/// What is asked of the answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// Promoters less detractors, of 0 to 10.
    Nps,
    /// The two highest, of 1 to 5, 7 or 10.
    Csat,
    /// 5 to 7 of 1 to 7.
    Ces,
    /// The mean.
    Rating,
}

const NO_ANSWER: &str = "no answer within the period";

/// The metric of a group of answers.
#[must_use]
pub fn measure(measure: Measure, group: &str, answers: &[&Answered]) -> Value {
    let fits = |a: &&&Answered| {
        let (low, high) = a.scale;
        let asked = match measure {
            Measure::Nps => a.scale == (0, 10),
            Measure::Csat => low == 1 && [5, 7, 10].contains(&high),
            Measure::Ces => a.scale == (1, 7),
            Measure::Rating => low < high,
        };
        asked && (i64::from(low)..=i64::from(high)).contains(&a.value)
    };
    let counted: Vec<&Answered> = answers.iter().filter(fits).copied().collect();
    let left_out = answers.len() - counted.len();
    let mut out = if counted.is_empty() {
        let reason = if left_out > 0 {
            "no answer on a scale that this metric is defined on"
        } else {
            NO_ANSWER
        };
        Value::absent(group, reason)
    } else {
        let people: HashSet<Uuid> = counted.iter().map(|a| a.customer).collect();
        let mut value = match measure {
            Measure::Nps => nps(&counted),
            Measure::Csat => csat(&counted),
            Measure::Ces => ces(&counted),
            Measure::Rating => rating(&counted),
        };
        group.clone_into(&mut value.group);
        value.n = count(counted.len());
        value.people = count(people.len());
        value.parts.push(("people", number(people.len())));
        value
    };
    if left_out > 0 {
        out.parts.push(("left_out", number(left_out)));
    }
    out
}

/// The scales of the answers.
#[must_use]
pub fn scales(answers: &[Answered]) -> BTreeSet<(i32, i32)> {
    answers.iter().map(|a| a.scale).collect()
}

fn plain(answers: &[&Answered]) -> Vec<Answer> {
    answers
        .iter()
        .map(|a| Answer::new(to_f64(a.value)))
        .collect()
}

fn nps(answers: &[&Answered]) -> Value {
    match attitude::nps(&plain(answers), LEVEL) {
        Ok(nps) => Value {
            value: Some(nps.balance.points),
            interval: Some(ends(nps.balance.interval)),
            parts: vec![
                (
                    "promoters",
                    number(answers.iter().filter(|a| a.value >= 9).count()),
                ),
                (
                    "passives",
                    number(
                        answers
                            .iter()
                            .filter(|a| (7..=8).contains(&a.value))
                            .count(),
                    ),
                ),
                (
                    "detractors",
                    number(answers.iter().filter(|a| a.value <= 6).count()),
                ),
                ("standard_error", nps.balance.standard_error),
            ],
            ..Value::default()
        },
        Err(error) => Value::absent("", error.to_string()),
    }
}

fn csat(answers: &[&Answered]) -> Value {
    let satisfied = answers
        .iter()
        .filter(|a| a.value >= i64::from(a.scale.1) - 1)
        .count();
    let mut out = share(satisfied, answers.len(), "satisfied");
    mean_part(&mut out, answers);
    out
}

fn ces(answers: &[&Answered]) -> Value {
    let easy = answers.iter().filter(|a| a.value >= 5).count();
    let mut out = share(easy, answers.len(), "easy");
    mean_part(&mut out, answers);
    out
}

fn share(hits: usize, n: usize, name: &'static str) -> Value {
    match share_from_counts(hits, n, LEVEL) {
        Ok(share) => Value {
            value: Some(share.share),
            interval: Some(ends(share.interval)),
            parts: vec![(name, number(hits))],
            ..Value::default()
        },
        Err(error) => Value::absent("", error.to_string()),
    }
}

/// The mean on the answers' own scale, or of 0 to 100 where they have several.
fn mean_part(out: &mut Value, answers: &[&Answered]) {
    let (values, (low, high), name) = on_one_scale(answers);
    if let Ok(mean) = attitude::mean(&values, low, high, LEVEL) {
        out.parts.push((name, mean.mean));
    }
}

fn on_one_scale(answers: &[&Answered]) -> (Vec<Answer>, (f64, f64), &'static str) {
    let first = answers.first().map_or((0, 0), |a| a.scale);
    if answers.iter().all(|a| a.scale == first) {
        return (
            plain(answers),
            (f64::from(first.0), f64::from(first.1)),
            "mean",
        );
    }
    let rescaled = answers
        .iter()
        .filter_map(|a| rescale(to_f64(a.value), f64::from(a.scale.0), f64::from(a.scale.1)));
    (
        rescaled.map(Answer::new).collect(),
        (0.0, 100.0),
        "mean_of_100",
    )
}

fn rating(answers: &[&Answered]) -> Value {
    let (values, (low, high), _) = on_one_scale(answers);
    let mean = match attitude::mean(&values, low, high, LEVEL) {
        Ok(mean) => mean,
        Err(error) => return Value::absent("", error.to_string()),
    };
    let n = number(answers.len());
    let of = |hit: fn(&Answered) -> bool| number(answers.iter().filter(|a| hit(a)).count()) / n;
    let mut parts = vec![("scale_min", low), ("scale_max", high)];
    parts.extend(mean.deviation.map(|d| ("standard_deviation", d)));
    parts.push(("top_box", of(|a| a.value == i64::from(a.scale.1))));
    parts.push(("top_two_boxes", of(|a| a.value >= i64::from(a.scale.1) - 1)));
    parts.push(("bottom_box", of(|a| a.value == i64::from(a.scale.0))));
    parts.push((
        "bottom_two_boxes",
        of(|a| a.value <= i64::from(a.scale.0) + 1),
    ));
    Value {
        value: Some(mean.mean),
        interval: mean.interval.map(ends),
        parts,
        ..Value::default()
    }
}

/// The answers by a code of theirs.
#[must_use]
pub fn by(
    answers: &[Answered],
    code: impl Fn(&Answered) -> String,
) -> BTreeMap<String, Vec<&Answered>> {
    let mut groups: BTreeMap<String, Vec<&Answered>> = BTreeMap::new();
    for a in answers {
        groups.entry(code(a)).or_default().push(a);
    }
    groups
}

#[allow(clippy::cast_precision_loss)]
fn to_f64(n: i64) -> f64 {
    n as f64
}
