//! Who calls: put into every request by the edge, taken out by handlers.

use regard_types::{Caller, Fault};
use tonic::Status;

use crate::status::status;

/// The caller of a request.
///
/// # Errors
/// UNAUTHENTICATED if the request did not come through a server of this crate.
// A status is large, and it is what a handler returns.
#[allow(clippy::result_large_err)]
pub fn caller<T>(request: &tonic::Request<T>) -> Result<Caller, Status> {
    caller_of(request).map_err(status)
}

/// [`caller`] before faults become statuses.
///
/// # Errors
/// As [`caller`].
pub fn caller_of<T>(request: &tonic::Request<T>) -> Result<Caller, Fault> {
    let caller = request.extensions().get::<Caller>().cloned();
    caller.ok_or_else(|| Fault::unauthenticated("the call carries no identity"))
}

/// Whether it is a server of the suite: it may read every tenant's changes, and is refused for no load.
pub(crate) fn is_server(caller: &Caller) -> bool {
    caller.all_tenants && caller.may(crate::identity::role::READ_ALL)
}
