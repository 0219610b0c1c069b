//! Metrics on the wire.

use std::sync::Arc;

use regard_proto::common::v1 as common;
use regard_proto::scoring::v1 as pb;
use regard_proto::scoring::v1::metric_service_server::MetricService;
use regard_server::wire::{date, day};
use regard_server::{caller, status};
use regard_types::{Caller, Fault};
use tonic::{Request, Response, Status};

use super::app::{self, Question};
use super::domain::{Grouping, LEVEL, Measured, Value};
use crate::core::Core;
use crate::score::{Views, token};

/// The metric service.
pub struct Metrics {
    core: Arc<Core>,
    views: Views,
}

impl Metrics {
    /// Over the core.
    #[must_use]
    pub fn new(core: Arc<Core>) -> Self {
        Self {
            core,
            views: Views::default(),
        }
    }

    async fn query(
        &self,
        caller: &Caller,
        request: pb::QueryMetricRequest,
    ) -> Result<pb::QueryMetricResponse, Fault> {
        let question = question(&request)?;
        let token = token(&request.change_tokens)?;
        if !token.is_empty() {
            // What is read from now on rests on data at least this new.
            self.views.covering(&self.core, caller, &token).await?;
        }
        let measured = app::query(&self.core, caller, &question).await?;
        Ok(response(question.metric, measured))
    }
}

fn question(request: &pb::QueryMetricRequest) -> Result<Question, Fault> {
    let date = |field: &str, date: Option<&regard_proto::types::Date>| {
        date.map(|date| day(field, date)).transpose()
    };
    Ok(Question {
        metric: request.metric.clone(),
        from: date("from", request.from.as_ref())?,
        to: date("to", request.to.as_ref())?,
        as_of: date("as_of", request.as_of.as_ref())?,
        grouping: match pb::MetricGrouping::try_from(request.group_by) {
            Ok(pb::MetricGrouping::Unspecified) => Grouping::Whole,
            Ok(pb::MetricGrouping::Channel) => Grouping::Channel,
            Ok(pb::MetricGrouping::Dimension) => Grouping::Dimension,
            Err(_) => {
                return Err(Fault::invalid(
                    "group_by",
                    "must be a value of MetricGrouping",
                ));
            }
        },
        dimension: request.dimension.clone(),
        window: (request.window_days > 0).then_some(request.window_days),
    })
}

fn response(metric: String, m: Measured) -> pb::QueryMetricResponse {
    pb::QueryMetricResponse {
        metric,
        unit: m.unit,
        values: m.values.into_iter().map(value).collect(),
        from: m.span.from.map(date),
        to: Some(date(m.span.to)),
        as_of: Some(date(m.span.as_of)),
        definition_version: m.version,
        method: m.method,
    }
}

fn value(v: Value) -> pb::MetricValue {
    pb::MetricValue {
        group: v.group,
        value: v.value.filter(|v| v.is_finite()),
        n: v.n,
        interval: v.interval.map(|(low, high)| common::Interval {
            low,
            high,
            level: LEVEL,
        }),
        suppressed: v.suppressed,
        parts: v
            .parts
            .into_iter()
            .map(|(name, value)| pb::Parameter {
                name: name.to_owned(),
                value,
            })
            .collect(),
        reason: v.reason,
    }
}

#[tonic::async_trait]
impl MetricService for Metrics {
    async fn query_metric(
        &self,
        request: Request<pb::QueryMetricRequest>,
    ) -> Result<Response<pb::QueryMetricResponse>, Status> {
        let caller = caller(&request)?;
        let answer = self
            .query(&caller, request.into_inner())
            .await
            .map_err(status)?;
        Ok(Response::new(answer))
    }
}
