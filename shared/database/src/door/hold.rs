//! Writers of a tenant work side by side; an erasure must be alone with it, or a row that is being written meanwhile would
//! stay under an id that is gone. On PostgreSQL this is an advisory lock that ends with the transaction, taken in the trip
//! that begins it. SQLite has one writer anyway.
//!
//! Nobody waits long for it with a lane and a connection in his hands: whoever does not get it at once gives both back and
//! comes again, so that the writers of one tenant never take all lanes from the others. Callers that want to be alone are two at
//! a time in a process, whatever their tenants.

use std::time::Duration;

use regard_types::TenantId;

/// How a transaction holds its tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hold {
    /// With other writers.
    Shared,
    /// When all writers before it are through, and before any further one begins.
    Alone,
}

/// How many of a process may be alone with their tenants, or wait for it, at once: so many lanes at most.
pub(crate) const ALONE: usize = 2;

/// Sets these locks apart from those of other purposes (migrations).
const PURPOSE: u64 = 0x7265_6772_6173_6500;

impl Hold {
    /// How long is waited for it with a lane in hand. Further writers stay out while someone waits to be alone, so
    /// that this is what those before him may still take.
    pub const fn wait(self) -> Duration {
        match self {
            Self::Shared => Duration::from_millis(20),
            Self::Alone => Duration::from_secs(1),
        }
    }

    /// The statements that take it on PostgreSQL, or end in 55P03 (busy) after [`Hold::wait`]. Other locks of the
    /// transaction are waited for as before.
    pub fn sql(self, tenant: TenantId) -> [String; 3] {
        let name = match self {
            Self::Shared => "pg_advisory_xact_lock_shared",
            Self::Alone => "pg_advisory_xact_lock",
        };
        let (high, low) = tenant.0.as_u64_pair();
        // Two tenants that share a number wait for each other, no more.
        let key = (PURPOSE ^ high ^ low.rotate_left(32)).cast_signed();
        [
            format!("SET LOCAL lock_timeout = {}", self.wait().as_millis()),
            format!("SELECT {name}({key})"),
            "SET LOCAL lock_timeout TO DEFAULT".to_owned(),
        ]
    }
}
