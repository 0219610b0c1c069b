//! Who calls: put into every request by the edge, taken out by handlers.

use regard_types::Caller;
use tonic::Status;

use crate::status::status;
use regard_types::Fault;

/// The caller of a request.
///
/// # Errors
/// UNAUTHENTICATED if the request did not come through a server of this crate.
// A status is large, and it is what a handler returns.
#[allow(clippy::result_large_err)]
pub fn caller<T>(request: &tonic::Request<T>) -> Result<Caller, Status> {
    match request.extensions().get::<Caller>() {
        Some(caller) => Ok(caller.clone()),
        None => Err(status(Fault::unauthenticated(
            "the call carries no identity",
        ))),
    }
}
