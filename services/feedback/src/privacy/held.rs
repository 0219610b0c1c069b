//! What this service holds about a person, for its export.

use async_trait::async_trait;
use regard_database::{StoreError, Tx, Vault};
use regard_server::privacy::{Field, Held, fields};
use regard_types::{Caller, Fault, Micros, RecordId, Uuid};

use crate::{complaint, feedback_item, response};

/// Every kind of record, in the order of an export: only ever append.
pub(crate) fn all(vault: &Vault) -> Vec<Box<dyn Held>> {
    vec![
        Box::new(Responses(vault.clone())),
        Box::new(Items(vault.clone())),
        Box::new(Complaints(vault.clone())),
    ]
}

macro_rules! held {
    ($name:ident, $noun:ident, $to_wire:ident, $tables:expr, $message:literal) => {
        struct $name(Vault);

        #[async_trait]
        impl Held for $name {
            fn kind(&self) -> &'static str {
                $noun::KIND
            }

            fn tables(&self) -> &'static [(&'static str, &'static str, &'static str)] {
                &[$tables]
            }

            async fn read(
                &self,
                tx: &Tx,
                caller: &Caller,
                (id, version): (Uuid, i64),
            ) -> Result<(Micros, Vec<Field>), Fault> {
                let keys = (&self.0, caller.tenant);
                let found = $noun::version(tx, keys, RecordId(id), version).await?;
                let found = found.ok_or(StoreError::Missing)?;
                let recorded = found.updated;
                let mut fields = fields($message, &$noun::$to_wire(found))?;
                // Texts that are kept no longer.
                fields.retain(|field| !field.personal || !field.value.is_empty());
                Ok((recorded, fields))
            }
        }
    };
}

held!(
    Responses,
    response,
    to_response,
    ("response", "response_history", "customer"),
    "regard.feedback.v1.Response"
);
held!(
    Items,
    feedback_item,
    to_item,
    ("feedback_item", "feedback_item_history", "customer"),
    "regard.feedback.v1.FeedbackItem"
);
held!(
    Complaints,
    complaint,
    to_complaint,
    ("complaint", "complaint_history", "customer"),
    "regard.feedback.v1.Complaint"
);
