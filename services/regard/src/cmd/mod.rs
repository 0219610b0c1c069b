//! One file a command: its arguments, and its work from reading to printing.

pub mod admin;
pub mod audit;
pub mod config;
pub mod demo;
pub mod explain;
pub mod fit;
pub mod health;
pub mod import;
pub mod log_level;
pub mod metrics;
pub mod migrate;
pub mod model;
pub mod privacy;
pub mod score;
pub mod scores;
pub mod serve;
pub mod simulate;
