//! The table `record_text`: one row a text of one version of one record.

use regard_database::vault::{KeyColumn, KeyValue, SealedColumn, Sealer};
use regard_database::{ColumnData, Conflict, Engine, StoreError, Tx, Vault};
use regard_types::{Micros, RecordId, TenantId, Uuid};

/// Where texts lie.
pub(crate) const TEXT: SealedColumn = SealedColumn {
    table: "record_text",
    column: "bytes",
    key: &[
        KeyColumn::Text("kind"),
        KeyColumn::Uuid("id"),
        KeyColumn::I64("version"),
        KeyColumn::Text("part"),
    ],
};

fn key<'a>(kind: &'a str, id: Uuid, version: i64, part: &'a str) -> [KeyValue<'a>; 4] {
    [
        KeyValue::Text(kind),
        KeyValue::Uuid(id),
        KeyValue::I64(version),
        KeyValue::Text(part),
    ]
}

/// A text to be stored.
pub(crate) struct TextRow {
    /// The record.
    pub id: Uuid,
    /// The record's version.
    pub version: i64,
    /// Which text of the record it is.
    pub part: String,
    /// The text.
    pub text: String,
    /// When this text, which an earlier version may have had already, was recorded.
    pub recorded: Micros,
}

/// Stores the texts of records of one kind.
pub(crate) async fn put(
    tx: &Tx,
    sealer: &Sealer,
    tenant: TenantId,
    kind: &'static str,
    rows: Vec<TextRow>,
) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    sealer.fence(tx).await?;
    let (mut ids, mut versions, mut parts, mut texts) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut times = Vec::new();
    for TextRow {
        id,
        version,
        part,
        text,
        recorded,
    } in rows
    {
        let context = TEXT.context(&key(kind, id, version, &part));
        texts.push(sealer.seal(&context, text.as_bytes())?);
        ids.push(id);
        versions.push(version);
        parts.push(part);
        times.push(recorded.0);
    }
    let columns = [
        ("tenant", ColumnData::OneUuid(tenant.0)),
        ("kind", ColumnData::OneText(kind)),
        ("id", ids.into()),
        ("version", versions.into()),
        ("part", parts.into()),
        ("bytes", texts.into()),
        ("recorded", times.into()),
    ];
    tx.bulk_insert("record_text", &columns, Conflict::Fail)
        .await?;
    Ok(())
}

/// The texts of one version of a record, by part.
pub(crate) async fn of(
    tx: &Tx,
    vault: &Vault,
    tenant: TenantId,
    kind: &'static str,
    id: RecordId,
    version: i64,
) -> Result<Vec<(String, String)>, StoreError> {
    let rows = tx
        .fetch(
            "SELECT part, bytes FROM record_text WHERE tenant = $1 AND kind = $2 AND id = $3 AND version = $4",
            vec![tenant.0.into(), kind.into(), id.0.into(), version.into()],
        )
        .await?;
    let mut sealed: Vec<(String, Vec<u8>)> = Vec::with_capacity(rows.len());
    for row in &rows {
        sealed.push((row.get(0)?, row.get(1)?));
    }
    let all = sealed.iter().map(|(_, bytes)| bytes.as_slice());
    let opener = vault.opener(tx, tenant, all).await?;
    sealed
        .into_iter()
        .map(|(part, bytes)| {
            let context = TEXT.context(&key(kind, id.0, version, &part));
            let plain = opener.open(&context, &bytes)?;
            Ok((part, String::from_utf8(plain).map_err(StoreError::corrupt)?))
        })
        .collect()
}

/// Removes texts that were recorded before an instant, the oldest first, at most `limit`; the number removed. On
/// PostgreSQL those that somebody else works on are left for the next time.
pub(crate) async fn expire(
    tx: &Tx,
    tenant: TenantId,
    before: Micros,
    limit: i64,
) -> Result<u64, StoreError> {
    let sql = match tx.engine() {
        Engine::Sqlite => {
            "DELETE FROM record_text WHERE rowid IN \
             (SELECT rowid FROM record_text WHERE tenant = $1 AND recorded < $2 ORDER BY recorded LIMIT $3)"
        }
        Engine::Postgres => {
            "DELETE FROM record_text WHERE ctid = ANY(ARRAY(SELECT ctid FROM record_text \
             WHERE tenant = $1 AND recorded < $2 ORDER BY recorded LIMIT $3 FOR UPDATE SKIP LOCKED))"
        }
    };
    let values = vec![tenant.0.into(), before.0.into(), limit.into()];
    tx.run(sql, values).await
}
