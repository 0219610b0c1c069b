//! All customers of a tenant at once: the scans that fits and metrics rest on.

pub mod answers;
pub mod orders;
