//! `PrivacyService`.

use regard_database::Database;
use regard_proto::feedback::v1 as pb;
use regard_proto::feedback::v1::privacy_service_server::PrivacyService;
use regard_server::wire::Named;
use regard_server::{Page, Privacy, caller, command, status};
use tonic::{Request, Response, Status};

const EXPORT: &str = "regard.feedback.v1.PrivacyService/ExportPersonalData";
const ROTATE: &str = "regard.feedback.v1.PrivacyService/RotateDataKeys";

/// `PrivacyService`.
pub(crate) struct PrivacyApi {
    db: Database,
    privacy: Privacy,
}

impl PrivacyApi {
    pub fn new(db: Database, privacy: Privacy) -> Self {
        Self { db, privacy }
    }
}

#[tonic::async_trait]
impl PrivacyService for PrivacyApi {
    async fn export_personal_data(
        &self,
        request: Request<pb::ExportPersonalDataRequest>,
    ) -> Result<Response<pb::ExportPersonalDataResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let (size, token) = (request.page_size, request.page_token.as_str());
        let page = Page::read(&caller, EXPORT, &request, size, token).map_err(status)?;
        let ids = self.db.ids(caller.tenant);
        let mut customers = Vec::with_capacity(request.customers.len());
        for (index, reference) in request.customers.iter().enumerate() {
            let field = format!("customers[{index}]");
            let named = Named::customer(&field, Some(reference)).map_err(status)?;
            customers.push(named.customer_id(&ids));
        }
        customers.sort_unstable();
        customers.dedup();
        let exported = self.privacy.export(&caller, &customers, &page).await;
        let (items, next_page_token) = exported.map_err(status)?;
        Ok(Response::new(pb::ExportPersonalDataResponse {
            items,
            next_page_token,
        }))
    }

    async fn rotate_data_keys(
        &self,
        request: Request<pb::RotateDataKeysRequest>,
    ) -> Result<Response<pb::RotateDataKeysResponse>, Status> {
        let caller = caller(&request)?;
        let request = request.into_inner();
        let rotated = self.privacy.rotate(&caller, command(&request, ROTATE));
        Ok(Response::new(pb::RotateDataKeysResponse {
            rotation: Some(rotated.await.map_err(status)?),
        }))
    }

    async fn get_key_rotation(
        &self,
        request: Request<pb::GetKeyRotationRequest>,
    ) -> Result<Response<pb::GetKeyRotationResponse>, Status> {
        let caller = caller(&request)?;
        let rotation = self.privacy.rotation(&caller, &request.get_ref().id);
        Ok(Response::new(pb::GetKeyRotationResponse {
            rotation: Some(rotation.await.map_err(status)?),
        }))
    }
}
