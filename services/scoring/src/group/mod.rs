//! Customer groups: which arrival ids are one customer now, by merge edges.

pub mod domain;
pub mod store;
