//! Writers of a tenant work side by side; an erasure must be alone with it, or a row that is being written meanwhile would
//! stay under an id that is gone. On PostgreSQL this is an advisory lock that ends with the transaction, taken in the trip
//! that begins it. SQLite has one writer anyway.

use regard_types::TenantId;

/// How a transaction holds its tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hold {
    /// With other writers.
    Shared,
    /// When all writers before it are through, and before any further one begins.
    Alone,
}

/// Sets these locks apart from those of other purposes (migrations).
const PURPOSE: u64 = 0x7265_6772_6173_6500;

impl Hold {
    /// The statement that takes it on PostgreSQL.
    pub fn sql(self, tenant: TenantId) -> String {
        let name = match self {
            Self::Shared => "pg_advisory_xact_lock_shared",
            Self::Alone => "pg_advisory_xact_lock",
        };
        let (high, low) = tenant.0.as_u64_pair();
        // Two tenants that share a number wait for each other, no more.
        let key = (PURPOSE ^ high ^ low.rotate_left(32)).cast_signed();
        format!("SELECT {name}({key})")
    }
}
