//! The feedback service through its gRPC API, on both engines.
#![allow(clippy::unwrap_used, clippy::panic)]

mod changes;
mod complaints;
mod ingest;
mod responses;
mod suite;
mod surveys;
