//! What may be done with feedback items: each operation is one transaction.

use regard_database::{Change, Command, Database, Vault, settle};
use regard_erasure::record_erased;
use regard_types::{Caller, ChangeToken, Fault, IdKey, RecordId, new_record_id};

use super::domain::{FeedbackItem, NewItem};
use super::{KIND, store};
use crate::change::measures;
use crate::erasure::refuse;

/// The feedback items of all tenants.
#[derive(Clone)]
pub(crate) struct Items {
    db: Database,
    vault: Vault,
}

impl Items {
    pub fn new(db: Database, vault: Vault) -> Self {
        Self { db, vault }
    }

    /// The id key of the caller's tenant.
    pub fn ids(&self, caller: &Caller) -> IdKey {
        self.db.ids(caller.tenant)
    }

    /// Records an item. A key that is stored already with the same content returns what is stored, without a token.
    pub async fn submit(
        &self,
        caller: &Caller,
        command: Command<'_>,
        new: NewItem,
    ) -> Result<(FeedbackItem, Option<ChangeToken>), Fault> {
        settle(|| async {
            let ids = self.db.ids(caller.tenant);
            let sealer = self.vault.sealer(caller.tenant).await?;
            let mut write = self.db.mutate(caller, command).await?;
            if let Some(answer) = write.repeated() {
                let (id, version) = answer.record(KIND)?;
                let item =
                    store::version(&write, (&self.vault, caller.tenant), id, version).await?;
                return Ok((
                    item.ok_or_else(|| record_erased(KIND, id))?,
                    Some(answer.token.clone()),
                ));
            }
            let id = match &new.key {
                Some(key) => RecordId(ids.id(KIND, key)),
                None => new_record_id(self.db.clock()),
            };
            if let Some(stored) = store::get(&write, (&self.vault, caller.tenant), id).await? {
                if !stored.content.is_resent_as(&new) {
                    return Err(Fault::exists(KIND, id).into());
                }
                write.commit(vec![(KIND, id, stored.version)]).await?;
                return Ok((stored, None));
            }
            refuse(&self.db, &write, (KIND, id), new.customer).await?;
            let now = write.now();
            let item = FeedbackItem {
                id,
                version: 1,
                created: now,
                updated: now,
                content: new.clone(),
            };
            let at = write.reserve(1).await?;
            let place = at.place(0);
            store::insert(&write, (&sealer, caller.tenant), place, &item).await?;
            write.change(Change {
                kind: KIND,
                record: id,
                version: item.version,
                customer: item.content.customer,
                occurred_at: item.content.said,
                measures: measures::feedback_item(&item),
                position: at.first,
            });
            write.audit(
                "submit",
                id,
                None,
                Some(ids.digest(KIND, &item.content.bytes())),
            );
            let token = write.commit(vec![(KIND, id, item.version)]).await?;
            Ok((item, token))
        })
        .await
    }

    /// One item.
    pub async fn get(&self, caller: &Caller, id: RecordId) -> Result<FeedbackItem, Fault> {
        let read = self.db.glance(caller).await?;
        store::get(&read, (&self.vault, caller.tenant), id)
            .await?
            .ok_or_else(|| Fault::not_found(KIND, id))
    }
}
