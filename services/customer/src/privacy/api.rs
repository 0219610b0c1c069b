//! `PrivacyService`.

use std::sync::Arc;

use regard_proto::customer::v1 as pb;
use regard_proto::customer::v1::privacy_service_server::PrivacyService;
use regard_server::status;
use tonic::{Request, Response, Status};

use crate::core::Core;
use crate::erasure::ErasureApi;

/// `PrivacyService`.
#[derive(Debug, Clone)]
pub struct PrivacyApi {
    erasures: ErasureApi,
}

impl PrivacyApi {
    /// Over the service's parts.
    pub fn new(core: Arc<Core>) -> Self {
        Self {
            erasures: ErasureApi(core),
        }
    }
}

#[tonic::async_trait]
impl PrivacyService for PrivacyApi {
    async fn export_personal_data(
        &self,
        _: Request<pb::ExportPersonalDataRequest>,
    ) -> Result<Response<pb::ExportPersonalDataResponse>, Status> {
        Err(Status::unimplemented("not served yet"))
    }

    async fn rotate_data_keys(
        &self,
        _: Request<pb::RotateDataKeysRequest>,
    ) -> Result<Response<pb::RotateDataKeysResponse>, Status> {
        Err(Status::unimplemented("not served yet"))
    }

    async fn get_key_rotation(
        &self,
        _: Request<pb::GetKeyRotationRequest>,
    ) -> Result<Response<pb::GetKeyRotationResponse>, Status> {
        Err(Status::unimplemented("not served yet"))
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
