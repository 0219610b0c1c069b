//! Operations on the wire.

use std::sync::Arc;
use std::time::Duration;

use prost::Message as _;
use regard_proto::google::longrunning as lro;
use regard_proto::scoring::v1 as pb;
use regard_proto::scoring::v1::operation_service_server::OperationService;
use regard_server::{caller, command, status};
use regard_types::{Fault, Uuid};
use tonic::{Request, Response, Status};

use super::app;
use super::domain::{Operation, State};
use crate::core::Core;

/// How long is waited unless the caller says.
const USUAL_WAIT: Duration = Duration::from_secs(30);
/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
const CANCEL: &str = "regard.scoring.v1.OperationService/CancelOperation";
const TYPES: &str = "type.googleapis.com/";

/// The operation service.
pub struct Operations(Arc<Core>);

impl Operations {
    /// Over the core.
    #[must_use]
    pub fn new(core: Arc<Core>) -> Self {
        Self(core)
    }
}

/// A message in an Any.
pub fn any<M: prost::Message>(name: &str, message: &M) -> prost_types::Any {
    prost_types::Any {
        type_url: format!("{TYPES}{name}"),
        value: message.encode_to_vec(),
    }
}

/// The operation on the wire.
///
/// # Errors
/// A result that cannot be read: a fault of ours.
pub fn to_wire(operation: &Operation) -> Result<lro::Operation, Fault> {
    let progress = pb::OperationProgress {
        done: operation.progress.done,
        total: operation.progress.total,
        step: operation.progress.step.clone(),
    };
    let bytes = operation.result.as_slice();
    let result = match operation.state {
        State::Waiting | State::Running => None,
        State::Done => Some(lro::operation::Result::Response(
            prost_types::Any::decode(bytes).map_err(Fault::bug)?,
        )),
        State::Failed | State::Cancelled => Some(lro::operation::Result::Error(
            tonic_types::pb::Status::decode(bytes).map_err(Fault::bug)?,
        )),
    };
    Ok(lro::Operation {
        name: format!("operations/{}", operation.id),
        metadata: Some(any("regard.scoring.v1.OperationProgress", &progress)),
        done: result.is_some(),
        result,
    })
}

fn id(name: &str) -> Result<Uuid, Fault> {
    let id = name
        .strip_prefix("operations/")
        .and_then(|id| Uuid::try_parse(id).ok());
    id.ok_or_else(|| {
        Fault::invalid(
            "name",
            "must be \"operations/\" and a UUID, as an operation's name is",
        )
    })
}

#[tonic::async_trait]
impl OperationService for Operations {
    async fn get_operation(
        &self,
        request: Request<pb::GetOperationRequest>,
    ) -> Result<Response<pb::GetOperationResponse>, Status> {
        let caller = caller(&request)?;
        let id = id(&request.get_ref().name).map_err(status)?;
        let operation = app::get(&self.0, &caller, id).await.map_err(status)?;
        let operation = Some(to_wire(&operation).map_err(status)?);
        Ok(Response::new(pb::GetOperationResponse { operation }))
    }

    async fn wait_operation(
        &self,
        request: Request<pb::WaitOperationRequest>,
    ) -> Result<Response<pb::WaitOperationResponse>, Status> {
        let caller = caller(&request)?;
        let id = id(&request.get_ref().name).map_err(status)?;
        let asked = request
            .get_ref()
            .timeout
            .and_then(|t| Duration::try_from(t).ok());
        let longest = asked.unwrap_or(USUAL_WAIT).min(LONGEST_WAIT);
        let operation = app::wait(&self.0, &caller, id, longest)
            .await
            .map_err(status)?;
        let operation = Some(to_wire(&operation).map_err(status)?);
        Ok(Response::new(pb::WaitOperationResponse { operation }))
    }

    async fn cancel_operation(
        &self,
        request: Request<pb::CancelOperationRequest>,
    ) -> Result<Response<pb::CancelOperationResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let id = id(&request.name).map_err(status)?;
        let operation = app::cancel(&self.0, &caller, command(&request, CANCEL), id)
            .await
            .map_err(status)?;
        let operation = Some(to_wire(&operation).map_err(status)?);
        Ok(Response::new(pb::CancelOperationResponse { operation }))
    }
}
