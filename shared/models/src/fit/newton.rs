//! Newton's method in log parameters, damped where the surface is not concave.

use super::FitError;

const TOLERANCE: f64 = 1e-10;
const MAX_STEPS: u32 = 200;
/// Largest change of a log parameter in one step.
const MAX_STEP: f64 = 1.5;
/// Log parameters stay within ±LIMIT (1e-7 to 1e7).
const LIMIT: f64 = 16.118_095_650_958_32;
/// Beyond ±FAR (1e-5, 1e5) a log parameter is no estimate but a direction.
const FAR: f64 = 11.512_925_464_970_229;

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
        if !negated
            .iter()
            .flatten()
            .chain(&gradient)
            .all(|v| v.is_finite())
        {
            return Err(FitError::NotConverged {
                iterations,
                decrement,
            });
        }
        let edge = (0..N).find(|&i| logs[i].abs() >= LIMIT - 1e-9 && gradient[i] * logs[i] >= 0.0);
        if let Some(i) = edge {
            return Err(no_maximum(objective, i, &logs));
        }
        let factor = cholesky(&negated);
        let step = factor
            .as_ref()
            .map_or_else(|| uphill(&negated, &gradient), |f| solve(f, &gradient));
        decrement = dot(&gradient, &step);
        if let Some(factor) = &factor
            && decrement < TOLERANCE
        {
            if let Some(i) = (0..N).find(|&i| logs[i].abs() > FAR) {
                return Err(no_maximum(objective, i, &logs));
            }
            let covariance = std::array::from_fn(|j| {
                let unit = std::array::from_fn(|i| if i == j { 1.0 } else { 0.0 });
                let column = solve(factor, &unit);
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
            return Err(stalled(objective, &logs, iterations, decrement));
        };
        (logs, params, now) = next;
    }
    Err(stalled(objective, &logs, MAX_STEPS, decrement))
}

/// A search that stands far out is on its way to infinity or 0, too flat to go on.
fn stalled<const N: usize>(
    objective: &impl Objective<N>,
    logs: &[f64; N],
    iterations: u32,
    decrement: f64,
) -> FitError {
    match (0..N).find(|&i| logs[i].abs() > FAR) {
        Some(i) => no_maximum(objective, i, logs),
        None => FitError::NotConverged {
            iterations,
            decrement,
        },
    }
}

fn no_maximum<const N: usize>(
    objective: &impl Objective<N>,
    i: usize,
    logs: &[f64; N],
) -> FitError {
    let up = logs[i] > 0.0;
    FitError::NoMaximum {
        parameter: objective.names()[i],
        direction: if up { "infinity" } else { "0" },
        hint: objective.hint(i, up),
        reached: logs.iter().map(|v| v.exp()).collect(),
    }
}

/// Ascent direction where the surface is not concave: Newton's step with every curvature taken by its size, and
/// flat directions as slightly curved. Eigenvectors by Jacobi's rotations.
fn uphill<const N: usize>(matrix: &[[f64; N]; N], gradient: &[f64; N]) -> [f64; N] {
    let mut m = *matrix;
    let mut vectors: [[f64; N]; N] =
        std::array::from_fn(|i| std::array::from_fn(|j| if i == j { 1.0 } else { 0.0 }));
    for _ in 0..30 {
        for p in 0..N {
            for q in p + 1..N {
                rotate(&mut m, &mut vectors, p, q);
            }
        }
    }
    let largest = (0..N).fold(1e-300_f64, |most, i| most.max(m[i][i].abs()));
    let mut step = [0.0; N];
    for (i, row) in m.iter().enumerate() {
        let along: f64 = (0..N).map(|k| vectors[k][i] * gradient[k]).sum();
        let size = along / row[i].abs().max(1e-12 * largest);
        for (k, part) in step.iter_mut().enumerate() {
            *part += size * vectors[k][i];
        }
    }
    step
}

/// One Jacobi rotation that clears m[p][q].
fn rotate<const N: usize>(m: &mut [[f64; N]; N], vectors: &mut [[f64; N]; N], p: usize, q: usize) {
    if m[p][q] == 0.0 {
        return;
    }
    let theta = (m[q][q] - m[p][p]) / (2.0 * m[p][q]);
    let tan = theta.signum() / (theta.abs() + theta.hypot(1.0));
    let cos = 1.0 / tan.hypot(1.0);
    let sin = tan * cos;
    for row in m.iter_mut() {
        (row[p], row[q]) = (cos * row[p] - sin * row[q], sin * row[p] + cos * row[q]);
    }
    let (upper, lower) = m.split_at_mut(q);
    for (above, below) in upper[p].iter_mut().zip(&mut lower[0]) {
        (*above, *below) = (cos * *above - sin * *below, sin * *above + cos * *below);
    }
    for row in vectors.iter_mut() {
        (row[p], row[q]) = (cos * row[p] - sin * row[q], sin * row[p] + cos * row[q]);
    }
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
