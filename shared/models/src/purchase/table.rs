//! Rows sorted, equal ones joined, and cut into chunks of one x each.

use rayon::prelude::*;

use crate::fit::CHUNK;
use crate::summary::Stat;

/// Distinct rows in columns, sorted by x, T, tₓ.
pub(crate) struct Table {
    pub t: Vec<f64>,
    pub t_x: Vec<f64>,
    pub weight: Vec<f64>,
    pub groups: Vec<Group>,
    pub chunks: Vec<Chunk>,
}

/// Rows of one x.
pub(crate) struct Group {
    pub x: f64,
    pub weight: f64,
}

/// At most [`CHUNK`] rows of one group.
pub(crate) struct Chunk {
    pub group: usize,
    pub start: usize,
    pub end: usize,
}

impl Table {
    /// The order of the rows does not matter, not even for the last bit: equal rows are added in order of weight.
    pub(crate) fn new(rows: &[Stat]) -> Self {
        // The bits of positive numbers sort as the numbers do.
        let key = |s: &Stat| [s.x, s.t, s.t_x, s.weight].map(|v| (v + 0.0).to_bits());
        let mut sorted: Vec<[u64; 4]> = if rows.len() > CHUNK {
            let mut keys: Vec<_> = rows.par_iter().map(key).collect();
            keys.par_sort_unstable();
            keys
        } else {
            let mut keys: Vec<_> = rows.iter().map(key).collect();
            keys.sort_unstable();
            keys
        };
        let mut kept = 0;
        for i in 1..sorted.len() {
            if sorted[i][..3] == sorted[kept][..3] {
                let sum = f64::from_bits(sorted[kept][3]) + f64::from_bits(sorted[i][3]);
                sorted[kept][3] = sum.to_bits();
            } else {
                kept += 1;
                sorted[kept] = sorted[i];
            }
        }
        sorted.truncate(if rows.is_empty() { 0 } else { kept + 1 });
        Self::from_sorted(&sorted)
    }

    fn from_sorted(sorted: &[[u64; 4]]) -> Self {
        let column = |c: usize| {
            sorted
                .iter()
                .map(|row| f64::from_bits(row[c]))
                .collect::<Vec<f64>>()
        };
        let (t, t_x, weight) = (column(1), column(2), column(3));
        let mut groups = Vec::new();
        let mut chunks = Vec::new();
        let mut start = 0;
        while start < sorted.len() {
            let x = sorted[start][0];
            let end = start + sorted[start..].partition_point(|row| row[0] == x);
            for from in (start..end).step_by(CHUNK) {
                chunks.push(Chunk {
                    group: groups.len(),
                    start: from,
                    end: (from + CHUNK).min(end),
                });
            }
            groups.push(Group {
                x: f64::from_bits(x),
                weight: weight[start..end].iter().sum(),
            });
            start = end;
        }
        Self {
            t,
            t_x,
            weight,
            groups,
            chunks,
        }
    }

    pub(crate) fn rows(&self) -> usize {
        self.t.len()
    }

    /// Every n-th row, so that about `most` remain: enough to find a good start.
    pub(crate) fn thinned(&self, most: usize) -> Option<Self> {
        let every = self.rows() / most;
        if every < 4 {
            return None;
        }
        let xs = self
            .chunks
            .iter()
            .flat_map(|c| (c.start..c.end).map(|i| (i, self.groups[c.group].x)));
        let rows: Vec<[u64; 4]> = xs
            .skip(every / 2)
            .step_by(every)
            .map(|(i, x)| [x, self.t[i], self.t_x[i], self.weight[i]].map(f64::to_bits))
            .collect();
        Some(Self::from_sorted(&rows))
    }
}
