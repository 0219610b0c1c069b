//! Customers of known truth, for tests and for trying things out.

use std::ops::RangeInclusive;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::gamma_gamma;
use crate::purchase::{Model, Params};
use crate::summary::{Spend, Stat};

/// More purchases than any real customer makes: ends the loop of an absurd rate.
const MAX_PURCHASES: f64 = 1e6;
/// Customers drawn from one random stream.
const CHUNK: usize = 4096;

/// A simulated customer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Customer {
    /// History up to T.
    pub stat: Stat,
    /// Purchases in the weeks after T.
    pub future: u64,
    /// Whether the customer was still active at T.
    pub active: bool,
}

/// Size and time frame of a simulated market.
#[derive(Debug, Clone, PartialEq)]
pub struct Market {
    /// Number of customers.
    pub customers: usize,
    /// T is uniform in this range of weeks.
    pub weeks: RangeInclusive<f64>,
    /// Weeks after T that are simulated too.
    pub future_weeks: f64,
    /// The same seed gives the same market, on any number of threads.
    pub seed: u64,
}

/// One customer observed `t` weeks and `future_weeks` more.
pub fn customer(
    model: Model,
    params: &Params,
    t: f64,
    future_weeks: f64,
    rng: &mut impl Rng,
) -> Customer {
    let rate = gamma(params.r, rng) / params.alpha;
    let (ga, gb) = (gamma(params.a, rng), gamma(params.b, rng));
    let dropout = if ga + gb > 0.0 { ga / (ga + gb) } else { 1.0 };
    let mut stays = model == Model::BgNbd || rng.random::<f64>() >= dropout;
    let mut active = stays;
    let (mut time, mut x, mut t_x, mut future) = (0.0, 0.0, 0.0, 0);
    while stays && rate > 0.0 && x < MAX_PURCHASES {
        time += exponential(rng) / rate;
        if time > t + future_weeks {
            break;
        }
        stays = rng.random::<f64>() >= dropout;
        if time <= t {
            // Two purchases at the very same instant, or one at birth, cannot be told apart.
            if time > t_x {
                x += 1.0;
                t_x = time;
            }
            active = stays;
        } else {
            future += 1;
        }
    }
    Customer {
        stat: Stat::new(x, t_x, t),
        future,
        active,
    }
}

/// `n` BG/NBD customers, T uniform in `weeks`, with `future_weeks` of purchases after T.
pub fn bgnbd(
    params: &Params,
    n: usize,
    weeks: &RangeInclusive<f64>,
    future_weeks: f64,
    rng: &mut impl Rng,
) -> Vec<Customer> {
    (0..n)
        .map(|_| drawn(Model::BgNbd, params, weeks, future_weeks, rng))
        .collect()
}

/// A whole market, drawn on all threads.
#[must_use]
pub fn market(model: Model, params: &Params, market: &Market) -> Vec<Customer> {
    (0..market.customers.div_ceil(CHUNK))
        .into_par_iter()
        .flat_map_iter(|chunk| {
            let mut rng = ChaCha8Rng::seed_from_u64(market.seed);
            rng.set_stream(chunk as u64);
            let left = market.customers - chunk * CHUNK;
            (0..left.min(CHUNK))
                .map(move |_| drawn(model, params, &market.weeks, market.future_weeks, &mut rng))
        })
        .collect()
}

fn drawn(
    model: Model,
    params: &Params,
    weeks: &RangeInclusive<f64>,
    future_weeks: f64,
    rng: &mut impl Rng,
) -> Customer {
    let t = weeks.start() + (weeks.end() - weeks.start()) * rng.random::<f64>();
    customer(model, params, t, future_weeks, rng)
}

/// Mean value of `x` purchases of one Gamma-Gamma customer.
pub fn spend(params: &gamma_gamma::Params, x: f64, rng: &mut impl Rng) -> Spend {
    if x <= 0.0 {
        return Spend::new(0.0, 0.0);
    }
    let rate = gamma(params.q, rng) / params.gamma;
    Spend::new(x, gamma(params.p * x, rng) / (rate * x))
}

fn exponential(rng: &mut impl Rng) -> f64 {
    -(1.0 - rng.random::<f64>()).ln()
}

/// Standard normal deviate (polar method).
fn normal(rng: &mut impl Rng) -> f64 {
    loop {
        let (u, v) = (
            2.0 * rng.random::<f64>() - 1.0,
            2.0 * rng.random::<f64>() - 1.0,
        );
        let s = u * u + v * v;
        if s > 0.0 && s < 1.0 {
            return u * (-2.0 * s.ln() / s).sqrt();
        }
    }
}

/// Gamma deviate of scale 1 (Marsaglia, Tsang 2000).
pub fn gamma(shape: f64, rng: &mut impl Rng) -> f64 {
    if shape < 1.0 {
        let u = 1.0 - rng.random::<f64>();
        return gamma(shape + 1.0, rng) * u.powf(1.0 / shape);
    }
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let z = normal(rng);
        let v = (1.0 + c * z).powi(3);
        if v > 0.0 && (1.0 - rng.random::<f64>()).ln() < 0.5 * z * z + d * (1.0 - v + v.ln()) {
            return d * v;
        }
    }
}
