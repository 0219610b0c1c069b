//! Complaints on the wire.

use regard_proto::common::v1 as common;
use regard_proto::feedback::v1 as pb;
use regard_proto::feedback::v1::complaint_service_server::ComplaintService;
use regard_server::wire::{
    Named, channel, etag, micros, required, source_key, timestamp, to_channel, to_source_key,
};
use regard_server::{caller, command, status};
use regard_types::{Fault, IdKey};
use tonic::{Request, Response, Status};

use super::KIND;
use super::app::{Complaints, Resolve};
use super::domain::{Complaint, NewComplaint, Resolution, State};

const OPEN: &str = "regard.feedback.v1.ComplaintService/OpenComplaint";
const RESOLVE: &str = "regard.feedback.v1.ComplaintService/ResolveComplaint";

/// What 0 means.
const USUAL_SEVERITY: i32 = 3;

fn new_complaint(ids: &IdKey, complaint: Option<&pb::Complaint>) -> Result<NewComplaint, Fault> {
    let complaint = required("complaint", complaint)?;
    let customer = Named::customer_if_any("complaint.customer", complaint.customer.as_ref())?;
    let time = required("complaint.open_time", complaint.open_time.as_ref())?;
    Ok(NewComplaint {
        key: complaint.key.as_ref().map(source_key),
        customer: customer.map(|customer| customer.customer_id(ids)),
        text: complaint.text.clone(),
        reason: complaint.reason.clone(),
        severity: if complaint.severity == 0 {
            USUAL_SEVERITY
        } else {
            complaint.severity
        },
        channel: channel("complaint.channel", complaint.channel)?,
        opened: micros("complaint.open_time", time)?,
    })
}

pub(crate) fn to_complaint(complaint: Complaint) -> pb::Complaint {
    let Complaint {
        id,
        version,
        created,
        updated,
        content,
        state,
        resolution,
    } = complaint;
    let NewComplaint {
        key,
        customer,
        text,
        reason,
        severity,
        channel,
        opened,
    } = content;
    let (resolve_time, resolution) = match resolution {
        Some(Resolution { at, text }) => (Some(timestamp(at)), text),
        None => (None, String::new()),
    };
    pb::Complaint {
        id: id.to_string(),
        key: key.as_ref().map(to_source_key),
        customer: customer.map(|customer| common::CustomerRef {
            customer: Some(common::customer_ref::Customer::Id(customer.to_string())),
        }),
        text,
        reason,
        severity,
        channel: to_channel(channel),
        open_time: Some(timestamp(opened)),
        state: i32::from(match state {
            State::Received => pb::ComplaintState::Received,
            State::Resolved => pb::ComplaintState::Resolved,
        }),
        resolve_time,
        resolution,
        version,
        etag: etag(KIND, id.0, version),
        create_time: Some(timestamp(created)),
        update_time: Some(timestamp(updated)),
    }
}

#[tonic::async_trait]
impl ComplaintService for Complaints {
    async fn open_complaint(
        &self,
        request: Request<pb::OpenComplaintRequest>,
    ) -> Result<Response<pb::OpenComplaintResponse>, Status> {
        let caller = caller(&request)?;
        let body = request.into_inner();
        let new = new_complaint(&self.ids(&caller), body.complaint.as_ref()).map_err(status)?;
        let (complaint, token) = self
            .open(&caller, command(&body, OPEN), new)
            .await
            .map_err(status)?;
        Ok(Response::new(pb::OpenComplaintResponse {
            complaint: Some(to_complaint(complaint)),
            change_token: token.unwrap_or_default().encode(),
        }))
    }

    async fn resolve_complaint(
        &self,
        request: Request<pb::ResolveComplaintRequest>,
    ) -> Result<Response<pb::ResolveComplaintResponse>, Status> {
        let caller = caller(&request)?;
        let body = request.into_inner();
        let named = Named::record("complaint", body.complaint.as_ref()).map_err(status)?;
        let at = body
            .resolve_time
            .as_ref()
            .map(|at| micros("resolve_time", at))
            .transpose()
            .map_err(status)?;
        let wish = Resolve {
            id: named.record_id(KIND, &self.ids(&caller)),
            text: body.resolution.clone(),
            at,
            etag: &body.etag,
        };
        let (complaint, token) = self
            .resolve(&caller, command(&body, RESOLVE), wish)
            .await
            .map_err(status)?;
        Ok(Response::new(pb::ResolveComplaintResponse {
            complaint: Some(to_complaint(complaint)),
            change_token: token.unwrap_or_default().encode(),
        }))
    }

    async fn get_complaint(
        &self,
        request: Request<pb::GetComplaintRequest>,
    ) -> Result<Response<pb::GetComplaintResponse>, Status> {
        let caller = caller(&request)?;
        let named =
            Named::record("complaint", request.get_ref().complaint.as_ref()).map_err(status)?;
        let id = named.record_id(KIND, &self.ids(&caller));
        let complaint = self.get(&caller, id).await.map_err(status)?;
        Ok(Response::new(pb::GetComplaintResponse {
            complaint: Some(to_complaint(complaint)),
        }))
    }
}
