//! A row of the load table, for people and for programs.

use serde::Serialize;

use crate::stats::{self, Pairs};

/// What a goal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sense {
    AtLeast,
    AtMost,
}

/// A row of the load table.
#[derive(Debug, Serialize)]
pub struct Row {
    pub id: String,
    /// The median figure of the subject.
    pub value: f64,
    /// The median figure of the baseline.
    pub baseline: Option<f64>,
    /// The median of the pairs' ratios.
    pub ratio: Option<f64>,
    /// Holds the true median (of the ratio; of the value where there is no baseline) with 95% probability.
    pub interval: [f64; 2],
    pub goal: f64,
    pub met: bool,
    pub unit: &'static str,
    pub pairs: usize,
    /// Microseconds of server CPU an operation; absent where not measured.
    pub cpu_us: Option<f64>,
    pub baseline_cpu_us: Option<f64>,
    pub note: String,
    #[serde(skip)]
    pub coverage: f64,
    #[serde(skip)]
    pub sense: Sense,
}

impl Row {
    /// A row of ratios, larger is better.
    pub fn of(id: &str, unit: &'static str, goal: f64, pairs: &Pairs, note: String) -> Self {
        let ratios = pairs.ratios();
        let ratio = stats::median(&ratios);
        let (interval, coverage) = stats::interval(&ratios);
        let figures =
            |runs: &[stats::Run]| stats::median(&runs.iter().map(|r| r.figure).collect::<Vec<_>>());
        let cpu = |runs: &[stats::Run]| {
            let cpu = stats::median(&runs.iter().map(|r| r.cpu).collect::<Vec<_>>());
            (cpu > 0.0).then_some(cpu * 1e6)
        };
        Self {
            id: id.to_owned(),
            value: figures(&pairs.subject),
            baseline: Some(figures(&pairs.baseline)),
            ratio: Some(ratio),
            interval,
            goal,
            met: ratio >= goal,
            unit,
            pairs: ratios.len(),
            cpu_us: cpu(&pairs.subject),
            baseline_cpu_us: cpu(&pairs.baseline),
            note,
            coverage,
            sense: Sense::AtLeast,
        }
    }

    /// A row of ratios of costs, smaller is better.
    pub fn cost(id: &str, unit: &'static str, goal: f64, pairs: &Pairs, note: String) -> Self {
        let row = Self::of(id, unit, goal, pairs, note);
        Self {
            met: row.ratio.is_some_and(|ratio| ratio <= goal),
            sense: Sense::AtMost,
            ..row
        }
    }

    /// A row of plain figures, smaller is better.
    pub fn small(id: &str, unit: &'static str, goal: f64, values: &[f64], note: String) -> Self {
        let value = stats::median(values);
        let (interval, coverage) = stats::interval(values);
        Self {
            id: id.to_owned(),
            value,
            baseline: None,
            ratio: None,
            interval,
            goal,
            met: value <= goal,
            unit,
            pairs: values.len(),
            cpu_us: None,
            baseline_cpu_us: None,
            note,
            coverage,
            sense: Sense::AtMost,
        }
    }

    /// One line for people.
    pub fn line(&self) -> String {
        let mut line = format!("{:<10} {} {}", self.id, short(self.value), self.unit);
        if let Some(baseline) = self.baseline {
            line += &format!(" (baseline {})", short(baseline));
        }
        let [low, high] = self.interval;
        match self.ratio {
            Some(ratio) => line += &format!("  ratio {ratio:.3} [{low:.3}, {high:.3}]"),
            None => line += &format!(" [{}, {}]", short(low), short(high)),
        }
        if self.coverage < 0.95 {
            line += &format!(" (only {:.0}% sure)", self.coverage * 100.0);
        }
        line += &format!(" of {}", self.pairs);
        if let Some(cpu) = self.cpu_us {
            line += &format!("  CPU/op {cpu:.1} µs");
            if let Some(base) = self.baseline_cpu_us {
                line += &format!(" (baseline {base:.1})");
            }
        }
        let sign = if self.sense == Sense::AtLeast {
            "≥"
        } else {
            "≤"
        };
        line += &format!(
            "  goal {sign} {}  met {}",
            self.goal,
            if self.met { "yes" } else { "no" }
        );
        if !self.note.is_empty() {
            line += &format!("\n           {}", self.note);
        }
        line
    }
}

fn short(value: f64) -> String {
    match value.abs() {
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}
