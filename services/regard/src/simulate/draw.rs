//! Random deviates of one customer: a stream of the seed for each, so that customers do not depend on each other's order.

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use regard_models::simulate::gamma;

/// The stream of one customer.
pub(super) struct Draw(ChaCha8Rng);

impl Draw {
    pub(super) fn new(seed: u64, customer: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(customer);
        Self(rng)
    }

    /// In 0..1, 1 excluded.
    pub(super) fn unit(&mut self) -> f64 {
        self.0.random()
    }

    /// Mean 1.
    pub(super) fn exponential(&mut self) -> f64 {
        -(1.0 - self.unit()).ln()
    }

    /// Standard normal (Box, Muller 1958).
    pub(super) fn normal(&mut self) -> f64 {
        let radius = (2.0 * self.exponential()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// Scale 1.
    pub(super) fn gamma(&mut self, shape: f64) -> f64 {
        gamma(shape, &mut self.0)
    }

    /// Log odds of a Beta deviate, finite.
    pub(super) fn beta_log_odds(&mut self, a: f64, b: f64) -> f64 {
        let (x, y) = (self.gamma(a), self.gamma(b));
        (x.max(1e-300).ln() - y.max(1e-300).ln()).clamp(-60.0, 60.0)
    }
}
