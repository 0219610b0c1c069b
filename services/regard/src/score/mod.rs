//! Scoring a file of orders without a server: read, count, fit, test on a hold-out, score, tell.

mod card;
mod columns;
mod counting;
mod holdout;
mod learn;
mod orders;
mod scored;

pub use card::{COUNTING, Card, Counts, Models, Totals};
pub use columns::{CUSTOMER, DATE, VALUE, Wanted, fold};
pub use counting::{History, Row, histories};
pub use holdout::Holdout;
pub use learn::{Learnt, learn};
pub use orders::{Orders, Rejects};
pub use scored::{Scored, score, write};

/// Level of the predictive intervals.
pub const LEVEL: f64 = 0.9;
