//! The tables `response` and `response_history`; texts lie in `record_text`. Writes are in bulk: a single response is a
//! batch of one.

use std::collections::{HashMap, HashSet};

use prost::Message as _;
use regard_database::history::{self, Kept, Lock};
use regard_database::vault::Sealer;
use regard_database::{Conflict, Engine, Place, StoreError, Tx, Vault};
use regard_types::{Channel, CustomerId, Micros, RecordId, SourceKey, TenantId};
use sea_orm::entity::prelude::*;

use super::KIND;
use super::domain::{Answer, NewResponse, Response, Value};
use crate::text::{self, TextRow};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "response")]
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
    pub survey: Uuid,
    pub customer: Option<Uuid>,
    pub answered: i64,
    pub channel: Option<String>,
    pub answers: Vec<u8>,
    pub revision: i64,
    pub digest: Vec<u8>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Kept for Entity {
    const TABLE: &'static str = "response";
    const HISTORY: &'static str = "response_history";
}

/// The answers as they are stored, texts left out: fields may be added, never renumbered.
#[derive(Clone, PartialEq, prost::Message)]
struct StoredAnswers {
    #[prost(message, repeated, tag = "1")]
    answers: Vec<StoredAnswer>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct StoredAnswer {
    #[prost(string, tag = "1")]
    question: String,
    /// Absent where the answer is a text.
    #[prost(sint32, optional, tag = "2")]
    number: Option<i32>,
}

fn encode(answers: &[Answer]) -> Vec<u8> {
    let stored = |answer: &Answer| StoredAnswer {
        question: answer.question.clone(),
        number: match &answer.value {
            Value::Number(number) => Some(*number),
            Value::Text(_) => None,
        },
    };
    StoredAnswers {
        answers: answers.iter().map(stored).collect(),
    }
    .encode_to_vec()
}

impl TryFrom<Model> for Response {
    type Error = StoreError;

    /// Texts are empty.
    fn try_from(row: Model) -> Result<Self, StoreError> {
        let Model {
            id,
            version,
            created,
            updated,
            source,
            external_id,
            survey,
            customer,
            ..
        } = row;
        let Model {
            answered,
            channel,
            answers,
            revision,
            ..
        } = row;
        let stored = StoredAnswers::decode(answers.as_slice()).map_err(StoreError::corrupt)?;
        let answer = |StoredAnswer { question, number }| Answer {
            question,
            value: number.map_or_else(|| Value::Text(String::new()), Value::Number),
        };
        Ok(Self {
            id: RecordId(id),
            version,
            created: Micros(created),
            updated: Micros(updated),
            content: NewResponse {
                key: SourceKey::stored(source, external_id),
                survey: RecordId(survey),
                customer: customer.map(CustomerId),
                answered: Micros(answered),
                channel: channel
                    .as_deref()
                    .map(Channel::parse)
                    .transpose()
                    .map_err(StoreError::corrupt)?,
                answers: stored.answers.into_iter().map(answer).collect(),
                revision,
            },
        })
    }
}

async fn with_texts(
    tx: &Tx,
    (vault, tenant): (&Vault, TenantId),
    row: Option<Model>,
) -> Result<Option<Response>, StoreError> {
    let Some(row) = row else { return Ok(None) };
    let mut response = Response::try_from(row)?;
    if response
        .content
        .answers
        .iter()
        .any(|a| matches!(a.value, Value::Text(_)))
    {
        let texts = text::of(tx, vault, tenant, KIND, response.id, response.version).await?;
        let mut texts: HashMap<_, _> = texts.into_iter().collect();
        for answer in &mut response.content.answers {
            if let Value::Text(text) = &mut answer.value {
                *text = texts.remove(&answer.question).unwrap_or_default();
            }
        }
    }
    Ok(Some(response))
}

/// The current version.
pub(crate) async fn get(
    tx: &Tx,
    (vault, tenant): (&Vault, TenantId),
    id: RecordId,
) -> Result<Option<Response>, StoreError> {
    let row = history::current::<Entity>(tx, tenant, id.0, Lock::No).await?;
    with_texts(tx, (vault, tenant), row).await
}

/// One version, current or former.
pub(crate) async fn version(
    tx: &Tx,
    (vault, tenant): (&Vault, TenantId),
    id: RecordId,
    version: i64,
) -> Result<Option<Response>, StoreError> {
    let row = history::version::<Entity>(tx, tenant, id.0, version).await?;
    with_texts(tx, (vault, tenant), row).await
}

/// What a write needs to know of a stored response.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Head {
    pub version: i64,
    pub revision: i64,
    pub customer: Option<CustomerId>,
    pub created: Micros,
    pub digest: [u8; 32],
}

/// The current versions of those ids that are stored, locked in id order until this transaction ends.
pub(crate) async fn heads(
    tx: &Tx,
    tenant: TenantId,
    ids: &[Uuid],
) -> Result<HashMap<Uuid, Head>, StoreError> {
    // On PostgreSQL the ids are looked up one after another, in their order. SQLite has no row locks and needs none.
    let sql = match tx.engine() {
        Engine::Sqlite => {
            "SELECT id, version, revision, customer, created, digest FROM response WHERE tenant = $1 AND id {in}"
        }
        Engine::Postgres => {
            "SELECT id, version, revision, customer, created, digest FROM response \
             WHERE tenant = $1 AND id {in} FOR UPDATE"
        }
    };
    let rows = tx.fetch_in(sql, vec![tenant.0.into()], ids).await?;
    let head = |row: &regard_database::Row| {
        let head = Head {
            version: row.get(1)?,
            revision: row.get(2)?,
            customer: row.get::<Option<Uuid>>(3)?.map(CustomerId),
            created: Micros(row.get(4)?),
            digest: row.digest(5)?,
        };
        Ok((row.get(0)?, head))
    };
    rows.iter().map(head).collect()
}

/// The contents of former versions: (id, digest).
pub(crate) async fn former_digests(
    tx: &Tx,
    tenant: TenantId,
    ids: &[Uuid],
) -> Result<HashSet<(Uuid, [u8; 32])>, StoreError> {
    if ids.is_empty() {
        return Ok(HashSet::new());
    }
    let sql = "SELECT id, digest FROM response_history WHERE tenant = $1 AND id {in}";
    let rows = tx.fetch_in(sql, vec![tenant.0.into()], ids).await?;
    rows.iter()
        .map(|row| Ok((row.get(0)?, row.digest(1)?)))
        .collect()
}

/// A version to be written.
#[derive(Debug)]
pub(crate) struct NewVersion<'a> {
    pub id: Uuid,
    pub version: i64,
    pub revision: i64,
    pub created: Micros,
    pub place: Place,
    pub digest: [u8; 32],
    pub content: &'a NewResponse,
}

/// Stores versions, sorted by id: first ones as new rows, others in place of the one before, which goes to the history.
pub(crate) async fn write(
    tx: &Tx,
    (sealer, tenant): (&Sealer, TenantId),
    now: Micros,
    versions: &[NewVersion<'_>],
) -> Result<(), StoreError> {
    let (first, further): (Vec<_>, Vec<_>) = versions.iter().partition(|v| v.version == 1);
    if !first.is_empty() {
        let columns = columns(tenant, now, &first);
        tx.bulk_insert("response", &columns, Conflict::Fail).await?;
    }
    if !further.is_empty() {
        let ids: Vec<_> = further.iter().map(|v| v.id).collect();
        history::keep::<Entity>(tx, tenant, &ids).await?;
        // The rows are locked since `heads`, so that none of them is missing and none is new.
        let conflict = Conflict::Update {
            key: &["tenant", "id"],
            set: CHANGING,
        };
        tx.bulk_insert("response", &columns(tenant, now, &further), conflict)
            .await?;
    }
    let mut texts = Vec::new();
    for v in versions {
        for answer in &v.content.answers {
            if let Value::Text(text) = &answer.value {
                let (part, text) = (answer.question.clone(), text.clone());
                texts.push(TextRow {
                    id: v.id,
                    version: v.version,
                    part,
                    text,
                    recorded: now,
                });
            }
        }
    }
    text::put(tx, sealer, tenant, KIND, texts).await
}

/// What a further version may change: all but the key, `created` and the customer.
const CHANGING: &[&str] = &[
    "version",
    "lane",
    "position",
    "updated",
    "source",
    "external_id",
    "survey",
    "answered",
    "channel",
    "answers",
    "revision",
    "digest",
];

type Columns<'a> = [(&'static str, regard_database::ColumnData<'a>); 16];

fn columns<'a>(tenant: TenantId, now: Micros, versions: &[&NewVersion<'a>]) -> Columns<'a> {
    use regard_database::ColumnData;
    fn each<'a, T>(versions: &[&NewVersion<'a>], value: impl Fn(&NewVersion<'a>) -> T) -> Vec<T> {
        versions.iter().map(|v| value(v)).collect()
    }
    let key = |v: &NewVersion<'a>| v.content.key.as_ref();
    [
        ("tenant", ColumnData::OneUuid(tenant.0)),
        ("id", each(versions, |v| v.id).into()),
        ("version", each(versions, |v| v.version).into()),
        ("lane", each(versions, |v| i64::from(v.place.lane)).into()),
        (
            "position",
            each(versions, |v| v.place.position.cast_signed()).into(),
        ),
        ("created", each(versions, |v| v.created.0).into()),
        ("updated", ColumnData::OneI64(now.0)),
        (
            "source",
            each(versions, |v| key(v).map(|k| k.source.as_str())).into(),
        ),
        (
            "external_id",
            each(versions, |v| key(v).map(|k| k.external_id.as_str())).into(),
        ),
        ("survey", each(versions, |v| v.content.survey.0).into()),
        (
            "customer",
            each(versions, |v| v.content.customer.map(|c| c.0)).into(),
        ),
        ("answered", each(versions, |v| v.content.answered.0).into()),
        (
            "channel",
            each(versions, |v| v.content.channel.map(Channel::as_str)).into(),
        ),
        (
            "answers",
            each(versions, |v| encode(&v.content.answers)).into(),
        ),
        ("revision", each(versions, |v| v.revision).into()),
        ("digest", each(versions, |v| v.digest.to_vec()).into()),
    ]
}
