//! regard-tests
