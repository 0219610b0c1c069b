//! All records, current and former versions, as the changes that wrote them.

use std::marker::PhantomData;
use std::sync::Arc;

use async_trait::async_trait;
use regard_database::feed::ChangeRow;
use regard_database::feed::snapshot::{Key, Source};
use regard_database::history::{self, Kept, Paged, Part};
use regard_database::{StoreError, Tx};
use regard_types::{CustomerId, Micros, RecordId, TenantId};

use super::measures;
use crate::complaint::{self, Complaint};
use crate::erasure::Erasures;
use crate::feedback_item::{self, FeedbackItem};
use crate::response::{self, Response};
use crate::survey::{self, Survey, Surveys};

/// The tables in their order: current rows of every kind, then the history. The order is part of resume tokens: only
/// ever append.
pub(super) fn sources(surveys: &Surveys) -> Vec<Arc<dyn Source>> {
    let mut all: Vec<Arc<dyn Source>> = Vec::new();
    for part in [Part::Current, Part::Former] {
        all.push(Arc::new(Rows::<survey::Entity>::of(part, surveys)));
        all.push(Arc::new(Rows::<response::Entity>::of(part, surveys)));
        all.push(Arc::new(Rows::<feedback_item::Entity>::of(part, surveys)));
        all.push(Arc::new(Rows::<complaint::Entity>::of(part, surveys)));
    }
    all.push(Arc::new(Erasures));
    all
}

struct Rows<E> {
    part: Part,
    surveys: Surveys,
    entity: PhantomData<fn() -> E>,
}

impl<E> Rows<E> {
    fn of(part: Part, surveys: &Surveys) -> Self {
        Self {
            part,
            surveys: surveys.clone(),
            entity: PhantomData,
        }
    }
}

/// A version as the feed tells it.
struct Told {
    kind: &'static str,
    id: RecordId,
    version: i64,
    customer: Option<CustomerId>,
    occurred_at: Micros,
    recorded_at: Micros,
    measures: Vec<u8>,
}

/// An entity whose rows are told.
#[async_trait]
trait Tell: Kept {
    async fn tell(
        tx: &Tx,
        surveys: &Surveys,
        tenant: TenantId,
        model: Self::Model,
    ) -> Result<Told, StoreError>;
}

#[async_trait]
impl Tell for survey::Entity {
    async fn tell(
        _: &Tx,
        _: &Surveys,
        _: TenantId,
        model: Self::Model,
    ) -> Result<Told, StoreError> {
        let survey = Survey::try_from(model)?;
        Ok(Told {
            kind: survey::KIND,
            id: survey.id,
            version: survey.version,
            customer: None,
            occurred_at: survey.updated,
            recorded_at: survey.updated,
            measures: measures::survey(&survey),
        })
    }
}

#[async_trait]
impl Tell for response::Entity {
    async fn tell(
        tx: &Tx,
        surveys: &Surveys,
        tenant: TenantId,
        model: Self::Model,
    ) -> Result<Told, StoreError> {
        let response = Response::try_from(model)?;
        let survey = surveys.read(tx, tenant, response.content.survey).await?;
        let survey = survey.ok_or_else(|| StoreError::corrupt("a response without its survey"))?;
        Ok(Told {
            kind: response::KIND,
            id: response.id,
            version: response.version,
            customer: response.content.customer,
            occurred_at: response.content.answered,
            recorded_at: response.updated,
            measures: measures::response(&survey, &response.content),
        })
    }
}

#[async_trait]
impl Tell for feedback_item::Entity {
    async fn tell(
        _: &Tx,
        _: &Surveys,
        _: TenantId,
        model: Self::Model,
    ) -> Result<Told, StoreError> {
        let item = FeedbackItem::try_from(model)?;
        Ok(Told {
            kind: feedback_item::KIND,
            id: item.id,
            version: item.version,
            customer: item.content.customer,
            occurred_at: item.content.said,
            recorded_at: item.updated,
            measures: measures::feedback_item(&item),
        })
    }
}

#[async_trait]
impl Tell for complaint::Entity {
    async fn tell(
        _: &Tx,
        _: &Surveys,
        _: TenantId,
        model: Self::Model,
    ) -> Result<Told, StoreError> {
        let complaint = Complaint::try_from(model)?;
        Ok(Told {
            kind: complaint::KIND,
            id: complaint.id,
            version: complaint.version,
            customer: complaint.content.customer,
            occurred_at: complaint.content.opened,
            recorded_at: complaint.updated,
            measures: measures::complaint(&complaint),
        })
    }
}

#[async_trait]
impl<E: Tell> Source for Rows<E> {
    async fn page(
        &self,
        tx: &Tx,
        tenant: Option<TenantId>,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<Vec<(Key, ChangeRow)>, StoreError> {
        let mut rows = Vec::new();
        for row in history::page::<E>(tx, self.part, tenant, after, limit).await? {
            let Paged {
                key,
                tenant,
                place,
                model,
            } = row;
            let Told {
                kind,
                id,
                version,
                customer,
                occurred_at,
                recorded_at,
                measures,
            } = E::tell(tx, &self.surveys, tenant, model).await?;
            let change = ChangeRow {
                lane: place.lane,
                position: place.position,
                nonce: 0,
                tenant,
                kind: kind.to_owned(),
                record: id,
                version,
                customer,
                occurred_at,
                recorded_at,
                measures,
                trace: None,
            };
            rows.push((key, change));
        }
        Ok(rows)
    }
}
