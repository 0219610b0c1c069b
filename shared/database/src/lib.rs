//! regard-database
