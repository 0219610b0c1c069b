//! Telling the customer service what was done.

use regard_client::Client;
use regard_database::Database;
use regard_proto::customer::v1::ReportErasureRequest;
use regard_server::Job;
use regard_types::{Fault, Kind};
use tonic::Code;

use super::task::job;

/// Clears the disk after erasures, and reports each to the customer service until it is accepted.
#[must_use]
pub fn report(db: &Database, customer: Client) -> Job {
    job(db, move |_, erasure, part| {
        let mut client = customer.privacy();
        let request = ReportErasureRequest {
            erasure_id: erasure.to_string(),
            part: Some(part),
            // What is signed is the same however often it is sent; the first one stands.
            ..ReportErasureRequest::default()
        };
        async move {
            let answer = client.report_erasure(request).await;
            answer.map(drop).map_err(|status| {
                if status.code() == Code::NotFound {
                    return Fault::not_found("erasure", erasure).caused_by(status);
                }
                let message = "the customer service did not take what was done for an erasure";
                Fault::new(Kind::Down, "STORE_UNAVAILABLE", message).caused_by(status)
            })
        }
    })
}
