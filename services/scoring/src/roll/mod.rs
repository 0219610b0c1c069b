//! The roll: brings every tenant's current scores to its today, to its serving models, and to its latest stamp. Scores age
//! without events; this is what ages them.

mod app;
pub use app::{rescore_page, run};
