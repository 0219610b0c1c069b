//! What may be done with complaints: each operation is one transaction.

use regard_database::history::Lock;
use regard_database::{Answer, Change, Command, Database, Missed, Place, Tx, Vault, Write, settle};
use regard_erasure::record_erased;
use regard_types::{Caller, ChangeToken, Fault, IdKey, Micros, RecordId, new_record_id};

use super::domain::{Complaint, NewComplaint, Resolution, ResolveError, State};
use super::{KIND, store};
use crate::change::measures;
use crate::erasure::refuse;

/// A complaint and the token of the write; no token where nothing was written.
pub(crate) type Written = (Complaint, Option<ChangeToken>);

/// A wish to resolve a complaint.
#[derive(Debug)]
pub(crate) struct Resolve<'a> {
    /// Which.
    pub id: RecordId,
    /// How; personal.
    pub text: String,
    /// When; None means now.
    pub at: Option<Micros>,
    /// The version that was read; empty takes whatever is stored.
    pub etag: &'a str,
}

/// The complaints of all tenants.
#[derive(Clone)]
pub(crate) struct Complaints {
    db: Database,
    vault: Vault,
}

impl Complaints {
    pub fn new(db: Database, vault: Vault) -> Self {
        Self { db, vault }
    }

    /// The id key of the caller's tenant.
    pub fn ids(&self, caller: &Caller) -> IdKey {
        self.db.ids(caller.tenant)
    }

    /// Opens a complaint. A key that is stored already with the same content returns what is stored, without a token.
    pub async fn open(
        &self,
        caller: &Caller,
        command: Command<'_>,
        new: NewComplaint,
    ) -> Result<Written, Fault> {
        settle(|| async {
            let ids = self.db.ids(caller.tenant);
            let sealer = self.vault.sealer(caller.tenant).await?;
            let mut write = self.db.mutate(caller, command).await?;
            if let Some(answer) = write.repeated() {
                return Ok(repeat(&write, (&self.vault, caller), answer).await?);
            }
            let id = match &new.key {
                Some(key) => RecordId(ids.id(KIND, key)),
                None => new_record_id(self.db.clock()),
            };
            if let Some(stored) =
                store::get(&write, (&self.vault, caller.tenant), id, Lock::Yes).await?
            {
                if !stored.content.is_resent_as(&new) {
                    return Err(Fault::exists(KIND, id).into());
                }
                write.commit(vec![(KIND, id, stored.version)]).await?;
                return Ok((stored, None));
            }
            refuse(&self.db, &write, (KIND, id), new.customer).await?;
            let now = write.now();
            let complaint = Complaint {
                id,
                version: 1,
                created: now,
                updated: now,
                content: new.clone(),
                state: State::Received,
                resolution: None,
            };
            let place = announce(&mut write, &complaint).await?;
            store::insert(&write, (&sealer, caller.tenant), place, &complaint).await?;
            write.audit("open", id, None, Some(ids.digest(KIND, &complaint.bytes())));
            let token = write.commit(vec![(KIND, id, 1)]).await?;
            Ok((complaint, token))
        })
        .await
    }

    /// Resolves a complaint.
    pub async fn resolve(
        &self,
        caller: &Caller,
        command: Command<'_>,
        wish: Resolve<'_>,
    ) -> Result<Written, Fault> {
        let Resolve { id, text, at, etag } = wish;
        settle(|| async {
            let ids = self.db.ids(caller.tenant);
            let sealer = self.vault.sealer(caller.tenant).await?;
            let mut write = self.db.mutate(caller, command).await?;
            if let Some(answer) = write.repeated() {
                return Ok(repeat(&write, (&self.vault, caller), answer).await?);
            }
            let stored = store::get(&write, (&self.vault, caller.tenant), id, Lock::Yes).await?;
            let Some(stored) = stored else {
                refuse(&self.db, &write, (KIND, id), None).await?;
                return Err(Fault::not_found(KIND, id).into());
            };
            regard_server::wire::check_etag(etag, KIND, id.0, stored.version)?;
            let before = ids.digest(KIND, &stored.bytes());
            let now = write.now();
            let resolution = Resolution {
                at: at.unwrap_or(now),
                text: text.clone(),
            };
            let complaint = stored
                .resolve(resolution, now)
                .map_err(|error| match error {
                    ResolveError::WrongState(state) => {
                        Fault::wrong_state(state.as_str(), error.to_string())
                            .meta("resource", KIND)
                            .meta("id", id)
                    }
                    ResolveError::BeforeOpened => Fault::invalid("resolve_time", error.to_string()),
                })?;
            let place = announce(&mut write, &complaint).await?;
            store::revise(&write, (&sealer, caller.tenant), place, &complaint).await?;
            write.audit(
                "resolve",
                id,
                Some(before),
                Some(ids.digest(KIND, &complaint.bytes())),
            );
            let token = write.commit(vec![(KIND, id, complaint.version)]).await?;
            Ok((complaint, token))
        })
        .await
    }

    /// One complaint.
    pub async fn get(&self, caller: &Caller, id: RecordId) -> Result<Complaint, Fault> {
        let read = self.db.glance(caller).await?;
        store::get(&read, (&self.vault, caller.tenant), id, Lock::No)
            .await?
            .ok_or_else(|| Fault::not_found(KIND, id))
    }
}

async fn announce(write: &mut Write, complaint: &Complaint) -> Result<Place, Missed> {
    let at = write.reserve(1).await?;
    write.change(Change {
        kind: KIND,
        record: complaint.id,
        version: complaint.version,
        customer: complaint.content.customer,
        occurred_at: complaint.content.opened,
        measures: measures::complaint(complaint),
        position: at.first,
    });
    Ok(at.place(0))
}

async fn repeat(
    tx: &Tx,
    (vault, caller): (&Vault, &Caller),
    answer: &Answer,
) -> Result<Written, Fault> {
    let (id, version) = answer.record(KIND)?;
    let complaint = store::version(tx, (vault, caller.tenant), id, version).await?;
    Ok((
        complaint.ok_or_else(|| record_erased(KIND, id))?,
        Some(answer.token.clone()),
    ))
}
