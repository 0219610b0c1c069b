//! What every noun of the service shares: the store, the tenants, and how a write tells what it did.

use regard_database::{Change, Database, StoreError, Vault, Write};
use regard_types::{ChangeToken, CustomerId, Fault, IdKey, Kind};

use crate::measures::Measured;
use crate::tenant::Tenants;

/// The service's parts, shared by its RPCs and jobs.
#[derive(Debug)]
pub struct Core {
    /// The store.
    pub db: Database,
    /// What seals identities.
    pub vault: Vault,
    /// Tenant records, kept for a short while.
    pub tenants: Tenants,
}

/// A result with the token of the write.
#[derive(Debug)]
pub struct Written<T> {
    /// What was written, or is stored.
    pub value: T,
    /// Empty if nothing changed, none for `validate_only`.
    pub token: Option<ChangeToken>,
}

impl<T> Written<T> {
    /// The token as text.
    pub fn token(&self) -> String {
        self.token
            .as_ref()
            .map(ChangeToken::encode)
            .unwrap_or_default()
    }
}

/// What is wrong with a request, field by field, so that all of it is told at once.
#[derive(Debug, Default)]
pub struct Faults(Option<Fault>);

impl Faults {
    /// Notes a fault.
    pub fn add(&mut self, fault: Fault) {
        self.0 = Some(join(self.0.take(), fault));
    }

    /// The value, or none after noting the fault.
    pub fn keep<T>(&mut self, read: Result<T, Fault>) -> Option<T> {
        read.map_err(|fault| self.add(fault)).ok()
    }

    /// All that was noted as one fault.
    pub fn done(self) -> Result<(), Fault> {
        self.0.map_or(Ok(()), Err)
    }
}

/// A field that is there, since nothing was noted.
pub fn read<T>(value: Option<T>) -> Result<T, Fault> {
    value.ok_or_else(|| Fault::bug("a field that was neither read nor refused"))
}

/// One fault of two, with the fields of both. Of equal reasons it is the first one; different reasons are invalid fields,
/// each of which says what was expected of it.
fn join(all: Option<Fault>, mut next: Fault) -> Fault {
    let Some(mut all) = all else {
        return next;
    };
    if all.reason != next.reason {
        (all.kind, all.reason) = (Kind::Invalid, "FIELD_INVALID");
        // Facts of one of them would be read as facts of all.
        all.meta.clear();
    }
    if all.reason == "FIELD_INVALID" {
        "the request has invalid fields".clone_into(&mut all.message);
    }
    all.violations.append(&mut next.violations);
    all
}

/// Adds the record's change to the write.
pub fn tell<R: Measured>(write: &mut Write, record: &R, position: u64) {
    let (id, version) = record.version();
    write.change(Change {
        kind: R::KIND,
        record: id,
        version,
        customer: record.customer(),
        occurred_at: record.occurred_at(),
        measures: record.measures(),
        position,
    });
}

/// Keyed digest of a record's version for the audit.
pub fn digest<R: Measured>(ids: &IdKey, record: &R) -> [u8; 32] {
    let mut bytes = record.measures();
    bytes.extend_from_slice(&record.occurred_at().0.to_be_bytes());
    bytes.extend_from_slice(&record.version().1.to_be_bytes());
    bytes.extend_from_slice(record.content());
    ids.digest(R::KIND, &bytes)
}

/// A write that is none was taken for the repeat of another.
pub fn not_repeated() -> Fault {
    Fault::bug("a first call was taken for a repeat")
}

/// A record that a repeated request was answered with: where it is not there any more, it was erased.
pub fn gone(error: StoreError, kind: &str, id: impl std::fmt::Display) -> Fault {
    match error {
        StoreError::Missing => regard_erasure::record_erased(kind, id),
        other => other.into(),
    }
}

/// Refuses a customer that was erased.
pub async fn refuse_erased(
    core: &Core,
    write: &Write,
    field: &str,
    id: CustomerId,
) -> Result<(), Fault> {
    let tenant = write.caller().tenant;
    let gone = regard_erasure::erased(write, tenant, &core.db.ids(tenant), &[id.0]).await?;
    match gone.is_empty() {
        true => Ok(()),
        false => Err(regard_erasure::customer_erased(field, id)),
    }
}
