//! regard-models
