//! regard-feedback
