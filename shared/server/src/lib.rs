//! regard-server
