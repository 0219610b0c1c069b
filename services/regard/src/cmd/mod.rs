//! One file a command: its arguments, and its work from reading to printing.

pub mod config;
pub mod model;
pub mod score;
pub mod simulate;
