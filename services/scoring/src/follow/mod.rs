//! Following the other services' change feeds: every change counts exactly once, whatever crashes, merges or arrives late.

mod apply;
mod checkpoint;
mod gather;
mod lag;
mod puts;
mod snapshot;
pub mod store;
mod watch;

pub use checkpoint::checkpoint;
pub use lag::Lag;
pub use puts::{abandon, put, seen, watch_cache};
pub use watch::{Source, run};
