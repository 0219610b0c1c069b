//! regard-scoring
