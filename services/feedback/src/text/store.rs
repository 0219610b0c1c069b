//! The table `record_text`: one row a text of one version of one record.

use regard_database::{ColumnData, Conflict, StoreError, Tx};
use regard_types::{RecordId, TenantId, Uuid};

/// A text to be stored.
#[derive(Debug)]
pub(crate) struct TextRow {
    /// The record.
    pub id: Uuid,
    /// The record's version.
    pub version: i64,
    /// Which text of the record it is.
    pub part: String,
    /// The text.
    pub text: String,
}

/// Stores the texts of records of one kind.
pub(crate) async fn put(
    tx: &Tx,
    tenant: TenantId,
    kind: &'static str,
    rows: Vec<TextRow>,
) -> Result<(), StoreError> {
    if rows.is_empty() {
        return Ok(());
    }
    let (mut ids, mut versions, mut parts, mut texts) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for TextRow {
        id,
        version,
        part,
        text,
    } in rows
    {
        ids.push(id);
        versions.push(version);
        parts.push(part);
        texts.push(text.into_bytes());
    }
    let columns = [
        ("tenant", ColumnData::OneUuid(tenant.0)),
        ("kind", ColumnData::OneText(kind)),
        ("id", ids.into()),
        ("version", versions.into()),
        ("part", parts.into()),
        ("bytes", texts.into()),
    ];
    tx.bulk_insert("record_text", &columns, Conflict::Fail)
        .await?;
    Ok(())
}

/// The texts of one version of a record, by part.
pub(crate) async fn of(
    tx: &Tx,
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
    rows.iter()
        .map(|row| {
            let text = String::from_utf8(row.get::<Vec<u8>>(1)?).map_err(StoreError::corrupt)?;
            Ok((row.get::<String>(0)?, text))
        })
        .collect()
}
