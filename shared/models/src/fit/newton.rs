//! Newton's method in log parameters, damped where the surface is not concave.

use super::FitError;

const TOLERANCE: f64 = 1e-10;
const MAX_STEPS: u32 = 200;
/// Largest change of a log parameter in one step.
const MAX_STEP: f64 = 1.5;
/// Log parameters stay within ±LIMIT (1e-7 to 1e7).
const LIMIT: f64 = 16.118_095_650_958_32;

/// Value, gradient and Hessian of a log-likelihood in its natural parameters.
pub(crate) struct Evaluation<const N: usize> {
    pub value: f64,
    pub gradient: [f64; N],
    pub hessian: [[f64; N]; N],
}

/// A log-likelihood of N positive parameters.
pub(crate) trait Objective<const N: usize> {
    fn evaluate(&self, params: &[f64; N]) -> Evaluation<N>;
    fn names(&self) -> [&'static str; N];
    /// What it means when a parameter runs to 0 (`false`) or infinity (`true`).
    fn hint(&self, parameter: usize, up: bool) -> &'static str;
}

/// A maximum.
pub(crate) struct Maximum<const N: usize> {
    pub params: [f64; N],
    pub covariance: [[f64; N]; N],
    pub value: f64,
    pub iterations: u32,
    pub decrement: f64,
}

/// The best maximum reached from several starts on `sketch` (a thinned copy of large data), refined on `full`.
pub(crate) fn best_of<const N: usize, S: Objective<N>, F: Objective<N>>(
    sketch: Option<&S>,
    full: &F,
    starts: &[[f64; N]],
) -> Result<Maximum<N>, FitError> {
    if let Some(sketch) = sketch
        && let Ok(best) = search(sketch, starts)
        && let Ok(found) = ascend(full, &best.params)
    {
        return Ok(found);
    }
    search(full, starts)
}

fn search<const N: usize>(
    objective: &impl Objective<N>,
    starts: &[[f64; N]],
) -> Result<Maximum<N>, FitError> {
    let mut best: Option<Maximum<N>> = None;
    let mut failure = FitError::NotConverged {
        iterations: 0,
        decrement: 0.0,
    };
    for start in starts {
        match ascend(objective, start) {
            Ok(found) => {
                if best.as_ref().is_none_or(|b| found.value > b.value) {
                    best = Some(found);
                }
            }
            Err(e) => failure = e,
        }
    }
    best.ok_or(failure)
}

/// Gradient and negated Hessian in log parameters.
fn in_logs<const N: usize>(e: &Evaluation<N>, params: &[f64; N]) -> ([f64; N], [[f64; N]; N]) {
    let gradient = std::array::from_fn(|i| params[i] * e.gradient[i]);
    let negated = std::array::from_fn(|i| {
        std::array::from_fn(|j| {
            let own = if i == j {
                params[i] * e.gradient[i]
            } else {
                0.0
            };
            -(params[i] * params[j] * e.hessian[i][j] + own)
        })
    });
    (gradient, negated)
}

fn ascend<const N: usize>(
    objective: &impl Objective<N>,
    start: &[f64; N],
) -> Result<Maximum<N>, FitError> {
    let mut logs: [f64; N] = start.map(|v| v.ln().clamp(-LIMIT, LIMIT));
    let mut params = logs.map(f64::exp);
    let mut now = objective.evaluate(&params);
    let mut decrement = f64::MAX;
    for iterations in 0..MAX_STEPS {
        let (gradient, negated) = in_logs(&now, &params);
        let Some((factor, damped)) = damped_factor(&negated) else {
            return Err(FitError::NotConverged {
                iterations,
                decrement,
            });
        };
        let step = solve(&factor, &gradient);
        decrement = dot(&gradient, &step);
        let pinned =
            (0..N).find(|&i| logs[i].abs() >= LIMIT - 1e-9 && gradient[i] * logs[i] >= 0.0);
        if let Some(i) = pinned {
            return Err(no_maximum(objective, i, logs[i] > 0.0, &params));
        }
        if !damped && decrement < TOLERANCE {
            let covariance = std::array::from_fn(|j| {
                let unit = std::array::from_fn(|i| if i == j { 1.0 } else { 0.0 });
                let column = solve(&factor, &unit);
                std::array::from_fn(|i| params[i] * params[j] * column[i])
            });
            return Ok(Maximum {
                params,
                covariance,
                value: now.value,
                iterations,
                decrement,
            });
        }
        let longest = step.iter().fold(0.0_f64, |m, s| m.max(s.abs()));
        let mut scale = if longest > MAX_STEP {
            MAX_STEP / longest
        } else {
            1.0
        };
        // Rounding of a sum over all rows: a smaller loss is no loss.
        let slack = 1e-13 * now.value.abs();
        let mut moved = None;
        for _ in 0..40 {
            let next_logs: [f64; N] =
                std::array::from_fn(|i| (logs[i] + scale * step[i]).clamp(-LIMIT, LIMIT));
            let next_params = next_logs.map(f64::exp);
            let next = objective.evaluate(&next_params);
            if next.value.is_finite() && next.value >= now.value - slack {
                moved = Some((next_logs, next_params, next));
                break;
            }
            scale *= 0.5;
        }
        let Some(next) = moved else {
            return Err(FitError::NotConverged {
                iterations,
                decrement,
            });
        };
        (logs, params, now) = next;
    }
    Err(FitError::NotConverged {
        iterations: MAX_STEPS,
        decrement,
    })
}

fn no_maximum<const N: usize>(
    objective: &impl Objective<N>,
    i: usize,
    up: bool,
    params: &[f64; N],
) -> FitError {
    FitError::NoMaximum {
        parameter: objective.names()[i],
        direction: if up { "infinity" } else { "0" },
        hint: objective.hint(i, up),
        reached: params.to_vec(),
    }
}

/// Cholesky factor of the matrix, with as much of its diagonal added as makes it positive definite.
fn damped_factor<const N: usize>(matrix: &[[f64; N]; N]) -> Option<([[f64; N]; N], bool)> {
    if let Some(factor) = cholesky(matrix) {
        return Some((factor, false));
    }
    let scale = (0..N).fold(1e-12_f64, |m, i| m.max(matrix[i][i].abs()));
    let mut ridge = 1e-4 * scale;
    for _ in 0..40 {
        let mut raised = *matrix;
        for (i, row) in raised.iter_mut().enumerate() {
            row[i] += ridge;
        }
        if let Some(factor) = cholesky(&raised) {
            return Some((factor, true));
        }
        ridge *= 4.0;
    }
    None
}

fn cholesky<const N: usize>(matrix: &[[f64; N]; N]) -> Option<[[f64; N]; N]> {
    let mut l = [[0.0; N]; N];
    for i in 0..N {
        for j in 0..=i {
            let sum: f64 = (0..j).map(|k| l[i][k] * l[j][k]).sum();
            let rest = matrix[i][j] - sum;
            if i == j {
                // A pivot lost to rounding is a flat direction, not a curvature.
                if !(rest > 1e-13 * matrix[i][i].abs() && rest.is_finite() && rest > 1e-300) {
                    return None;
                }
                l[i][i] = rest.sqrt();
            } else {
                l[i][j] = rest / l[j][j];
            }
        }
    }
    Some(l)
}

fn solve<const N: usize>(l: &[[f64; N]; N], right: &[f64; N]) -> [f64; N] {
    let mut y = *right;
    for i in 0..N {
        let sum: f64 = (0..i).map(|k| l[i][k] * y[k]).sum();
        y[i] = (y[i] - sum) / l[i][i];
    }
    for i in (0..N).rev() {
        let sum: f64 = (i + 1..N).map(|k| l[k][i] * y[k]).sum();
        y[i] = (y[i] - sum) / l[i][i];
    }
    y
}

fn dot<const N: usize>(a: &[f64; N], b: &[f64; N]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}
