//! The audit: who changed what, when. An entry is written in the transaction that it tells of; it has the next number of
//! its lane, and a code over all of it that only holders of the id secret can make. Every second a sealer chains what is
//! new in each lane ([`Audit::seal`]) and notes how far it came (the roll), and [`Audit::verify`] finds any change, removal,
//! insertion or reordering. What only a whole older store put back would hide shows against heads that were kept elsewhere
//! ([`Audit::heads`]; the service logs them once an hour).
//!
//! On PostgreSQL the service's role can only add entries by a caller's door; its jobs' role may take old ones, and the same
//! login may become it. On SQLite triggers refuse all else. Both guard against mistakes, the codes against intent.

mod page;
mod retention;
mod roll;
mod schema;
mod seal;
mod verify;

use regard_types::{IdSecret, Micros, RecordId, Service, TenantId, Uuid};
use ring::hmac;

use crate::Database;
use crate::error::StoreError;
use crate::row::Row;

pub use page::Filter;
pub(crate) use schema::{roll_step, step};
pub use verify::{Anchor, Finding, Report, Tampering};

/// A service's audit.
#[derive(Clone)]
pub struct Audit(pub(crate) Database);

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Whose.
    pub tenant: TenantId,
    /// Its id; later entries have larger ones (to the millisecond).
    pub id: Uuid,
    /// The lane that it is chained in.
    pub lane: u16,
    /// Its number in the lane, from 1 without gaps.
    pub sequence: u64,
    /// The last position of the changes that it tells of; none if nothing went to the feed.
    pub position: Option<u64>,
    /// Who, by name.
    pub caller: String,
    /// Who, by credential: see [`regard_types::Caller::id`].
    pub caller_id: String,
    /// The caller's roles, in a row with commas.
    pub roles: String,
    /// The RPC.
    pub method: String,
    /// What was done.
    pub action: String,
    /// To which record; none for a batch.
    pub record: Option<RecordId>,
    /// Keyed digest of the record before.
    pub before: Option<[u8; 32]>,
    /// Keyed digest of the record, or of the batch, after.
    pub after: Option<[u8; 32]>,
    /// The request's id in the logs.
    pub request_id: String,
    /// When.
    pub at: Micros,
}

const COLUMNS: &str = "tenant, id, lane, sequence, position, caller, roles, method, action, record, before_digest, \
                       after_digest, request_id, at, mac, caller_id";

/// The secret behind codes and seals.
#[derive(Clone)]
pub(crate) struct Key(hmac::Key);

impl Key {
    pub fn new(secret: &IdSecret, service: Service) -> Self {
        let key = secret.derive(b"audit", service.as_str().as_bytes());
        Self(hmac::Key::new(hmac::HMAC_SHA256, &key))
    }

    /// The code of an entry: over every field, each with its length.
    pub fn entry(&self, e: &Entry) -> [u8; 32] {
        let mut code = Code::new(self, b"entry");
        code.part(e.tenant.0.as_bytes());
        code.part(e.id.as_bytes());
        code.number(u64::from(e.lane));
        code.number(e.sequence);
        code.maybe(
            e.position
                .map(u64::to_be_bytes)
                .as_ref()
                .map(<[u8; 8]>::as_slice),
        );
        for text in [
            &e.caller,
            &e.caller_id,
            &e.roles,
            &e.method,
            &e.action,
            &e.request_id,
        ] {
            code.part(text.as_bytes());
        }
        code.maybe(e.record.as_ref().map(|r| r.0.as_bytes().as_slice()));
        code.maybe(e.before.as_ref().map(<[u8; 32]>::as_slice));
        code.maybe(e.after.as_ref().map(<[u8; 32]>::as_slice));
        code.number(e.at.0.cast_unsigned());
        code.done()
    }
}

/// A keyed hash over parts that cannot run into each other.
struct Code(hmac::Context);

impl Code {
    fn new(key: &Key, purpose: &[u8]) -> Self {
        let mut code = Self(hmac::Context::with_key(&key.0));
        code.part(purpose);
        code
    }

    fn number(&mut self, n: u64) {
        self.0.update(&n.to_be_bytes());
    }

    fn part(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.update(bytes);
    }

    fn maybe(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            None => self.0.update(&[0]),
            Some(bytes) => {
                self.0.update(&[1]);
                self.part(bytes);
            }
        }
    }

    fn done(self) -> [u8; 32] {
        let mut out = [0; 32];
        let tag = self.0.sign();
        for (to, from) in out.iter_mut().zip(tag.as_ref()) {
            *to = *from;
        }
        out
    }
}

impl Database {
    /// The audit.
    #[must_use]
    pub fn audit(&self) -> Audit {
        Audit(self.clone())
    }
}

fn number(row: &Row, column: usize) -> Result<u64, StoreError> {
    u64::try_from(row.get::<i64>(column)?).map_err(StoreError::corrupt)
}

fn maybe_digest(row: &Row, column: usize) -> Result<Option<[u8; 32]>, StoreError> {
    match row.get::<Option<Vec<u8>>>(column)? {
        None => Ok(None),
        Some(_) => row.digest(column).map(Some),
    }
}

/// A row of [`COLUMNS`] with its code.
fn entry(row: &Row) -> Result<(Entry, Vec<u8>), StoreError> {
    let position: Option<i64> = row.get(4)?;
    let entry = Entry {
        tenant: TenantId(row.get(0)?),
        id: row.get(1)?,
        lane: u16::try_from(row.get::<i64>(2)?).map_err(StoreError::corrupt)?,
        sequence: number(row, 3)?,
        position: position
            .map(u64::try_from)
            .transpose()
            .map_err(StoreError::corrupt)?,
        caller: row.get(5)?,
        caller_id: row.get(15)?,
        roles: row.get(6)?,
        method: row.get(7)?,
        action: row.get(8)?,
        record: row.get::<Option<Uuid>>(9)?.map(RecordId),
        before: maybe_digest(row, 10)?,
        after: maybe_digest(row, 11)?,
        request_id: row.get(12)?,
        at: Micros(row.get(13)?),
    };
    Ok((entry, row.get(14)?))
}
