//! Work of the suite that takes longer than a request: asked for, watched, and its result.

use anyhow::{anyhow, bail};
use prost::Message as _;
use regard_client::Client;
use regard_proto::google::longrunning::{Operation, operation};
use regard_proto::scoring::v1::{
    FitModelRequest, Model, ModelKind, OperationProgress, RescoreAllRequest, WaitOperationRequest,
};
use regard_proto::types::Date;

use crate::reach::{given, refused};
use crate::{show, told};

/// Longest wait of one call, in seconds: below the deadline of a call.
const WAIT: i64 = 5;

/// Fits a model and waits for it.
///
/// # Errors
/// The server is away or refuses; the model cannot be fitted.
pub async fn fit(
    client: &Client,
    kind: ModelKind,
    as_of: Option<Date>,
    request_id: &str,
    shown: bool,
) -> anyhow::Result<Model> {
    let request = FitModelRequest {
        kind: kind.into(),
        as_of,
        request_id: request_id.to_owned(),
        validate_only: false,
    };
    let asked = client.models().fit_model(request).await.map_err(refused)?;
    let operation = given(asked.into_inner().operation, "operation")?;
    let result = wait(client, operation, told::kind(kind), shown).await?;
    Ok(Model::decode(result.as_slice())?)
}

/// Computes all scores anew and waits for it.
///
/// # Errors
/// The server is away or refuses.
pub async fn rescore_all(client: &Client) -> anyhow::Result<()> {
    let request = RescoreAllRequest::default();
    let asked = client
        .models()
        .rescore_all(request)
        .await
        .map_err(refused)?;
    let operation = given(asked.into_inner().operation, "operation")?;
    wait(client, operation, "scores", false).await.map(|_| ())
}

/// Waits for an operation; the bytes of its result.
async fn wait(
    client: &Client,
    mut operation: Operation,
    what: &str,
    shown: bool,
) -> anyhow::Result<Vec<u8>> {
    let bar = if shown {
        show::count_bar(0, what)
    } else {
        indicatif::ProgressBar::hidden()
    };
    while !operation.done {
        let metadata = operation.metadata.take().unwrap_or_default();
        if let Ok(progress) = OperationProgress::decode(metadata.value.as_slice()) {
            bar.set_length(progress.total.unsigned_abs());
            bar.set_position(progress.done.unsigned_abs());
            bar.set_message(format!("{what}: {}", progress.step));
        }
        let request = WaitOperationRequest {
            name: operation.name.clone(),
            timeout: Some(prost_types::Duration {
                seconds: WAIT,
                nanos: 0,
            }),
        };
        let waited = client.operations().wait_operation(request).await;
        operation = given(waited.map_err(refused)?.into_inner().operation, "operation")?;
    }
    bar.finish_and_clear();
    match operation.result {
        Some(operation::Result::Response(any)) => Ok(any.value),
        Some(operation::Result::Error(status)) => Err(anyhow!("{what}: {}", status.message)),
        None => bail!("{what}: the operation ended without a result"),
    }
}
