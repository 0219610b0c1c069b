//! The tables `complaint` and `complaint_history`; what was complained of and how it was resolved lie in `record_text`.

use regard_database::history::{self, Kept, Lock};
use regard_database::vault::Sealer;
use regard_database::{Place, StoreError, Tx, Vault};
use regard_types::{Channel, CustomerId, Micros, RecordId, SourceKey, TenantId};
use sea_orm::ActiveValue::Set;
use sea_orm::entity::prelude::*;

use super::KIND;
use super::domain::{Complaint, NewComplaint, Resolution, State};
use crate::text::{self, TextRow};

const TEXT: &str = "text";
const RESOLUTION: &str = "resolution";

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "complaint")]
pub struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub tenant: Uuid,
    #[sea_orm(primary_key, auto_increment = false)]
    pub id: Uuid,
    pub version: i64,
    pub lane: i64,
    pub position: i64,
    pub created: i64,
    pub updated: i64,
    pub source: Option<String>,
    pub external_id: Option<String>,
    pub customer: Option<Uuid>,
    pub reason: String,
    pub severity: i64,
    pub channel: Option<String>,
    pub opened: i64,
    pub state: String,
    pub resolved: Option<i64>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Kept for Entity {
    const TABLE: &'static str = "complaint";
    const HISTORY: &'static str = "complaint_history";
}

impl TryFrom<Model> for Complaint {
    type Error = StoreError;

    /// Without its texts.
    fn try_from(row: Model) -> Result<Self, StoreError> {
        let Model {
            id,
            version,
            created,
            updated,
            source,
            external_id,
            customer,
            ..
        } = row;
        let Model {
            reason,
            severity,
            channel,
            opened,
            state,
            resolved,
            ..
        } = row;
        Ok(Self {
            id: RecordId(id),
            version,
            created: Micros(created),
            updated: Micros(updated),
            content: NewComplaint {
                key: SourceKey::stored(source, external_id),
                customer: customer.map(CustomerId),
                text: String::new(),
                reason,
                severity: i32::try_from(severity).map_err(StoreError::corrupt)?,
                channel: channel
                    .as_deref()
                    .map(Channel::parse)
                    .transpose()
                    .map_err(StoreError::corrupt)?,
                opened: Micros(opened),
            },
            state: State::parse(&state)
                .ok_or_else(|| StoreError::corrupt("unknown state of a complaint"))?,
            resolution: resolved.map(|at| Resolution {
                at: Micros(at),
                text: String::new(),
            }),
        })
    }
}

async fn with_texts(
    tx: &Tx,
    (vault, tenant): (&Vault, TenantId),
    row: Option<Model>,
) -> Result<Option<Complaint>, StoreError> {
    let Some(row) = row else { return Ok(None) };
    let mut complaint = Complaint::try_from(row)?;
    for (part, text) in text::of(tx, vault, tenant, KIND, complaint.id, complaint.version).await? {
        match (part.as_str(), &mut complaint.resolution) {
            (TEXT, _) => complaint.content.text = text,
            (RESOLUTION, Some(resolution)) => resolution.text = text,
            _ => {}
        }
    }
    Ok(Some(complaint))
}

fn row(tenant: TenantId, place: Place, complaint: &Complaint) -> ActiveModel {
    let Complaint {
        id,
        version,
        created,
        updated,
        content,
        state,
        resolution,
    } = complaint;
    let NewComplaint {
        key,
        customer,
        text: _,
        reason,
        severity,
        channel,
        opened,
    } = content;
    ActiveModel {
        tenant: Set(tenant.0),
        id: Set(id.0),
        version: Set(*version),
        lane: Set(place.lane.into()),
        position: Set(place.position.cast_signed()),
        created: Set(created.0),
        updated: Set(updated.0),
        source: Set(key.as_ref().map(|k| k.source.clone())),
        external_id: Set(key.as_ref().map(|k| k.external_id.clone())),
        customer: Set(customer.map(|c| c.0)),
        reason: Set(reason.clone()),
        severity: Set((*severity).into()),
        channel: Set(channel.map(|c| c.as_str().to_owned())),
        opened: Set(opened.0),
        state: Set(state.as_str().to_owned()),
        resolved: Set(resolution.as_ref().map(|r| r.at.0)),
    }
}

/// Every version has all its texts, so that a version is read and erased by itself. A text that is kept no longer is not
/// carried along.
async fn put_texts(
    tx: &Tx,
    (sealer, tenant): (&Sealer, TenantId),
    complaint: &Complaint,
) -> Result<(), StoreError> {
    let text = |part: &str, text: &str, recorded: Micros| TextRow {
        id: complaint.id.0,
        version: complaint.version,
        part: part.to_owned(),
        text: text.to_owned(),
        recorded,
    };
    // Nothing but its resolution makes a further version.
    let mut rows = vec![text(TEXT, &complaint.content.text, complaint.created)];
    if let Some(resolution) = &complaint.resolution {
        rows.push(text(RESOLUTION, &resolution.text, complaint.updated));
    }
    rows.retain(|row| !row.text.is_empty());
    text::put(tx, sealer, tenant, KIND, rows).await
}

/// The current version; with `lock` nobody else changes it until this transaction ends.
pub(crate) async fn get(
    tx: &Tx,
    (vault, tenant): (&Vault, TenantId),
    id: RecordId,
    lock: Lock,
) -> Result<Option<Complaint>, StoreError> {
    let row = history::current::<Entity>(tx, tenant, id.0, lock).await?;
    with_texts(tx, (vault, tenant), row).await
}

/// One version, current or former.
pub(crate) async fn version(
    tx: &Tx,
    (vault, tenant): (&Vault, TenantId),
    id: RecordId,
    version: i64,
) -> Result<Option<Complaint>, StoreError> {
    let row = history::version::<Entity>(tx, tenant, id.0, version).await?;
    with_texts(tx, (vault, tenant), row).await
}

/// Stores a first version.
pub(crate) async fn insert(
    tx: &Tx,
    (sealer, tenant): (&Sealer, TenantId),
    place: Place,
    complaint: &Complaint,
) -> Result<(), StoreError> {
    Entity::insert(row(tenant, place, complaint))
        .exec_without_returning(tx)
        .await?;
    put_texts(tx, (sealer, tenant), complaint).await
}

/// Stores a further version; the one before goes to the history.
pub(crate) async fn revise(
    tx: &Tx,
    (sealer, tenant): (&Sealer, TenantId),
    place: Place,
    complaint: &Complaint,
) -> Result<(), StoreError> {
    let version = (complaint.id.0, complaint.version);
    history::revise::<Entity>(tx, tenant, version, row(tenant, place, complaint)).await?;
    put_texts(tx, (sealer, tenant), complaint).await
}
