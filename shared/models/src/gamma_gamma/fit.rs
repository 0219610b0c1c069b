//! Maximum likelihood for Gamma-Gamma, each customer once.

use rayon::prelude::*;

use super::Params;
use crate::fit::{
    CHUNK, Correlation, Evaluation, Fit, FitError, Grade, NO_HOLDOUT, Objective, Parameters,
    best_of, check_rows, map_chunks,
};
use crate::measure;
use crate::special::{digamma, ln_gamma, ln_rising, trigamma};
use crate::summary::Spend;

/// Fewest customers with a repeat purchase of positive value.
pub const MIN_CUSTOMERS: f64 = 10.0;
const MIN_ROWS: f64 = 4.0;
const SKETCH_ROWS: usize = 4096;
/// Rank correlation of count and value above which the model's independence does not hold.
const MAX_SPEARMAN: f64 = 0.3;

/// Maximum likelihood estimates from customers with x > 0 and m > 0; others are left out.
///
/// # Errors
/// An unusable row, too little data, or no maximum at finite, positive parameters.
pub fn fit(rows: &[Spend]) -> Result<Fit<Params>, FitError> {
    check_rows(rows, Spend::validate)?;
    let table = Table::new(rows);
    let n: f64 = table.groups.iter().map(|g| g.weight).sum();
    let distinct = table.m.len();
    for (what, found, needed) in [
        (
            "customers with a repeat purchase of positive value",
            n,
            MIN_CUSTOMERS,
        ),
        ("different purchase values", distinct as f64, MIN_ROWS),
    ] {
        if found < needed {
            return Err(FitError::TooLittle {
                what,
                found,
                needed,
            });
        }
    }
    // In units of about the mean value: the scale of the currency must not matter.
    let starts =
        [(6.0, 4.0), (2.0, 3.0), (1.0, 2.0), (20.0, 6.0)].map(|(p, q)| [p, q, (q - 1.0) / p]);
    let correlation = table.correlation();
    let sketch = table.thinned();
    let unit = table.unit;
    let mut best =
        best_of(sketch.as_ref(), &table, &starts).map_err(|error| in_currency(error, unit))?;
    best.params[2] *= unit;
    best.value -= n * unit.ln();
    for i in 0..3 {
        best.covariance[i][2] *= unit;
        best.covariance[2][i] *= unit;
    }

    let errors: Vec<f64> = (0..3)
        .map(|i| best.covariance[i][i].max(0.0).sqrt())
        .collect();
    let mut reasons = vec![NO_HOLDOUT.to_owned()];
    let spearman = correlation.spearman;
    let cap = (spearman > MAX_SPEARMAN).then_some(Grade::C);
    if cap.is_some() {
        reasons.push(format!(
            "customers who buy more often spend more per purchase (Spearman {spearman:.2}, above .3): grade C at best"
        ));
    }
    if n < 100.0 {
        reasons.push(format!(
            "only {n} customers bought again: estimates are rough below about 100"
        ));
    }
    if best.params[1] <= 1.0 {
        reasons.push("q is at most 1: there is no population mean, so one-time buyers have no expected value".to_owned());
    }
    Ok(Fit {
        params: Params::from_values(&best.params),
        standard_errors: Params::from_values(&errors),
        covariance: best.covariance.iter().map(|row| row.to_vec()).collect(),
        log_likelihood: best.value,
        n,
        rows: distinct,
        iterations: best.iterations,
        decrement: best.decrement,
        grade: Grade::E,
        cap,
        reasons,
        correlation: Some(correlation),
    })
}

fn in_currency(mut error: FitError, unit: f64) -> FitError {
    if let FitError::NoMaximum { reached, .. } = &mut error
        && let Some(gamma) = reached.get_mut(2)
    {
        *gamma *= unit;
    }
    error
}

struct Group {
    x: f64,
    weight: f64,
    /// Σ weight · ln m.
    ln_m: f64,
}

/// Distinct rows sorted by x, m, in chunks of one x.
struct Table {
    /// What `m` is measured in: a power of two near the mean value, so that dividing is exact.
    unit: f64,
    m: Vec<f64>,
    weight: Vec<f64>,
    groups: Vec<Group>,
    /// (group, start, end)
    chunks: Vec<(usize, usize, usize)>,
}

impl Table {
    fn new(rows: &[Spend]) -> Self {
        let mut sorted: Vec<[u64; 3]> = rows
            .iter()
            .filter(|s| s.x > 0.0 && s.m > 0.0)
            .map(|s| [s.x, s.m, s.weight].map(f64::to_bits))
            .collect();
        if sorted.len() > CHUNK {
            sorted.par_sort_unstable();
        } else {
            sorted.sort_unstable();
        }
        let mut joined: Vec<[f64; 3]> = Vec::with_capacity(sorted.len());
        for [x, m, weight] in sorted.into_iter().map(|row| row.map(f64::from_bits)) {
            match joined.last_mut() {
                Some(last) if last[0] == x && last[1] == m => last[2] += weight,
                _ => joined.push([x, m, weight]),
            }
        }
        let n: f64 = joined.iter().map(|row| row[2]).sum();
        let mean = joined.iter().map(|row| row[1] * row[2]).sum::<f64>() / n;
        let unit = if mean > 0.0 {
            mean.log2().round().exp2()
        } else {
            1.0
        };
        for row in &mut joined {
            row[1] /= unit;
        }
        Self::from_joined(&joined, unit)
    }

    fn from_joined(joined: &[[f64; 3]], unit: f64) -> Self {
        let mut groups: Vec<Group> = Vec::new();
        let mut chunks: Vec<(usize, usize, usize)> = Vec::new();
        for (i, [x, m, weight]) in joined.iter().copied().enumerate() {
            let known = groups.last().is_some_and(|g| g.x == x);
            if !known {
                groups.push(Group {
                    x,
                    weight: 0.0,
                    ln_m: 0.0,
                });
            }
            let group = groups.len() - 1;
            groups[group].weight += weight;
            groups[group].ln_m += weight * m.ln();
            match chunks.last_mut() {
                Some(chunk) if known && chunk.2 - chunk.1 < CHUNK => chunk.2 = i + 1,
                _ => chunks.push((group, i, i + 1)),
            }
        }
        Self {
            unit,
            m: joined.iter().map(|row| row[1]).collect(),
            weight: joined.iter().map(|row| row[2]).collect(),
            groups,
            chunks,
        }
    }

    fn xs(&self) -> Vec<f64> {
        self.chunks
            .iter()
            .flat_map(|&(group, start, end)| vec![self.groups[group].x; end - start])
            .collect()
    }

    fn thinned(&self) -> Option<Self> {
        let every = self.m.len() / SKETCH_ROWS;
        if every < 4 {
            return None;
        }
        let xs = self.xs();
        let rows: Vec<[f64; 3]> = (every / 2..self.m.len())
            .step_by(every)
            .map(|i| [xs[i], self.m[i], self.weight[i]])
            .collect();
        Some(Self::from_joined(&rows, self.unit))
    }

    fn correlation(&self) -> Correlation {
        let xs = self.xs();
        Correlation {
            pearson: measure::weighted_pearson(&xs, &self.m, &self.weight).unwrap_or(0.0),
            spearman: measure::weighted_spearman(&xs, &self.m, &self.weight).unwrap_or(0.0),
        }
    }
}

impl Objective<3> for Table {
    fn evaluate(&self, &[p, q, gamma]: &[f64; 3]) -> Evaluation<3> {
        // Sums of ln(γ+mx), 1/(γ+mx) and its square.
        let parts = map_chunks(self.m.len(), &self.chunks, |&(group, start, end)| {
            let x = self.groups[group].x;
            let mut sums = [0.0; 3];
            for (m, weight) in self.m[start..end].iter().zip(&self.weight[start..end]) {
                let total = gamma + m * x;
                let inverse = 1.0 / total;
                sums[0] += weight * total.ln();
                sums[1] += weight * inverse;
                sums[2] += weight * inverse * inverse;
            }
            sums
        });
        let mut groups = vec![[0.0; 3]; self.groups.len()];
        for (chunk, part) in self.chunks.iter().zip(&parts) {
            for (sum, add) in groups[chunk.0].iter_mut().zip(part) {
                *sum += add;
            }
        }
        let (psi_q, psi1_q, ln_gamma_scale) = (digamma(q), trigamma(q), gamma.ln());
        let mut value = 0.0;
        let mut g = [0.0; 3];
        let mut h = [[0.0; 3]; 3];
        for (group, [ln_total, inverse, inverse2]) in self.groups.iter().zip(&groups) {
            let Group { x, weight: n, ln_m } = *group;
            let px = p * x;
            let (psi_all, psi1_all) = (digamma(px + q), trigamma(px + q));
            value += n * (ln_rising(q, px) - ln_gamma(px) + q * ln_gamma_scale + px * x.ln())
                + (px - 1.0) * ln_m
                - (px + q) * ln_total;
            g[0] += x * (n * (psi_all - digamma(px) + x.ln()) + ln_m - ln_total);
            g[1] += n * (psi_all - psi_q + ln_gamma_scale) - ln_total;
            g[2] += n * q / gamma - (px + q) * inverse;
            h[0][0] += n * x * x * (psi1_all - trigamma(px));
            h[0][1] += n * x * psi1_all;
            h[0][2] -= x * inverse;
            h[1][1] += n * (psi1_all - psi1_q);
            h[1][2] += n / gamma - inverse;
            h[2][2] += (px + q) * inverse2 - n * q / (gamma * gamma);
        }
        h[1][0] = h[0][1];
        h[2][0] = h[0][2];
        h[2][1] = h[1][2];
        Evaluation {
            value,
            gradient: g,
            hessian: h,
        }
    }

    fn names(&self) -> [&'static str; 3] {
        ["p", "q", "gamma"]
    }

    fn hint(&self, parameter: usize, up: bool) -> &'static str {
        match (parameter, up) {
            (0, true) => "the values of one customer do not vary",
            (1 | 2, true) => {
                "customers do not differ in what they spend more than chance makes them"
            }
            _ => "the values are spread too widely for this model",
        }
    }
}
