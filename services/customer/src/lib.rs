//! regard-customer
