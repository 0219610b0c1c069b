//! regard-cache
