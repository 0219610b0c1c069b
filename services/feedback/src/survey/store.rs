//! The tables `survey` and `survey_history`.

use prost::Message as _;
use regard_database::history::{self, Kept, Lock};
use regard_database::{Place, StoreError, Tx};
use regard_types::{Micros, RecordId, SourceKey, TenantId};
use sea_orm::entity::prelude::*;
use sea_orm::{ActiveValue::Set, QueryOrder as _, QuerySelect as _};

use super::domain::{Measured, NewSurvey, Question, QuestionKind, Scale, State, Survey};

#[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "survey")]
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
    pub name: String,
    pub state: String,
    pub questions: Vec<u8>,
}

#[derive(Copy, Clone, Debug, EnumIter, DeriveRelation)]
pub enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Kept for Entity {
    const TABLE: &'static str = "survey";
    const HISTORY: &'static str = "survey_history";
}

/// The questions as they are stored: fields may be added, never renumbered.
#[derive(Clone, PartialEq, prost::Message)]
struct StoredQuestions {
    #[prost(message, repeated, tag = "1")]
    questions: Vec<StoredQuestion>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct StoredQuestion {
    #[prost(string, tag = "1")]
    code: String,
    #[prost(string, tag = "2")]
    text: String,
    #[prost(string, tag = "3")]
    kind: String,
    #[prost(string, tag = "4")]
    metric: String,
    #[prost(string, tag = "5")]
    dimension: String,
    #[prost(int32, tag = "6")]
    min: i32,
    #[prost(int32, tag = "7")]
    max: i32,
    #[prost(bool, tag = "8")]
    reversed: bool,
}

fn encode(questions: &[Question]) -> Vec<u8> {
    let stored = |question: &Question| {
        let Question {
            code,
            text,
            kind,
            measured,
        } = question.clone();
        let measured = measured.unwrap_or(Measured {
            metric: String::new(),
            dimension: String::new(),
            scale: Scale {
                min: 0,
                max: 0,
                reversed: false,
            },
        });
        let Measured {
            metric,
            dimension,
            scale: Scale { min, max, reversed },
        } = measured;
        let kind = kind.as_str().to_owned();
        StoredQuestion {
            code,
            text,
            kind,
            metric,
            dimension,
            min,
            max,
            reversed,
        }
    };
    StoredQuestions {
        questions: questions.iter().map(stored).collect(),
    }
    .encode_to_vec()
}

fn decode(bytes: &[u8]) -> Result<Vec<Question>, StoreError> {
    let stored = StoredQuestions::decode(bytes).map_err(StoreError::corrupt)?;
    let question = |stored: StoredQuestion| {
        let StoredQuestion {
            code,
            text,
            kind,
            metric,
            dimension,
            min,
            max,
            reversed,
        } = stored;
        let kind = QuestionKind::parse(&kind)
            .ok_or_else(|| StoreError::corrupt("unknown kind of question"))?;
        let measured = (kind != QuestionKind::Text).then_some(Measured {
            metric,
            dimension,
            scale: Scale { min, max, reversed },
        });
        Ok(Question {
            code,
            text,
            kind,
            measured,
        })
    };
    stored.questions.into_iter().map(question).collect()
}

impl TryFrom<Model> for Survey {
    type Error = StoreError;

    fn try_from(row: Model) -> Result<Self, StoreError> {
        let Model {
            id,
            version,
            created,
            updated,
            source,
            external_id,
            name,
            state,
            questions,
            ..
        } = row;
        Ok(Self {
            id: RecordId(id),
            version,
            created: Micros(created),
            updated: Micros(updated),
            state: State::parse(&state)
                .ok_or_else(|| StoreError::corrupt("unknown state of a survey"))?,
            content: NewSurvey {
                key: SourceKey::stored(source, external_id),
                name,
                questions: decode(&questions)?,
            },
        })
    }
}

fn row(tenant: TenantId, place: Place, survey: &Survey) -> ActiveModel {
    let Survey {
        id,
        version,
        created,
        updated,
        state,
        content,
    } = survey;
    let NewSurvey {
        key,
        name,
        questions,
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
        name: Set(name.clone()),
        state: Set(state.as_str().to_owned()),
        questions: Set(encode(questions)),
    }
}

/// The current version; with `lock` nobody else changes it until this transaction ends.
pub(crate) async fn get(
    tx: &Tx,
    tenant: TenantId,
    id: RecordId,
    lock: Lock,
) -> Result<Option<Survey>, StoreError> {
    history::current::<Entity>(tx, tenant, id.0, lock)
        .await?
        .map(Survey::try_from)
        .transpose()
}

/// One version, current or former.
pub(crate) async fn version(
    tx: &Tx,
    tenant: TenantId,
    id: RecordId,
    version: i64,
) -> Result<Option<Survey>, StoreError> {
    history::version::<Entity>(tx, tenant, id.0, version)
        .await?
        .map(Survey::try_from)
        .transpose()
}

/// Stores a first version.
pub(crate) async fn insert(
    tx: &Tx,
    tenant: TenantId,
    place: Place,
    survey: &Survey,
) -> Result<(), StoreError> {
    Entity::insert(row(tenant, place, survey))
        .exec_without_returning(tx)
        .await?;
    Ok(())
}

/// Stores a further version; the one before goes to the history.
pub(crate) async fn revise(
    tx: &Tx,
    tenant: TenantId,
    place: Place,
    survey: &Survey,
) -> Result<(), StoreError> {
    let version = (survey.id.0, survey.version);
    history::revise::<Entity>(tx, tenant, version, row(tenant, place, survey)).await
}

/// Surveys by id, of one state or of all, after an id.
pub(crate) async fn list(
    tx: &Tx,
    tenant: TenantId,
    state: Option<State>,
    after: Option<RecordId>,
    limit: u64,
) -> Result<Vec<Survey>, StoreError> {
    let mut query = Entity::find().filter(Column::Tenant.eq(tenant.0));
    if let Some(state) = state {
        query = query.filter(Column::State.eq(state.as_str()));
    }
    if let Some(after) = after {
        query = query.filter(Column::Id.gt(after.0));
    }
    let rows = query.order_by_asc(Column::Id).limit(limit).all(tx).await?;
    rows.into_iter().map(Survey::try_from).collect()
}
