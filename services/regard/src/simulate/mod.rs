//! A market of known truth.
//!
//! Every customer has a satisfaction s ~ N(0, 1) that nobody sees and that moves both what they do and what they say.
//! With e the strength of the effect (1 unless set, 0 for none):
//!
//! - purchases: rate λ = Gamma(r, α) · exp(e·k_rate·s − (e·k_rate)²/2) a week, so that the mean rate stays r/α;
//! - dropout: after each purchase but the first (BG/NBD) the customer leaves with probability p,
//!   logit p = logit Beta(a, b) − e·k_dropout·s;
//! - value: each purchase is Gamma(shape p, rate ν), ν ~ Gamma(q, γ), independent of s;
//! - answers: after a purchase, with a fixed probability, NPS = round(7.5 + 1.6 s + N(0, 1)) within 0..10 and
//!   CSAT = round(3.7 + 0.7 s + N(0, 0.5)) within 1..5.
//!
//! At e = 0 the purchases are exactly BG/NBD (births spread evenly over the entry weeks) and the values Gamma-Gamma.

mod draw;
mod files;
mod market;

pub use files::write;
pub use market::{Answer, Customer, Order, Plan, SURVEY, customer};
