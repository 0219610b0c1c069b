//! Metrics of answers. The formulas are those of "Attitude" in the mathematics document.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use regard_models::attitude::{self, Answer, rescale};
use regard_models::special::student_two_sided;
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
        value.n = count(people.len());
        value.people = count(people.len());
        value.parts.push(("answers", number(counted.len())));
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

/// How many independent answers these are worth: answers to several questions by one person are not independent. The number of
/// answers over the design effect of the clusters (Kish 1965), at most the number of answers; equal to it where each person
/// answered once.
fn effective(answers: &[&Answered], value: impl Fn(&Answered) -> f64) -> f64 {
    let mut people: HashMap<Uuid, (f64, f64)> = HashMap::with_capacity(answers.len());
    let (mut n, mut sum) = (0.0, 0.0);
    for a in answers {
        let v = value(a);
        let person = people.entry(a.customer).or_default();
        *person = (person.0 + v, person.1 + 1.0);
        n += 1.0;
        sum += v;
    }
    let k = number(people.len());
    if people.len() == answers.len() || people.len() < 2 {
        return k;
    }
    let mean = sum / n;
    let between: f64 = people
        .values()
        .map(|(total, count)| (total - mean * count).powi(2))
        .sum();
    let within: f64 = answers.iter().map(|a| (value(a) - mean).powi(2)).sum();
    if within <= 0.0 || between <= 0.0 {
        return k;
    }
    let effect = (between * k / (k - 1.0)) / (within * n / (n - 1.0));
    (n / effect).min(n)
}

fn nps(answers: &[&Answered]) -> Value {
    let n = number(answers.len());
    let of = |hit: fn(&Answered) -> bool| number(answers.iter().filter(|a| hit(a)).count()) / n;
    let (above, below) = (of(|a| a.value >= 9), of(|a| a.value <= 6));
    let worth = effective(answers, |a| {
        f64::from(u8::from(a.value >= 9)) - f64::from(u8::from(a.value <= 6))
    });
    match attitude::balance(above, below, worth, LEVEL) {
        Ok(balance) => Value {
            value: Some(balance.points),
            interval: Some(ends(balance.interval)),
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
                ("standard_error", balance.standard_error),
            ],
            ..Value::default()
        },
        Err(error) => Value::absent("", error.to_string()),
    }
}

fn csat(answers: &[&Answered]) -> Value {
    let mut out = share(answers, "satisfied", |a| {
        a.value >= i64::from(a.scale.1) - 1
    });
    mean_part(&mut out, answers);
    out
}

fn ces(answers: &[&Answered]) -> Value {
    let mut out = share(answers, "easy", |a| a.value >= 5);
    mean_part(&mut out, answers);
    out
}

fn share(answers: &[&Answered], name: &'static str, hit: fn(&Answered) -> bool) -> Value {
    let hits = answers.iter().filter(|a| hit(a)).count();
    let share = number(hits) / number(answers.len());
    let worth = effective(answers, |a| f64::from(u8::from(hit(a))));
    Value {
        value: Some(share),
        interval: Some(ends(attitude::wilson(share, worth, LEVEL))),
        parts: vec![(name, number(hits))],
        ..Value::default()
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
    // Answers of one scale, or rescaled alike: the clusters are the same either way.
    let worth = effective(answers, |a| {
        rescale(to_f64(a.value), f64::from(a.scale.0), f64::from(a.scale.1)).unwrap_or(0.0)
    });
    let people = answers.iter().map(|a| a.customer).collect::<HashSet<_>>();
    let half = mean.deviation.and_then(|deviation| {
        let t = student_two_sided(LEVEL, number(people.len()) - 1.0)?;
        Some(t * deviation / worth.sqrt())
    });
    let interval = half.map(|half| ((mean.mean - half).max(low), (mean.mean + half).min(high)));
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
        interval,
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
