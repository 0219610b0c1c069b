//! Pairs of runs, their median ratio, and how sure it is.

/// One run: how fast it was and what it cost.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    /// The figure, such as requests a second.
    pub figure: f64,
    /// CPU seconds of the server for one operation.
    pub cpu: f64,
}

/// Runs of subject and baseline, each pair taken one right after the other.
#[derive(Debug, Default)]
pub struct Pairs {
    pub subject: Vec<Run>,
    pub baseline: Vec<Run>,
}

/// Takes `count` pairs in the order A B B A A B B A…, so that a drift of the machine falls on both.
///
/// # Errors
/// The first error of a run.
pub fn abba(
    count: usize,
    mut subject: impl FnMut(usize) -> anyhow::Result<Run>,
    mut baseline: impl FnMut(usize) -> anyhow::Result<Run>,
) -> anyhow::Result<Pairs> {
    let mut pairs = Pairs::default();
    for pair in 0..count {
        if pair % 2 == 0 {
            pairs.subject.push(subject(pair)?);
            pairs.baseline.push(baseline(pair)?);
        } else {
            pairs.baseline.push(baseline(pair)?);
            pairs.subject.push(subject(pair)?);
        }
    }
    Ok(pairs)
}

impl Pairs {
    /// Subject over baseline, pair by pair.
    pub fn ratios(&self) -> Vec<f64> {
        self.subject
            .iter()
            .zip(&self.baseline)
            .map(|(a, b)| a.figure / b.figure)
            .collect()
    }
}

/// The middle value; NaN is never given because empty lists are not.
pub fn median(values: &[f64]) -> f64 {
    let sorted = sorted(values);
    let n = sorted.len();
    match n {
        0 => 0.0,
        _ if n % 2 == 1 => sorted[n / 2],
        _ => f64::midpoint(sorted[n / 2 - 1], sorted[n / 2]),
    }
}

/// Order statistics that hold the true median with at least 95% probability, and that probability.
/// Fewer than six values cannot promise so much: then the smallest and the largest.
pub fn interval(values: &[f64]) -> ([f64; 2], f64) {
    let sorted = sorted(values);
    let n = sorted.len();
    if n == 0 {
        return ([0.0; 2], 0.0);
    }
    // Tail P(Bin(n, 1/2) <= k) for the k values dropped at each end.
    let mut term = 0.5_f64.powi(i32::try_from(n).unwrap_or(i32::MAX));
    let mut tail = term;
    let (mut drop, mut outside) = (0, 2.0 * tail);
    for k in 1..n / 2 {
        term *= (n - k + 1) as f64 / k as f64;
        tail += term;
        if 2.0 * tail > 0.05 {
            break;
        }
        (drop, outside) = (k, 2.0 * tail);
    }
    (
        [sorted[drop], sorted[n - 1 - drop]],
        (1.0 - outside).max(0.0),
    )
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

#[cfg(test)]
mod tests {
    use super::{interval, median};

    #[test]
    fn ten_pairs_drop_one_at_each_end() {
        let values: Vec<f64> = (1..=10).map(f64::from).collect();
        let (interval, coverage) = interval(&values);
        assert_eq!(interval, [2.0, 9.0]);
        // 1 - 2 (1 + 10) / 1024
        assert!((coverage - 0.978_515_625).abs() < 1e-12);
        assert_eq!(median(&values), 5.5);
    }

    #[test]
    fn few_pairs_promise_less() {
        let (all, coverage) = interval(&[3.0, 1.0, 2.0]);
        assert_eq!(all, [1.0, 3.0]);
        assert!((coverage - 0.75).abs() < 1e-12);
        assert_eq!(interval(&[5.0]), ([5.0, 5.0], 0.0));
    }
}
