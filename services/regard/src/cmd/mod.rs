//! One file a command: its arguments, and its work from reading to printing.

pub mod config;
pub mod demo;
pub mod explain;
pub mod fit;
pub mod import;
pub mod metrics;
pub mod model;
pub mod score;
pub mod scores;
pub mod serve;
pub mod simulate;
