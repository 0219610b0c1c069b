//! The change feed: lanes of contiguous positions that others follow.

mod hub;

use crate::Database;

pub(crate) use hub::Hub;

pub(crate) const EPOCH: &str = "SELECT epoch FROM feed ORDER BY ordinal DESC LIMIT 1";

/// A service's feed.
#[derive(Clone)]
pub struct Feed(pub(crate) Database);
