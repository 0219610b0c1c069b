//! The tables `feedback_item` and `feedback_item_history`; what was said lies in `record_text`.

use regard_database::history::{self, Kept, Lock};
use regard_database::vault::Sealer;
use regard_database::{Place, StoreError, Tx, Vault};
use regard_types::{Channel, CustomerId, Micros, RecordId, SourceKey, TenantId};
use sea_orm::ActiveValue::Set;
use sea_orm::entity::prelude::*;

use super::KIND;
use super::domain::{FeedbackItem, FeedbackKind, NewItem};
use crate::text::{self, TextRow};

/// The only text of an item.
const SAID: &str = "text";

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "feedback_item")]
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
    pub kind: String,
    pub channel: Option<String>,
    pub rating: Option<i64>,
    pub said: i64,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Kept for Entity {
    const TABLE: &'static str = "feedback_item";
    const HISTORY: &'static str = "feedback_item_history";
}

impl TryFrom<Model> for FeedbackItem {
    type Error = StoreError;

    /// Without its text.
    fn try_from(row: Model) -> Result<Self, StoreError> {
        let Model {
            id,
            version,
            created,
            updated,
            source,
            external_id,
            customer,
            kind,
            channel,
            rating,
            said,
            ..
        } = row;
        Ok(Self {
            id: RecordId(id),
            version,
            created: Micros(created),
            updated: Micros(updated),
            content: NewItem {
                key: SourceKey::stored(source, external_id),
                customer: customer.map(CustomerId),
                kind: FeedbackKind::parse(&kind)
                    .ok_or_else(|| StoreError::corrupt("unknown kind of feedback"))?,
                text: String::new(),
                rating: rating
                    .map(i32::try_from)
                    .transpose()
                    .map_err(StoreError::corrupt)?,
                channel: channel
                    .as_deref()
                    .map(Channel::parse)
                    .transpose()
                    .map_err(StoreError::corrupt)?,
                said: Micros(said),
            },
        })
    }
}

async fn with_text(
    tx: &Tx,
    (vault, tenant): (&Vault, TenantId),
    row: Option<Model>,
) -> Result<Option<FeedbackItem>, StoreError> {
    let Some(row) = row else { return Ok(None) };
    let mut item = FeedbackItem::try_from(row)?;
    for (part, text) in text::of(tx, vault, tenant, KIND, item.id, item.version).await? {
        if part == SAID {
            item.content.text = text;
        }
    }
    Ok(Some(item))
}

/// The current version.
pub(crate) async fn get(
    tx: &Tx,
    (vault, tenant): (&Vault, TenantId),
    id: RecordId,
) -> Result<Option<FeedbackItem>, StoreError> {
    let row = history::current::<Entity>(tx, tenant, id.0, Lock::No).await?;
    with_text(tx, (vault, tenant), row).await
}

/// One version, current or former.
pub(crate) async fn version(
    tx: &Tx,
    (vault, tenant): (&Vault, TenantId),
    id: RecordId,
    version: i64,
) -> Result<Option<FeedbackItem>, StoreError> {
    let row = history::version::<Entity>(tx, tenant, id.0, version).await?;
    with_text(tx, (vault, tenant), row).await
}

/// Stores a first version.
pub(crate) async fn insert(
    tx: &Tx,
    (sealer, tenant): (&Sealer, TenantId),
    place: Place,
    item: &FeedbackItem,
) -> Result<(), StoreError> {
    let FeedbackItem {
        id,
        version,
        created,
        updated,
        content,
    } = item;
    let NewItem {
        key,
        customer,
        kind,
        text,
        rating,
        channel,
        said,
    } = content;
    let row = ActiveModel {
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
        kind: Set(kind.as_str().to_owned()),
        channel: Set(channel.map(|c| c.as_str().to_owned())),
        rating: Set(rating.map(i64::from)),
        said: Set(said.0),
    };
    Entity::insert(row).exec_without_returning(tx).await?;
    let text = TextRow {
        id: id.0,
        version: *version,
        part: SAID.to_owned(),
        text: text.clone(),
        recorded: *updated,
    };
    text::put(tx, sealer, tenant, KIND, vec![text]).await
}
