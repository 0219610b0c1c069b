//! The feedback service through its gRPC API, on both engines.
#![allow(clippy::unwrap_used, clippy::panic)]

mod changes;
mod complaints;
mod customer;
mod ingest;
mod responses;
mod retention;
mod suite;
mod surveys;
