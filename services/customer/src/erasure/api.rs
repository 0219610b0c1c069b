//! The contract's erasures to the house's and back.

use std::sync::Arc;

use regard_proto::customer::v1 as pb;
use regard_server::wire::{self, Named};
use regard_server::{KeyPart, Page, caller_of, command, page};
use regard_types::{Fault, Uuid};
use tonic::Request;

use super::app::{self, Wish};
use super::wire::{state, to_wire};
use crate::core::Core;
use crate::merge::Asked;

/// The part of `PrivacyService` that erases.
#[derive(Debug, Clone)]
pub struct ErasureApi(pub Arc<Core>);

fn id(field: &str, text: &str) -> Result<Uuid, Fault> {
    Uuid::try_parse(text).map_err(|_| Fault::invalid(field, "must be a UUID"))
}

impl ErasureApi {
    /// `ErasePersonalData`.
    pub async fn erase(
        &self,
        request: Request<pb::ErasePersonalDataRequest>,
    ) -> Result<pb::ErasePersonalDataResponse, Fault> {
        let caller = caller_of(&request)?;
        self.0.tenants.of(&self.0.db, &caller).await?;
        let request = request.into_inner();
        let named = Named::customer("customer", request.customer.as_ref())?;
        let wish = Wish {
            customer: Asked {
                id: named.customer_id(&self.0.db.ids(caller.tenant)),
                key: named.key().cloned(),
            },
            reason: &request.reason,
            include_unknown: request.include_unknown,
        };
        let command = command(&request, "ErasePersonalData");
        let done = app::erase(&self.0, &caller, command, &wish).await?;
        Ok(pb::ErasePersonalDataResponse {
            change_token: done.token(),
            erasure: Some(to_wire(&done.value)),
        })
    }

    /// `GetErasure`.
    pub async fn get(
        &self,
        request: Request<pb::GetErasureRequest>,
    ) -> Result<pb::GetErasureResponse, Fault> {
        let caller = caller_of(&request)?;
        let id = id("id", &request.get_ref().id)?;
        let erasure = app::get(&self.0, &caller, id).await?;
        Ok(pb::GetErasureResponse {
            erasure: Some(to_wire(&erasure)),
        })
    }

    /// `ListErasures`.
    pub async fn list(
        &self,
        request: Request<pb::ListErasuresRequest>,
    ) -> Result<pb::ListErasuresResponse, Fault> {
        let caller = caller_of(&request)?;
        let request = request.into_inner();
        let page = Page::read(
            &caller,
            "ListErasures",
            &request,
            request.page_size,
            &request.page_token,
        )?;
        let after = match page.after.as_deref() {
            None => None,
            Some([KeyPart::I64(created), KeyPart::Uuid(id)]) => Some((*created, *id)),
            Some(_) => return Err(page::invalid()),
        };
        let state = state(request.state)?;
        let (found, more) = app::list(&self.0, &caller, state, after, page.size).await?;
        let last = found.last().filter(|_| more);
        let keys = last.map(|e| [KeyPart::I64(e.created.0), KeyPart::Uuid(e.id)]);
        Ok(pb::ListErasuresResponse {
            next_page_token: keys.map(|keys| page.next(&keys)).unwrap_or_default(),
            erasures: found.iter().map(to_wire).collect(),
        })
    }

    /// `ReportErasure`.
    pub async fn report(
        &self,
        request: Request<pb::ReportErasureRequest>,
    ) -> Result<pb::ReportErasureResponse, Fault> {
        let caller = caller_of(&request)?;
        let request = request.into_inner();
        let id = id("erasure_id", &request.erasure_id)?;
        let part = wire::required("part", request.part.as_ref())?;
        let command = command(&request, "ReportErasure");
        let done = app::report(&self.0, &caller, command, id, part).await?;
        Ok(pb::ReportErasureResponse {
            erasure: Some(to_wire(&done.value)),
        })
    }
}
