//! Log-likelihood of all rows with gradient and Hessian.
//!
//! With k = r+x, Δ = ln((α+T)/(α+tₓ)), c = b+x+s−1 and D = ln a − ln c + kΔ, a row adds
//! C(x) + r ln α − k ln(α+T) + ln(1+eᴰ). C and everything else that depends on x only is computed once per distinct x;
//! rows add a few sums.

use super::Model;
use super::table::{Chunk, Table};
use crate::fit::{Evaluation, Objective, map_chunks};
use crate::special::{digamma, ln_rising, logistic, trigamma};

pub(crate) struct Likelihood {
    pub model: Model,
    pub table: Table,
}

/// Weighted sums over rows of one x; w = eᴰ/(1+eᴰ), v = w(1−w), i = 1/(α+T), e = 1/(α+T) − 1/(α+tₓ).
#[derive(Clone, Copy, Default)]
struct Sums {
    ln_end: f64,
    i: f64,
    i2: f64,
    soft: f64,
    w: f64,
    w_delta: f64,
    w_e: f64,
    w_e2: f64,
    v: f64,
    v_delta: f64,
    v_delta2: f64,
    v_e: f64,
    v_delta_e: f64,
    v_ee: f64,
}

impl Sums {
    fn add(&mut self, o: &Self) {
        self.ln_end += o.ln_end;
        self.i += o.i;
        self.i2 += o.i2;
        self.soft += o.soft;
        self.w += o.w;
        self.w_delta += o.w_delta;
        self.w_e += o.w_e;
        self.w_e2 += o.w_e2;
        self.v += o.v;
        self.v_delta += o.v_delta;
        self.v_delta2 += o.v_delta2;
        self.v_e += o.v_e;
        self.v_delta_e += o.v_delta_e;
        self.v_ee += o.v_ee;
    }
}

impl Likelihood {
    fn sum(&self, chunk: &Chunk, [r, alpha, a, b]: [f64; 4]) -> Sums {
        let x = self.table.groups[chunk.group].x;
        let range = chunk.start..chunk.end;
        let rows = self.table.t[range.clone()]
            .iter()
            .zip(&self.table.t_x[range.clone()])
            .zip(&self.table.weight[range]);
        let mut s = Sums::default();
        let chances = x + self.model.shift();
        if chances < 1.0 {
            for ((&t, _), &weight) in rows {
                let end = alpha + t;
                let i = 1.0 / end;
                s.ln_end += weight * end.ln();
                s.i += weight * i;
                s.i2 += weight * i * i;
            }
            return s;
        }
        let k = r + x;
        let base = a.ln() - (b + (chances - 1.0)).ln();
        for ((&t, &t_x), &weight) in rows {
            let (end, last) = (alpha + t, alpha + t_x);
            let (i, j) = (1.0 / end, 1.0 / last);
            // α + T may be so near α + tₓ that the quotient would lose the difference.
            let gap = (t - t_x) * j;
            let delta = if gap < 1e-3 {
                gap.ln_1p()
            } else {
                (end * j).ln()
            };
            let (left, soft) = logistic(base + k * delta);
            let e = i - j;
            let w = weight * left;
            let v = w * (1.0 - left);
            s.ln_end += weight * end.ln();
            s.i += weight * i;
            s.i2 += weight * i * i;
            s.soft += weight * soft;
            s.w += w;
            s.w_delta += w * delta;
            s.w_e += w * e;
            s.w_e2 += w * e * (i + j);
            s.v += v;
            s.v_delta += v * delta;
            s.v_delta2 += v * delta * delta;
            s.v_e += v * e;
            s.v_delta_e += v * delta * e;
            s.v_ee += v * e * e;
        }
        s
    }
}

impl Objective<4> for Likelihood {
    fn evaluate(&self, params: &[f64; 4]) -> Evaluation<4> {
        let [r, alpha, a, b] = *params;
        let parts = map_chunks(self.table.rows(), &self.table.chunks, |chunk| {
            self.sum(chunk, *params)
        });
        let mut groups = vec![Sums::default(); self.table.groups.len()];
        for (chunk, part) in self.table.chunks.iter().zip(&parts) {
            groups[chunk.group].add(part);
        }
        let (psi_r, psi1_r) = (digamma(r), trigamma(r));
        let (psi_b, psi1_b) = (digamma(b), trigamma(b));
        let (psi_ab, psi1_ab) = (digamma(a + b), trigamma(a + b));
        let ln_alpha = alpha.ln();
        let mut value = 0.0;
        let mut g = [0.0; 4];
        let mut h = [[0.0; 4]; 4];
        for (group, s) in self.table.groups.iter().zip(&groups) {
            let (x, n) = (group.x, group.weight);
            let k = r + x;
            let chances = x + self.model.shift();
            value += n
                * (ln_rising(r, x) + r * ln_alpha + ln_rising(b, chances)
                    - ln_rising(a + b, chances))
                - k * s.ln_end
                + s.soft;
            g[0] += n * (digamma(k) - psi_r + ln_alpha) - s.ln_end + s.w_delta;
            g[1] += n * r / alpha - k * s.i + k * s.w_e;
            h[0][0] += n * (trigamma(k) - psi1_r) + s.v_delta2;
            h[0][1] += n / alpha - s.i + s.w_e + k * s.v_delta_e;
            h[1][1] += -n * r / (alpha * alpha) + k * s.i2 - k * s.w_e2 + k * k * s.v_ee;
            if chances < 1.0 {
                continue;
            }
            let c = b + (chances - 1.0);
            let (far, far1) = (
                psi_ab - digamma(a + b + chances),
                psi1_ab - trigamma(a + b + chances),
            );
            g[2] += n * far + s.w / a;
            g[3] += n * (far + digamma(b + chances) - psi_b) - s.w / c;
            h[0][2] += s.v_delta / a;
            h[0][3] -= s.v_delta / c;
            h[1][2] += k * s.v_e / a;
            h[1][3] -= k * s.v_e / c;
            h[2][2] += n * far1 + (s.v - s.w) / (a * a);
            h[2][3] += n * far1 - s.v / (a * c);
            h[3][3] += n * (far1 + trigamma(b + chances) - psi1_b) + (s.v + s.w) / (c * c);
        }
        for (i, j) in [(1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2)] {
            h[i][j] = h[j][i];
        }
        Evaluation {
            value,
            gradient: g,
            hessian: h,
        }
    }

    fn names(&self) -> [&'static str; 4] {
        ["r", "alpha", "a", "b"]
    }

    fn hint(&self, parameter: usize, up: bool) -> &'static str {
        match (parameter, up) {
            (0 | 1, true) => {
                "purchase rates do not differ between customers more than chance makes them"
            }
            (0 | 1, false) => "nearly all customers bought once only",
            (2, false) => {
                "no sign that any customer stopped buying; the history is too short to see it"
            }
            _ => "the chance to stop does not differ between customers more than chance makes it",
        }
    }
}
