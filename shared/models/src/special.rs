//! Special functions for positive arguments, and quantiles of the normal and Student's t distribution.

use statrs::distribution::{ContinuousCDF, Normal, StudentsT};

const HALF_LN_TAU: f64 = 0.918_938_533_204_672_8;
/// From here on the asymptotic series are exact to rounding.
const SHIFT: f64 = 10.0;

/// Tail of Stirling's series, ln Γ(y) − [(y − ½) ln y − y + ½ ln 2π], for y ≥ 10.
fn stirling_tail(y: f64) -> f64 {
    let i = 1.0 / y;
    let s = i * i;
    i * (1.0 / 12.0
        - s * (1.0 / 360.0
            - s * (1.0 / 1260.0
                - s * (1.0 / 1680.0 - s * (1.0 / 1188.0 - s * (691.0 / 360_360.0))))))
}

/// ln Γ(x) for x > 0 (recurrence, then Stirling's series; Abramowitz and Stegun 6.1.41).
#[must_use]
pub fn ln_gamma(x: f64) -> f64 {
    let mut y = x;
    let mut product = 1.0;
    while y < SHIFT {
        product *= y;
        y += 1.0;
    }
    (y - 0.5) * y.ln() - y + HALF_LN_TAU + stirling_tail(y)
        - if product == 1.0 { 0.0 } else { product.ln() }
}

/// ψ(x) = d ln Γ(x)/dx for x > 0 (Abramowitz and Stegun 6.3.18).
#[must_use]
pub fn digamma(x: f64) -> f64 {
    let mut y = x;
    let mut sum = 0.0;
    while y < SHIFT {
        sum -= 1.0 / y;
        y += 1.0;
    }
    let i = 1.0 / y;
    let s = i * i;
    sum + y.ln()
        - 0.5 * i
        - s * (1.0 / 12.0
            - s * (1.0 / 120.0
                - s * (1.0 / 252.0
                    - s * (1.0 / 240.0 - s * (1.0 / 132.0 - s * (691.0 / 32_760.0))))))
}

/// ψ′(x) for x > 0 (Abramowitz and Stegun 6.4.12).
#[must_use]
pub fn trigamma(x: f64) -> f64 {
    let mut y = x;
    let mut sum = 0.0;
    while y < SHIFT {
        sum += 1.0 / (y * y);
        y += 1.0;
    }
    let i = 1.0 / y;
    let s = i * i;
    sum + i
        * (1.0
            + 0.5 * i
            + s * (1.0 / 6.0
                - s * (1.0 / 30.0
                    - s * (1.0 / 42.0
                        - s * (1.0 / 30.0 - s * (5.0 / 66.0 - s * (691.0 / 2730.0)))))))
}

/// ln Γ(a + n) − ln Γ(a) for a > 0, n ≥ 0, without the cancellation of the two terms.
#[must_use]
pub fn ln_rising(a: f64, n: f64) -> f64 {
    if n <= 64.0 && n.fract() == 0.0 {
        let mut sum = 0.0;
        let mut product = 1.0;
        let mut j = 0.0;
        while j < n {
            product *= a + j;
            j += 1.0;
            if !(1e-200..=1e200).contains(&product) {
                sum += product.ln();
                product = 1.0;
            }
        }
        return if product == 1.0 {
            sum
        } else {
            sum + product.ln()
        };
    }
    if a >= SHIFT {
        return n * a.ln() + (a + n - 0.5) * (n / a).ln_1p() - n + stirling_tail(a + n)
            - stirling_tail(a);
    }
    ln_gamma(a + n) - ln_gamma(a)
}

/// Regularised incomplete beta function I_x(a, b), a, b > 0, 0 ≤ x ≤ 1 (continued fraction, modified Lentz).
#[must_use]
pub fn beta_inc(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 {
        return 0.0;
    }
    if x >= 1.0 {
        return 1.0;
    }
    let front = a * x.ln() + b * (-x).ln_1p() + ln_rising(a, b) - ln_gamma(b);
    if x < (a + 1.0) / (a + b + 2.0) {
        ((front - a.ln()).exp() * beta_fraction(x, a, b)).clamp(0.0, 1.0)
    } else {
        (1.0 - (front - b.ln()).exp() * beta_fraction(1.0 - x, b, a)).clamp(0.0, 1.0)
    }
}

fn beta_fraction(x: f64, a: f64, b: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let keep = |v: f64| if v.abs() < TINY { TINY } else { v };
    let mut c = 1.0;
    let mut d = 1.0 / keep(1.0 - (a + b) * x / (a + 1.0));
    let mut h = d;
    for m in 1..20_000_u32 {
        let m = f64::from(m);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / keep(1.0 + even * d);
        c = keep(1.0 + even / c);
        h *= d * c;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / keep(1.0 + odd * d);
        c = keep(1.0 + odd / c);
        let step = d * c;
        h *= step;
        if (step - 1.0).abs() < 1e-15 {
            break;
        }
    }
    h
}

/// Two-sided quantile of the standard normal distribution for a level in (0, 1): 1.96 at 0.95.
#[must_use]
pub fn normal_two_sided(level: f64) -> f64 {
    Normal::standard().inverse_cdf(0.5 + 0.5 * level.clamp(1e-9, 1.0 - 1e-12))
}

/// Two-sided quantile of Student's t distribution; `None` where `df` ≤ 0.
#[must_use]
pub fn student_two_sided(level: f64, df: f64) -> Option<f64> {
    if !(df > 0.0 && df.is_finite()) {
        return None;
    }
    let t = StudentsT::new(0.0, 1.0, df)
        .ok()?
        .inverse_cdf(0.5 + 0.5 * level.clamp(1e-9, 1.0 - 1e-12));
    t.is_finite().then_some(t)
}

/// Logistic function, and ln(1 + eᵈ), for d of any size (−∞ included).
pub(crate) fn logistic(d: f64) -> (f64, f64) {
    let e = (-d.abs()).exp();
    let inverse = 1.0 / (1.0 + e);
    (
        if d >= 0.0 { inverse } else { e * inverse },
        d.max(0.0) + e.ln_1p(),
    )
}
