//! `PrivacyService`.

use std::sync::Arc;

use regard_proto::customer::v1 as pb;
use regard_proto::customer::v1::privacy_service_server::PrivacyService;
use regard_server::wire::Named;
use regard_server::{Page, Privacy, caller_of, command, status};
use regard_types::{CustomerId, Fault};
use tonic::{Request, Response, Status};

use crate::core::Core;
use crate::erasure::{ErasureApi, group};
use crate::order::unknown_customer;

/// `PrivacyService`.
#[derive(Debug, Clone)]
pub struct PrivacyApi {
    core: Arc<Core>,
    erasures: ErasureApi,
    privacy: Privacy,
}

impl PrivacyApi {
    /// Over the service's parts.
    pub fn new(core: Arc<Core>, privacy: Privacy) -> Self {
        Self {
            erasures: ErasureApi(core.clone()),
            privacy,
            core,
        }
    }

    async fn export(
        &self,
        request: Request<pb::ExportPersonalDataRequest>,
    ) -> Result<pb::ExportPersonalDataResponse, Fault> {
        let caller = caller_of(&request)?;
        self.core.tenants.of(&self.core.db, &caller).await?;
        let request = request.into_inner();
        let (size, token) = (request.page_size, request.page_token.as_str());
        let page = Page::read(&caller, "ExportPersonalData", &request, size, token)?;
        let named = Named::customer("customer", request.customer.as_ref())?;
        let id = named.customer_id(&self.core.db.ids(caller.tenant));
        let tx = self.core.db.read(&caller).await?;
        let person = group(&tx, caller.tenant, id.0).await?;
        drop(tx);
        if person.is_empty() {
            return Err(unknown_customer("customer", id, named.key()));
        }
        let person: Vec<CustomerId> = person.into_iter().map(CustomerId).collect();
        let (items, next_page_token) = self.privacy.export(&caller, &person, &page).await?;
        Ok(pb::ExportPersonalDataResponse {
            items,
            next_page_token,
            customer_ids: person.iter().map(ToString::to_string).collect(),
        })
    }

    async fn rotate(
        &self,
        request: Request<pb::RotateDataKeysRequest>,
    ) -> Result<pb::RotateDataKeysResponse, Fault> {
        let caller = caller_of(&request)?;
        self.core.tenants.of(&self.core.db, &caller).await?;
        let request = request.into_inner();
        let command = command(&request, "RotateDataKeys");
        let rotation = self.privacy.rotate(&caller, command).await?;
        Ok(pb::RotateDataKeysResponse {
            rotation: Some(rotation),
        })
    }

    async fn rotation(
        &self,
        request: Request<pb::GetKeyRotationRequest>,
    ) -> Result<pb::GetKeyRotationResponse, Fault> {
        let caller = caller_of(&request)?;
        let rotation = self.privacy.rotation(&caller, &request.get_ref().id);
        Ok(pb::GetKeyRotationResponse {
            rotation: Some(rotation.await?),
        })
    }
}

#[tonic::async_trait]
impl PrivacyService for PrivacyApi {
    async fn export_personal_data(
        &self,
        request: Request<pb::ExportPersonalDataRequest>,
    ) -> Result<Response<pb::ExportPersonalDataResponse>, Status> {
        let answer = self.export(request).await;
        answer.map(Response::new).map_err(status)
    }

    async fn rotate_data_keys(
        &self,
        request: Request<pb::RotateDataKeysRequest>,
    ) -> Result<Response<pb::RotateDataKeysResponse>, Status> {
        let answer = self.rotate(request).await;
        answer.map(Response::new).map_err(status)
    }

    async fn get_key_rotation(
        &self,
        request: Request<pb::GetKeyRotationRequest>,
    ) -> Result<Response<pb::GetKeyRotationResponse>, Status> {
        let answer = self.rotation(request).await;
        answer.map(Response::new).map_err(status)
    }

    async fn erase_personal_data(
        &self,
        request: Request<pb::ErasePersonalDataRequest>,
    ) -> Result<Response<pb::ErasePersonalDataResponse>, Status> {
        let answer = self.erasures.erase(request).await;
        answer.map(Response::new).map_err(status)
    }

    async fn get_erasure(
        &self,
        request: Request<pb::GetErasureRequest>,
    ) -> Result<Response<pb::GetErasureResponse>, Status> {
        let answer = self.erasures.get(request).await;
        answer.map(Response::new).map_err(status)
    }

    async fn list_erasures(
        &self,
        request: Request<pb::ListErasuresRequest>,
    ) -> Result<Response<pb::ListErasuresResponse>, Status> {
        let answer = self.erasures.list(request).await;
        answer.map(Response::new).map_err(status)
    }

    async fn report_erasure(
        &self,
        request: Request<pb::ReportErasureRequest>,
    ) -> Result<Response<pb::ReportErasureResponse>, Status> {
        let answer = self.erasures.report(request).await;
        answer.map(Response::new).map_err(status)
    }
}
