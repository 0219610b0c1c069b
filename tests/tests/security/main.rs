//! The platform under attack and under load: what every RPC, tenant and replica must withstand. `tests/security/run`
//! runs the long forms.
#![allow(clippy::unwrap_used, clippy::panic)]

mod certificates;
mod erasure;
mod keys;
mod limits;
mod matrix;
mod overload;
mod restart;
mod scan;
mod tenants;
mod trace;
