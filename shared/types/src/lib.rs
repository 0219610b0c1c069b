//! regard-types
