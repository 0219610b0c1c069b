//! Replacing a tenant's data key. The new key becomes active in one transaction, which waits for those that write under the
//! former one (they hold a lock on it: [`super::Sealer::fence`]). From then on no value under the former key can come, so
//! walking each sealed column once by its key finds all of them. The walk stores its place with each page, and the former key
//! is destroyed only when no value under it is left.

use std::fmt::Write as _;

use prost::Message as _;
use regard_types::{Fault, Micros, RecordId, TenantId, Uuid};

use super::Vault;
use super::key::{insert, last, number};
use super::seal::{KeyColumn, KeyValue, SealedColumn, key_number};
use crate::bulk::ColumnData;
use crate::door::Write;
use crate::engine::Engine;
use crate::error::StoreError;
use crate::row::Row;
use crate::tx::Tx;

/// Values that are sealed anew in one transaction.
const PAGE: i64 = 500;

/// A rotation as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rotation {
    /// The tenant.
    pub tenant: TenantId,
    /// Its id.
    pub id: RecordId,
    /// The number of the key that is replaced; 0 if there was none.
    pub former: u32,
    /// The number of the key that replaces it.
    pub key: u32,
    /// How many values were sealed anew.
    pub resealed: i64,
    /// When it began.
    pub created: Micros,
    /// When the former key was destroyed.
    pub ended: Option<Micros>,
    place: Place,
}

/// Where the walk goes on: the column's number, and the key of its last row that is done.
#[derive(Clone, PartialEq, Eq, prost::Message)]
struct Place {
    #[prost(uint32, tag = "1")]
    column: u32,
    #[prost(message, repeated, tag = "2")]
    after: Vec<Part>,
}

#[derive(Clone, PartialEq, Eq, prost::Message)]
struct Part {
    #[prost(bytes = "vec", tag = "1")]
    uuid: Vec<u8>,
    #[prost(sint64, tag = "2")]
    number: i64,
    #[prost(string, tag = "3")]
    text: String,
}

const COLUMNS: &str = "tenant, id, former, key, place, resealed, created, ended";

fn read(row: &Row) -> Result<Rotation, StoreError> {
    let place: Vec<u8> = row.get(4)?;
    Ok(Rotation {
        tenant: TenantId(row.get(0)?),
        id: RecordId(row.get(1)?),
        former: number(row, 2)?,
        key: number(row, 3)?,
        place: Place::decode(place.as_slice()).map_err(StoreError::corrupt)?,
        resealed: row.get(5)?,
        created: Micros(row.get(6)?),
        ended: row.get::<Option<i64>>(7)?.map(Micros),
    })
}

/// A rotation of a tenant; the latest one if no id is given.
///
/// # Errors
/// What the engine answers.
pub async fn get(
    tx: &Tx,
    tenant: TenantId,
    id: Option<RecordId>,
) -> Result<Option<Rotation>, StoreError> {
    let row = match id {
        Some(id) => {
            let sql = format!("SELECT {COLUMNS} FROM key_rotation WHERE tenant = $1 AND id = $2");
            tx.fetch_one(sql, vec![tenant.0.into(), id.0.into()]).await
        }
        None => {
            let sql = format!(
                "SELECT {COLUMNS} FROM key_rotation WHERE tenant = $1 ORDER BY created DESC, id DESC LIMIT 1"
            );
            tx.fetch_one(sql, vec![tenant.0.into()]).await
        }
    }?;
    row.as_ref().map(read).transpose()
}

/// The key that will replace a tenant's active one.
pub struct Plan {
    tenant: TenantId,
    former: u32,
    new: super::key::New,
}

impl Vault {
    /// Makes the key that a rotation will bring; before the transaction of [`Vault::begin`].
    ///
    /// # Errors
    /// [`StoreError::Down`] if the key service does not answer; what the engine answers.
    pub async fn plan(&self, tenant: TenantId) -> Result<Plan, StoreError> {
        let tx = self.db.read_system().await?;
        let former = last(&tx, tenant).await?;
        drop(tx);
        let new = self.new_key(tenant, former + 1).await?;
        Ok(Plan {
            tenant,
            former,
            new,
        })
    }

    /// Makes the planned key the active one, and notes the rotation: the job does the rest. Call [`Vault::started`] once
    /// the transaction is committed.
    ///
    /// # Errors
    /// `WRONG_STATE` while another rotation runs; `BUSY` if another key was made since the plan: plan again.
    pub async fn begin(&self, write: &Write, plan: &Plan, id: RecordId) -> Result<Rotation, Fault> {
        let tenant = plan.tenant;
        let running = "SELECT id FROM key_rotation WHERE tenant = $1 AND state = 'running'";
        if let Some(row) = write.fetch_one(running, vec![tenant.0.into()]).await? {
            let message =
                "the data key is being replaced already; ask for another one when that is done";
            let fault = Fault::wrong_state("running", message).meta("resource", "key_rotation");
            return Err(fault.meta("id", row.get::<Uuid>(0)?));
        }
        // Waits for every transaction that holds the key by its fence.
        let retire = "UPDATE data_key SET state = 'retiring' WHERE tenant = $1 AND state = 'active' RETURNING id";
        let retired = write.fetch_one(retire, vec![tenant.0.into()]).await?;
        let retired = retired.map(|row| number(&row, 0)).transpose()?;
        if retired.unwrap_or(0) != plan.former {
            return Err(Fault::busy());
        }
        let now = write.now();
        insert(write, tenant, &plan.new, now, "")
            .await
            .map_err(lost)?;
        let rotation = Rotation {
            tenant,
            id,
            former: plan.former,
            key: plan.new.number,
            resealed: 0,
            created: now,
            ended: (plan.former == 0).then_some(now),
            place: Place::default(),
        };
        let sql = format!(
            "INSERT INTO key_rotation ({COLUMNS}, state) VALUES ($1, $2, $3, $4, $5, 0, $6, $7, $8)"
        );
        let state = if rotation.ended.is_some() {
            "done"
        } else {
            "running"
        };
        let values = vec![
            tenant.0.into(),
            id.0.into(),
            i64::from(rotation.former).into(),
            i64::from(rotation.key).into(),
            Vec::<u8>::new().into(),
            now.0.into(),
            rotation.ended.map(|at| at.0).into(),
            state.into(),
        ];
        write.run(sql, values).await.map_err(lost)?;
        Ok(rotation)
    }

    /// The rotation is committed: this process uses the new key, and its job begins.
    pub fn started(&self, rotation: &Rotation) {
        self.state.active.invalidate(&rotation.tenant);
        self.state.begun.notify_one();
    }

    /// Rotations that are not done, the oldest first, at most 100, after one of which the time and id are given.
    ///
    /// # Errors
    /// What the engine answers.
    pub async fn running(
        &self,
        after: Option<(Micros, RecordId)>,
    ) -> Result<Vec<Rotation>, StoreError> {
        let read_tx = self.db.read_system().await?;
        let mut values = Vec::new();
        let mut from = "";
        if let Some((created, id)) = after {
            values.extend([created.0.into(), id.0.into()]);
            from = " AND (created, id) > ($1, $2)";
        }
        let sql = format!(
            "SELECT {COLUMNS} FROM key_rotation WHERE state = 'running'{from} ORDER BY created, id LIMIT 100"
        );
        let rows = read_tx.fetch(sql, values).await?;
        rows.iter().map(read).collect()
    }

    /// Does one page of a rotation, or ends it: the key destroyed, the rotation done. The lease is checked in the same
    /// transaction.
    ///
    /// # Errors
    /// `BUSY` if the lease has another holder; what the engine answers.
    pub async fn advance(
        &self,
        rotation: &mut Rotation,
        columns: &[SealedColumn],
        (lease, term): (&crate::Lease, i64),
    ) -> Result<(), Fault> {
        let tenant = rotation.tenant;
        // Before the transaction: the key may have to be unwrapped by a key service.
        let sealer = self.sealer(tenant).await?;
        let tx = self.db.system().await?;
        if !lease.holds(&tx, term).await? {
            return Err(Fault::busy());
        }
        let at = rotation.place.column as usize;
        let mut next = rotation.clone();
        match columns.get(at) {
            Some(column) => {
                let (page, after) = self.page(&tx, rotation, column).await?;
                if page.is_empty() {
                    next.place = Place {
                        column: rotation.place.column + 1,
                        after: Vec::new(),
                    };
                } else {
                    next.resealed += self.reseal(&tx, tenant, column, &sealer, &page).await?;
                    next.place.after = after;
                }
            }
            None if any_left(&tx, rotation, columns).await? => next.place = Place::default(),
            None => {
                next.ended = Some(tx.now());
                let sql = "UPDATE data_key SET state = 'destroyed', wrapped = $1, ended = $2 \
                           WHERE tenant = $3 AND id = $4 AND state = 'retiring'";
                let values = vec![
                    Vec::<u8>::new().into(),
                    tx.now().0.into(),
                    tenant.0.into(),
                    i64::from(rotation.former).into(),
                ];
                tx.run(sql, values).await?;
            }
        }
        let sql = "UPDATE key_rotation SET place = $1, resealed = $2, ended = $3, state = $4 WHERE tenant = $5 AND id = $6";
        let state = if next.ended.is_some() {
            "done"
        } else {
            "running"
        };
        let values = vec![
            next.place.encode_to_vec().into(),
            next.resealed.into(),
            next.ended.map(|at| at.0).into(),
            state.into(),
            tenant.0.into(),
            rotation.id.0.into(),
        ];
        tx.run(sql, values).await?;
        tx.commit().await?;
        if next.ended.is_some() {
            self.forget(tenant, rotation.former);
        }
        *rotation = next;
        Ok(())
    }

    /// The next rows under the former key, locked, and the key of the last one.
    async fn page(
        &self,
        tx: &Tx,
        rotation: &Rotation,
        column: &SealedColumn,
    ) -> Result<(Vec<Row>, Vec<Part>), StoreError> {
        let names: Vec<_> = column.key.iter().map(|k| k.name()).collect();
        let names = names.join(", ");
        let mut sql = format!(
            "SELECT {names}, {0} FROM {1} WHERE tenant = $1 AND substr({0}, 2, 4) = $2",
            column.column, column.table
        );
        let mut values = vec![
            rotation.tenant.0.into(),
            rotation.former.to_be_bytes().to_vec().into(),
        ];
        if !rotation.place.after.is_empty() {
            let places: Vec<_> = (3..3 + column.key.len()).map(|n| format!("${n}")).collect();
            let _ = write!(sql, " AND ({names}) > ({})", places.join(", "));
            for (kind, part) in column.key.iter().zip(&rotation.place.after) {
                values.push(match kind {
                    KeyColumn::Uuid(_) => Uuid::from_slice(&part.uuid)
                        .map_err(StoreError::corrupt)?
                        .into(),
                    KeyColumn::I64(_) => part.number.into(),
                    KeyColumn::Text(_) => part.text.clone().into(),
                });
            }
        }
        let _ = write!(sql, " ORDER BY {names} LIMIT {PAGE}");
        if tx.engine() == Engine::Postgres {
            sql.push_str(" FOR UPDATE");
        }
        let rows = tx.fetch(sql, values).await?;
        let after = match rows.last() {
            None => Vec::new(),
            Some(row) => parts(row, column)?,
        };
        Ok((rows, after))
    }

    async fn reseal(
        &self,
        tx: &Tx,
        tenant: TenantId,
        column: &SealedColumn,
        sealer: &super::Sealer,
        rows: &[Row],
    ) -> Result<i64, StoreError> {
        let at = column.key.len();
        let mut old: Vec<Vec<u8>> = Vec::with_capacity(rows.len());
        for row in rows {
            old.push(row.get(at)?);
        }
        let opener = self
            .opener(tx, tenant, old.iter().map(Vec::as_slice))
            .await?;
        let mut keys: Vec<Vec<Part>> = Vec::with_capacity(rows.len());
        let mut sealed = Vec::with_capacity(rows.len());
        for (row, old) in rows.iter().zip(&old) {
            let key = parts(row, column)?;
            let context = column.context(&values(column, &key)?);
            let plain = zeroize::Zeroizing::new(opener.open(&context, old)?);
            sealed.push(sealer.seal(&context, &plain)?);
            keys.push(key);
        }
        sealer.fence(tx).await?;
        let mut compare = vec![("tenant", ColumnData::OneUuid(tenant.0))];
        for (i, kind) in column.key.iter().enumerate() {
            let each = keys.iter().filter_map(|key| key.get(i));
            compare.push((
                kind.name(),
                match kind {
                    KeyColumn::Uuid(_) => {
                        let ids = each.map(|part| Uuid::from_slice(&part.uuid));
                        let ids: Vec<Uuid> =
                            ids.collect::<Result<_, _>>().map_err(StoreError::corrupt)?;
                        ids.into()
                    }
                    KeyColumn::I64(_) => each.map(|part| part.number).collect::<Vec<_>>().into(),
                    KeyColumn::Text(_) => each
                        .map(|part| part.text.clone())
                        .collect::<Vec<_>>()
                        .into(),
                },
            ));
        }
        let done = tx
            .bulk_update(column.table, &compare, &[(column.column, sealed.into())])
            .await?;
        i64::try_from(done).map_err(StoreError::corrupt)
    }
}

/// Another one was faster with the same key number or rotation.
fn lost(error: StoreError) -> Fault {
    match error {
        StoreError::Taken(key) => Fault::busy().caused_by(key),
        other => other.into(),
    }
}

fn parts(row: &Row, column: &SealedColumn) -> Result<Vec<Part>, StoreError> {
    column
        .key
        .iter()
        .enumerate()
        .map(|(i, kind)| {
            let mut part = Part::default();
            match kind {
                KeyColumn::Uuid(_) => part.uuid = row.get::<Uuid>(i)?.as_bytes().to_vec(),
                KeyColumn::I64(_) => part.number = row.get(i)?,
                KeyColumn::Text(_) => part.text = row.get(i)?,
            }
            Ok(part)
        })
        .collect()
}

fn values<'a>(column: &SealedColumn, key: &'a [Part]) -> Result<Vec<KeyValue<'a>>, StoreError> {
    column
        .key
        .iter()
        .zip(key)
        .map(|(kind, part)| {
            Ok(match kind {
                KeyColumn::Uuid(_) => {
                    KeyValue::Uuid(Uuid::from_slice(&part.uuid).map_err(StoreError::corrupt)?)
                }
                KeyColumn::I64(_) => KeyValue::I64(part.number),
                KeyColumn::Text(_) => KeyValue::Text(&part.text),
            })
        })
        .collect()
}

/// Whether a value under the former key is left; none is, unless something is wrong.
async fn any_left(
    tx: &Tx,
    rotation: &Rotation,
    columns: &[SealedColumn],
) -> Result<bool, StoreError> {
    for SealedColumn { table, column, .. } in columns {
        let sql = format!(
            "SELECT {column} FROM {table} WHERE tenant = $1 AND substr({column}, 2, 4) = $2 LIMIT 1"
        );
        let values = vec![
            rotation.tenant.0.into(),
            rotation.former.to_be_bytes().to_vec().into(),
        ];
        if let Some(row) = tx.fetch_one(sql, values).await? {
            key_number(&row.get::<Vec<u8>>(0)?)?;
            tracing::warn!(
                table,
                "values under the former data key are left, walking again"
            );
            return Ok(true);
        }
    }
    Ok(false)
}
