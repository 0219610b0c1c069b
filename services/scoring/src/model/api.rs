//! Models on the wire.

use std::sync::Arc;

use regard_models::Grade;
use regard_proto::scoring::v1 as pb;
use regard_proto::scoring::v1::model_service_server::ModelService;
use regard_server::wire::{date, day, timestamp};
use regard_server::{caller, command, status};
use regard_types::{Caller, Day, Fault, Uuid};
use tonic::{Request, Response, Status};

use super::app;
use super::domain::{Estimate, HoldOut, ModelKind, ModelRecord};
use crate::core::Core;
use crate::operation::{self, domain::Task};
use crate::tenant;

const FIT: &str = "regard.scoring.v1.ModelService/FitModel";
const RESCORE: &str = "regard.scoring.v1.ModelService/RescoreAll";

/// The model service.
pub struct Models(Arc<Core>);

impl Models {
    /// Over the core.
    #[must_use]
    pub fn new(core: Arc<Core>) -> Self {
        Self(core)
    }

    async fn day(
        &self,
        caller: &Caller,
        asked: Option<&regard_proto::types::Date>,
    ) -> Result<Option<Day>, Fault> {
        let Some(asked) = asked else { return Ok(None) };
        let asked = day("as_of", asked)?;
        let tx = self.0.db.read(caller).await?;
        let state = tenant::store::get(&tx, caller.tenant).await?;
        let clock = self.0.clock();
        // A pinned day does not hide what is known: history may be looked at from a day before or after it.
        let last = state.map_or_else(
            || Day::of(clock.now(), &regard_types::Zone::utc()),
            |s| s.today(clock).max(Day::of(clock.now(), &s.zone)),
        );
        if asked > last {
            return Err(Fault::invalid(
                "as_of",
                format!("must not lie after {last}: customers have not been observed so far"),
            ));
        }
        Ok(Some(asked))
    }
}

fn kind(number: i32) -> Option<ModelKind> {
    match pb::ModelKind::try_from(number) {
        Ok(pb::ModelKind::Bgnbd) => Some(ModelKind::Bgnbd),
        Ok(pb::ModelKind::Mbgnbd) => Some(ModelKind::Mbgnbd),
        Ok(pb::ModelKind::GammaGamma) => Some(ModelKind::GammaGamma),
        Ok(pb::ModelKind::Rfm) => Some(ModelKind::Rfm),
        Ok(pb::ModelKind::Unspecified) | Err(_) => None,
    }
}

fn wire_kind(kind: ModelKind) -> pb::ModelKind {
    match kind {
        ModelKind::Bgnbd => pb::ModelKind::Bgnbd,
        ModelKind::Mbgnbd => pb::ModelKind::Mbgnbd,
        ModelKind::GammaGamma => pb::ModelKind::GammaGamma,
        ModelKind::Rfm => pb::ModelKind::Rfm,
    }
}

fn wire_grade(grade: Grade) -> pb::Grade {
    match grade {
        Grade::A => pb::Grade::A,
        Grade::B => pb::Grade::B,
        Grade::C => pb::Grade::C,
        Grade::D => pb::Grade::D,
        Grade::E => pb::Grade::E,
    }
}

fn wire_estimates(estimates: &[Estimate]) -> Vec<pb::Estimate> {
    estimates
        .iter()
        .map(|e| pb::Estimate {
            name: e.name.clone(),
            value: e.value,
            standard_error: e.standard_error,
        })
        .collect()
}

fn wire_hold_out(h: &HoldOut) -> pb::HoldOut {
    let group = |g: &super::domain::HoldOutGroup| pb::HoldOutGroup {
        purchases: g.purchases,
        customers: g.customers,
        predicted: g.predicted,
        actual: g.actual,
    };
    pb::HoldOut {
        from: Some(date(h.from)),
        to: Some(date(h.to)),
        predicted_total: h.predicted_total,
        actual_total: h.actual_total,
        rmse: h.rmse,
        correlation: h.correlation,
        auc: h.auc,
        customers: h.customers,
        weeks: h.weeks,
        mae: h.mae,
        log_score: h.log_score,
        serving_log_score: h.serving_log_score,
        groups: h.groups.iter().map(group).collect(),
        parameters: wire_estimates(&h.estimates),
    }
}

/// The model on the wire.
#[must_use]
pub fn to_wire(model: &ModelRecord) -> pb::Model {
    pb::Model {
        id: model.id.to_string(),
        kind: wire_kind(model.kind).into(),
        parameters: wire_estimates(&model.estimates),
        log_likelihood: model.log_likelihood,
        n: model.n,
        as_of: Some(date(model.as_of)),
        grade: wire_grade(model.grade).into(),
        reasons: model.reasons.clone(),
        serving: model.serving,
        hold_out: model.hold_out.as_ref().map(wire_hold_out),
        create_time: Some(timestamp(model.created)),
    }
}

#[tonic::async_trait]
impl ModelService for Models {
    async fn fit_model(
        &self,
        request: Request<pb::FitModelRequest>,
    ) -> Result<Response<pb::FitModelResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let kind = kind(request.kind)
            .ok_or_else(|| status(Fault::invalid("kind", "must be a model's kind")))?;
        let as_of = self
            .day(&caller, request.as_of.as_ref())
            .await
            .map_err(status)?;
        let asked = operation::app::ask(
            &self.0,
            &caller,
            command(&request, FIT),
            Task::Fit(kind, as_of),
        )
        .await;
        let operation = Some(operation::api::to_wire(&asked.map_err(status)?).map_err(status)?);
        Ok(Response::new(pb::FitModelResponse { operation }))
    }

    async fn rescore_all(
        &self,
        request: Request<pb::RescoreAllRequest>,
    ) -> Result<Response<pb::RescoreAllResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let asked =
            operation::app::ask(&self.0, &caller, command(&request, RESCORE), Task::Rescore).await;
        let operation = Some(operation::api::to_wire(&asked.map_err(status)?).map_err(status)?);
        Ok(Response::new(pb::RescoreAllResponse { operation }))
    }

    async fn get_model(
        &self,
        request: Request<pb::GetModelRequest>,
    ) -> Result<Response<pb::GetModelResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let id = match request.id.as_str() {
            "" => None,
            id => Some(
                Uuid::try_parse(id).map_err(|_| status(Fault::invalid("id", "must be a UUID")))?,
            ),
        };
        let model = app::get(&self.0, &caller, id, kind(request.kind))
            .await
            .map_err(status)?;
        Ok(Response::new(pb::GetModelResponse {
            model: Some(to_wire(&model)),
        }))
    }
}
