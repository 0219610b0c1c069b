//! regard-proto
