//! Everything that a service holds about a person, page by page. Each page leaves an entry in the audit before it is answered.

use async_trait::async_trait;
use prost::Message as _;
use regard_database::{Command, StoreError, Tx};
use regard_proto::common::v1::PersonalItem;
use regard_types::{Caller, CustomerId, Fault, Micros, RecordId, TenantId, Uuid};

use super::{Field, Privacy};
use crate::page::{self, KeyPart, Page};
use crate::wire::timestamp;

/// Most bytes of a page: a message stays well below its limit.
const PAGE_BYTES: usize = 2 * 1024 * 1024;

/// A kind of record that a service holds about persons.
#[async_trait]
pub trait Held: Send + Sync {
    /// Its name in an export.
    fn kind(&self) -> &'static str;

    /// Where its versions lie: a table, its history twin, and a column that names the customer; more than once where
    /// several columns do.
    fn tables(&self) -> &'static [(&'static str, &'static str, &'static str)];

    /// A version: when it was recorded, and its fields.
    async fn read(
        &self,
        tx: &Tx,
        caller: &Caller,
        version: (Uuid, i64),
    ) -> Result<(Micros, Vec<Field>), Fault>;
}

/// The versions of records of these customers in a table with a history twin, where `column` names the customer.
async fn versions(
    tx: &Tx,
    tenant: TenantId,
    (table, history, column): (&str, &str, &str),
    customers: &[Uuid],
) -> Result<Vec<(Uuid, i64)>, StoreError> {
    let sql = format!("SELECT id, version FROM {table} WHERE tenant = $1 AND {column} {{in}}");
    let mut out: Vec<(Uuid, i64)> = Vec::new();
    for row in tx.fetch_in(&sql, vec![tenant.0.into()], customers).await? {
        out.push((row.get(0)?, row.get(1)?));
    }
    let ids: Vec<Uuid> = out.iter().map(|(id, _)| *id).collect();
    let sql = format!("SELECT id, version FROM {history} WHERE tenant = $1 AND id {{in}}");
    for row in tx.fetch_in(&sql, vec![tenant.0.into()], &ids).await? {
        out.push((row.get(0)?, row.get(1)?));
    }
    Ok(out)
}

/// Where a page begins: the kind's number, the record, its version, and how many of its fields were told before.
type Place = (usize, Uuid, i64, usize);

fn place(page: &Page) -> Result<Place, Fault> {
    match page.after.as_deref() {
        None => Ok((0, Uuid::nil(), 0, 0)),
        Some(
            [
                KeyPart::I64(kind),
                KeyPart::Uuid(id),
                KeyPart::I64(version),
                KeyPart::I64(told),
            ],
        ) => {
            let whole = |n: &i64| usize::try_from(*n).map_err(|_| page::invalid());
            Ok((whole(kind)?, *id, *version, whole(told)?))
        }
        Some(_) => Err(page::invalid()),
    }
}

impl Privacy {
    /// A page of what is held about these customers, who are one person, and the token of the next one.
    ///
    /// # Errors
    /// `TOKEN_INVALID`; as the store answers.
    pub async fn export(
        &self,
        caller: &Caller,
        customers: &[CustomerId],
        page: &Page,
    ) -> Result<(Vec<PersonalItem>, String), Fault> {
        let from = place(page)?;
        let asked: Vec<Uuid> = customers.iter().map(|c| c.0).collect();
        let tx = self.db.read(caller).await?;
        let (items, next) = self.gather(&tx, caller, &asked, from, page.size).await?;
        drop(tx);
        self.trace(caller, &asked).await?;
        let token = next.map(|(kind, id, version, told)| {
            let whole = |n: usize| KeyPart::I64(i64::try_from(n).unwrap_or(i64::MAX));
            page.next(&[
                whole(kind),
                KeyPart::Uuid(id),
                KeyPart::I64(version),
                whole(told),
            ])
        });
        Ok((items, token.unwrap_or_default()))
    }

    /// Items from a place on, and where the next page begins.
    async fn gather(
        &self,
        tx: &Tx,
        caller: &Caller,
        customers: &[Uuid],
        (first, id, version, told): Place,
        size: usize,
    ) -> Result<(Vec<PersonalItem>, Option<Place>), Fault> {
        let (mut items, mut bytes) = (Vec::new(), 0);
        for (rank, held) in self.held.iter().enumerate().skip(first) {
            let mut all = Vec::new();
            for tables in held.tables() {
                all.extend(versions(tx, caller.tenant, *tables, customers).await?);
            }
            all.sort_unstable();
            all.dedup();
            for at in all {
                let mut skip = 0;
                if rank == first {
                    match at.cmp(&(id, version)) {
                        std::cmp::Ordering::Less => continue,
                        std::cmp::Ordering::Equal => skip = told,
                        std::cmp::Ordering::Greater => {}
                    }
                }
                let (recorded, fields) = held.read(tx, caller, at).await?;
                for (index, field) in fields.into_iter().enumerate().skip(skip) {
                    let item = PersonalItem {
                        kind: held.kind().to_owned(),
                        record_id: at.0.to_string(),
                        version: at.1,
                        path: field.path,
                        value: field.value,
                        personal: field.personal,
                        record_time: Some(timestamp(recorded)),
                    };
                    bytes += item.encoded_len() + 8;
                    let full = items.len() >= size || bytes > PAGE_BYTES;
                    if full && !items.is_empty() {
                        return Ok((items, Some((rank, at.0, at.1, index))));
                    }
                    items.push(item);
                }
            }
        }
        Ok((items, None))
    }

    /// An export is a read that leaves a trace.
    async fn trace(&self, caller: &Caller, customers: &[Uuid]) -> Result<(), Fault> {
        let command = Command {
            method: "ExportPersonalData",
            request_id: "",
            digest: [0; 32],
            validate_only: false,
        };
        let mut write = self.db.mutate(caller, command).await?;
        write.reserve(0).await?;
        for customer in customers {
            write.audit("privacy.export", RecordId(*customer), None, None);
        }
        write.commit(Vec::new()).await?;
        Ok(())
    }
}
