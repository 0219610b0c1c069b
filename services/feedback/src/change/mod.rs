//! What changed, for services that keep their own view of it.

pub(crate) mod measures;
