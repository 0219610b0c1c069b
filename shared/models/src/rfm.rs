//! Recency, frequency and monetary value in five bins each.

use crate::measure::quantile_sorted;

/// The four inner edges of five bins: type-7 quantiles at .2, .4, .6, .8.
pub type Edges = [f64; 4];

/// One buyer as of a day.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Buyer {
    /// Days since the last purchase day.
    pub days_since: f64,
    /// Purchase days, the first included.
    pub purchase_days: f64,
    /// Net total.
    pub net_total: f64,
}

/// Bins 1 (worst) to 5 (best).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bins {
    /// Recency, by −days since.
    pub r: u8,
    /// Frequency.
    pub f: u8,
    /// Monetary value.
    pub m: u8,
}

/// Edges of a population of buyers; recency edges are of −days since.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rfm {
    /// Edges of −days since.
    pub r: Edges,
    /// Edges of purchase days.
    pub f: Edges,
    /// Edges of net totals.
    pub m: Edges,
}

impl Rfm {
    /// From all buyers as of a day; `None` for no buyers or a value that is not finite.
    #[must_use]
    pub fn new(buyers: &[Buyer]) -> Option<Self> {
        let of = |value: fn(&Buyer) -> f64| edges(&buyers.iter().map(value).collect::<Vec<_>>());
        Some(Self {
            r: of(|b| -b.days_since)?,
            f: of(|b| b.purchase_days)?,
            m: of(|b| b.net_total)?,
        })
    }

    /// Bins of one buyer.
    #[must_use]
    pub fn bins(&self, buyer: &Buyer) -> Bins {
        Bins {
            r: bin(-buyer.days_since, &self.r),
            f: bin(buyer.purchase_days, &self.f),
            m: bin(buyer.net_total, &self.m),
        }
    }
}

/// Type-7 quintile edges; `None` for no values or one that is not finite.
#[must_use]
pub fn edges(values: &[f64]) -> Option<Edges> {
    if values.iter().any(|v| !v.is_finite()) {
        return None;
    }
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let mut out = [0.0; 4];
    for (edge, p) in out.iter_mut().zip([0.2, 0.4, 0.6, 0.8]) {
        *edge = quantile_sorted(&sorted, p)?;
    }
    Some(out)
}

/// 1 + the number of edges below the value: ties fall together, bins may be empty.
#[must_use]
pub fn bin(value: f64, edges: &Edges) -> u8 {
    edges
        .iter()
        .fold(1, |bin, edge| bin + u8::from(value > *edge))
}
