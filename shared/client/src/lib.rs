//! regard-client
